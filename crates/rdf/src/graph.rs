use std::fmt;

use hashbrown::HashTable;

use crate::hashing::Seed;
use crate::iri::{Host, PROJECT_PLACEHOLDER, keeps_its_form};
use crate::vocab::Known;

/// A term of one [`Graph`]; means nothing in another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TermId(u32);

impl From<Known> for TermId {
    fn from(known: Known) -> Self {
        Self(known as u32)
    }
}

impl TermId {
    pub(crate) fn at(place: usize) -> Self {
        Self(place as u32)
    }

    pub(crate) fn place(self) -> usize {
        self.0 as usize
    }
}

/// What a term is, and how its text is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// An IRI in full.
    Iri,
    /// An IRI without `https://<host>` at its front.
    HostIri,
    /// The project's own node or an image of it, in its placeholder form; only [`Graph::node`] makes these.
    Placeholder,
    /// A blank node's label.
    Blank,
    /// `xsd:string`.
    Text,
    /// `xsd:integer`.
    Integer,
    /// `xsd:double` in canonical form.
    Double,
    /// `xsd:boolean`.
    Boolean,
    /// `xsd:dateTime`.
    DateTime,
    /// `rdf:langString`: tag, newline, text.
    LangText,
    /// Any other literal: datatype, newline, text.
    Typed,
}

/// A term's parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TermRef<'a> {
    /// The IRI is the two texts one after the other; the first may be empty.
    Iri(&'a str, &'a str),
    /// The label without `_:`.
    Blank(&'a str),
    /// A plain string.
    Text(&'a str),
    /// A number, boolean or date: lexical form and datatype.
    Native(&'a str, Known),
    /// Text with a language tag.
    LangText {
        /// The text.
        text: &'a str,
        /// The language tag.
        tag: &'a str,
    },
    /// Text with a datatype.
    Typed {
        /// The lexical form.
        text: &'a str,
        /// The datatype's IRI.
        datatype: &'a str,
    },
}

/// Up to so many triples are sorted into new memory of the same size; more are sorted where they are.
const PLACED_AT_ONCE: usize = 1 << 17;

/// The graph would be larger than the limit it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the graph has more than {triples} triples or {bytes} bytes of text")]
pub struct TooLarge {
    /// The most triples.
    pub triples: usize,
    /// The most bytes of text, all terms together.
    pub bytes: usize,
}

/// A set of triples over interned terms. Every distinct term is stored once; a triple takes 12 bytes.
pub struct Graph {
    host: Host,
    /// The stored id of the project whose node is written as a placeholder.
    placeholder_for: Option<Box<str>>,
    text: String,
    /// Where the text of a term ends; it starts where the one before ends.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    index: HashTable<u32>,
    seed: Seed,
    triples: Vec<[TermId; 3]>,
    max_triples: usize,
    max_bytes: usize,
    too_large: bool,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Graph({} triples, {} terms)",
            self.triples.len(),
            self.kinds.len()
        )
    }
}

impl Graph {
    /// An empty graph whose ids are put under `host`.
    pub fn new(host: Host) -> Self {
        let mut graph = Self {
            host,
            placeholder_for: None,
            text: String::new(),
            ends: Vec::new(),
            kinds: Vec::new(),
            index: HashTable::with_capacity(2 * Known::ALL.len()),
            seed: Seed::default(),
            triples: Vec::new(),
            max_triples: 20_000_000,
            max_bytes: 2 << 30,
            too_large: false,
        };
        for known in Known::ALL {
            graph.intern(Kind::Iri, known.as_str());
        }
        graph
    }

    /// Sets how large the graph may get; what is inserted far beyond is left out and [`Graph::check_size`] says so.
    #[must_use]
    pub fn with_limits(mut self, triples: usize, bytes: usize) -> Self {
        self.max_triples = triples;
        self.max_bytes = bytes.min(u32::MAX as usize);
        self
    }

    /// Writes the node of this project (a stored id, e.g. `/projects/a/b`) and its images under the placeholder.
    pub fn set_placeholder_for(&mut self, project: &str) {
        self.placeholder_for = Some(project.into());
    }

    /// Takes out all triples and all terms but the known ones. Memory is kept.
    pub fn clear(&mut self) {
        let known = Known::ALL.len();
        let seed = &self.seed;
        if self.kinds.len() > known {
            let (text, ends, kinds) = (&self.text, &self.ends, &self.kinds);
            for (place, &kind) in kinds.iter().enumerate().skip(known) {
                let hash = seed.hash(kind, bytes_of(text, ends, place));
                if let Ok(entry) = self.index.find_entry(hash, |&other| other as usize == place) {
                    entry.remove();
                }
            }
        }
        self.kinds.truncate(known);
        self.ends.truncate(known);
        self.text
            .truncate(self.ends.last().map_or(0, |&end| end as usize));
        self.triples.clear();
        self.too_large = false;
    }

    /// The host that ids are put under.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// An error if the graph is larger than its limits; then something may have been left out. Call [`Graph::finish`] before.
    pub fn check_size(&self) -> Result<(), TooLarge> {
        if self.too_large {
            return Err(TooLarge {
                triples: self.max_triples,
                bytes: self.max_bytes,
            });
        }
        Ok(())
    }

    /// The node of an `@id`, by the host rule and, if set, with the placeholder for the project.
    pub fn node(&mut self, id: &str) -> TermId {
        let rest = if keeps_its_form(id) {
            id.strip_prefix(self.host.prefix())
        } else {
            Some(id)
        };
        let Some(rest) = rest else {
            return self.intern(Kind::Iri, id);
        };
        if let Some(project) = &self.placeholder_for
            && let Some(below) = rest.strip_prefix(&**project)
            && (below.is_empty() || is_image_path(below))
        {
            let iri = format!("{PROJECT_PLACEHOLDER}{below}");
            return self.intern(Kind::Placeholder, &iri);
        }
        self.intern(Kind::HostIri, rest)
    }

    /// An IRI that is taken as it is: predicates and types.
    pub fn iri(&mut self, iri: &str) -> TermId {
        self.intern(Kind::Iri, iri)
    }

    /// A blank node.
    pub fn blank(&mut self, label: &str) -> TermId {
        self.intern(Kind::Blank, label)
    }

    /// A plain string.
    pub fn text(&mut self, text: &str) -> TermId {
        self.intern(Kind::Text, text)
    }

    /// An `xsd:integer`, given in its canonical form.
    pub fn integer(&mut self, lexical: &str) -> TermId {
        self.intern(Kind::Integer, lexical)
    }

    /// An `xsd:double`, given in its canonical form.
    pub fn double(&mut self, lexical: &str) -> TermId {
        self.intern(Kind::Double, lexical)
    }

    /// An `xsd:boolean`.
    pub fn boolean(&mut self, value: bool) -> TermId {
        self.intern(Kind::Boolean, if value { "true" } else { "false" })
    }

    /// An `xsd:dateTime`.
    pub fn date_time(&mut self, lexical: &str) -> TermId {
        self.intern(Kind::DateTime, lexical)
    }

    /// Text with a language tag.
    pub fn lang_text(&mut self, text: &str, tag: &str) -> TermId {
        self.intern(Kind::LangText, &format!("{tag}\n{text}"))
    }

    /// A literal with a datatype that has no method of its own here.
    pub fn typed(&mut self, text: &str, datatype: &str) -> TermId {
        match datatype {
            d if d == Known::XsdString.as_str() => self.text(text),
            d if d == Known::XsdDateTime.as_str() => self.date_time(text),
            _ => self.intern(Kind::Typed, &format!("{datatype}\n{text}")),
        }
    }

    /// Adds a triple. Adding it twice is allowed; [`Graph::finish`] removes doubles.
    pub fn insert(&mut self, subject: TermId, predicate: impl Into<TermId>, object: impl Into<TermId>) {
        // Doubles may double the list before it is compacted, so that compacting stays rare.
        if self.triples.len() > self.max_triples.saturating_mul(2) {
            self.finish();
            if self.too_large {
                return;
            }
        }
        self.triples.push([subject, predicate.into(), object.into()]);
    }

    /// Sorts the triples by term and removes doubles.
    pub fn finish(&mut self) {
        if self.triples.len() >= self.kinds.len() && self.triples.len() <= PLACED_AT_ONCE {
            self.place_by_subject();
        } else {
            self.triples.sort_unstable();
        }
        self.triples.dedup();
        self.too_large |= self.triples.len() > self.max_triples;
    }

    /// Sorts by counting: subjects are small numbers, and few triples share one.
    fn place_by_subject(&mut self) {
        let mut next = vec![0_u32; self.kinds.len()];
        for [subject, _, _] in &self.triples {
            next[subject.place()] += 1;
        }
        let mut start = 0;
        for count in &mut next {
            start += std::mem::replace(count, start);
        }
        let mut placed = vec![[TermId(0); 3]; self.triples.len()];
        for &triple in &self.triples {
            let next = &mut next[triple[0].place()];
            placed[*next as usize] = triple;
            *next += 1;
        }
        let rest = |&[_, predicate, object]: &[TermId; 3]| u64::from(predicate.0) << 32 | u64::from(object.0);
        for same in placed.chunk_by_mut(|a, b| a[0] == b[0]) {
            same.sort_unstable_by_key(rest);
        }
        self.triples = placed;
    }

    /// The triples, in order and without doubles after [`Graph::finish`].
    pub fn triples(&self) -> &[[TermId; 3]] {
        &self.triples
    }

    /// How many terms there are, the known ones included.
    pub fn term_count(&self) -> usize {
        self.kinds.len()
    }

    /// What a term is.
    pub fn kind(&self, term: TermId) -> Kind {
        self.kinds[term.place()]
    }

    /// A term's parts.
    pub fn term(&self, term: TermId) -> TermRef<'_> {
        let text = text_of(&self.text, &self.ends, term.place());
        match self.kinds[term.place()] {
            Kind::Iri | Kind::Placeholder => TermRef::Iri("", text),
            Kind::HostIri => TermRef::Iri(self.host.prefix(), text),
            Kind::Blank => TermRef::Blank(text),
            Kind::Text => TermRef::Text(text),
            Kind::Integer => TermRef::Native(text, Known::XsdInteger),
            Kind::Double => TermRef::Native(text, Known::XsdDouble),
            Kind::Boolean => TermRef::Native(text, Known::XsdBoolean),
            Kind::DateTime => TermRef::Native(text, Known::XsdDateTime),
            Kind::LangText => {
                let (tag, text) = text.split_once('\n').unwrap_or(("", text));
                TermRef::LangText { text, tag }
            }
            Kind::Typed => {
                let (datatype, text) = text.split_once('\n').unwrap_or(("", text));
                TermRef::Typed { text, datatype }
            }
        }
    }

    /// The stored bytes of all terms one after the other, and where each term's end.
    pub(crate) fn all_stored(&self) -> (&[u8], &[u32]) {
        (self.text.as_bytes(), &self.ends)
    }

    /// A term's stored bytes; see [`Kind`].
    pub(crate) fn stored_bytes(&self, term: TermId) -> &[u8] {
        bytes_of(&self.text, &self.ends, term.place())
    }

    /// A term's stored text; see [`Kind`].
    pub(crate) fn stored(&self, term: TermId) -> &str {
        text_of(&self.text, &self.ends, term.place())
    }

    fn intern(&mut self, kind: Kind, text: &str) -> TermId {
        let hash = self.seed.hash(kind, text.as_bytes());
        let (texts, ends, kinds) = (&self.text, &self.ends, &self.kinds);
        let found = self.index.find(hash, |&place| {
            let place = place as usize;
            kinds[place] == kind && bytes_of(texts, ends, place) == text.as_bytes()
        });
        if let Some(&place) = found {
            return TermId(place);
        }
        if self.text.len() + text.len() > self.max_bytes {
            self.too_large = true;
            return TermId(0);
        }
        let place = self.kinds.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        self.kinds.push(kind);
        let (texts, ends, kinds, seed) = (&self.text, &self.ends, &self.kinds, &self.seed);
        self.index.insert_unique(hash, place, |&other| {
            let other = other as usize;
            seed.hash(kinds[other], bytes_of(texts, ends, other))
        });
        TermId(place)
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], place: usize) -> &'a str {
    let start = if place == 0 { 0 } else { ends[place - 1] as usize };
    &text[start..ends[place] as usize]
}

/// As [`text_of`], without a look at whether letters are cut.
fn bytes_of<'a>(text: &'a str, ends: &[u32], place: usize) -> &'a [u8] {
    let start = if place == 0 { 0 } else { ends[place - 1] as usize };
    &text.as_bytes()[start..ends[place] as usize]
}

/// `/images/` and a number.
fn is_image_path(path: &str) -> bool {
    path.strip_prefix("/images/")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        Graph::new(Host::verbatim("example.org"))
    }

    #[test]
    fn a_term_is_stored_once() {
        let mut graph = graph();
        let a = graph.node("/plans/a");
        assert_eq!(a, graph.node("https://example.org/plans/a"));
        assert_ne!(a, graph.text("/plans/a"));
        assert_eq!(graph.iri(Known::ProvPlan.as_str()), TermId::from(Known::ProvPlan));
    }

    #[test]
    fn clearing_keeps_the_known_terms_only() {
        let mut graph = graph();
        for round in 0..3 {
            let a = graph.node(&format!("/plans/{round}"));
            graph.insert(a, Known::RdfType, Known::ProvPlan);
            assert_eq!(graph.term_count(), Known::ALL.len() + 1);
            graph.clear();
            assert_eq!(graph.term_count(), Known::ALL.len());
            assert_eq!(
                graph.iri(Known::SchemaName.as_str()),
                TermId::from(Known::SchemaName)
            );
        }
    }

    #[test]
    fn the_project_gets_its_placeholder() {
        let mut graph = graph();
        graph.set_placeholder_for("/projects/a/b");
        for (id, iri) in [
            ("/projects/a/b", "urn:renku:project"),
            ("https://example.org/projects/a/b", "urn:renku:project"),
            ("/projects/a/b/images/0", "urn:renku:project/images/0"),
        ] {
            let term = graph.node(id);
            assert_eq!(graph.term(term), TermRef::Iri("", iri));
        }
        let other = graph.node("/projects/a/bc");
        assert_eq!(
            graph.term(other),
            TermRef::Iri("https://example.org", "/projects/a/bc")
        );
        let odd = graph.node("/projects/a/b/images/x>");
        assert_eq!(graph.kind(odd), Kind::HostIri);
    }

    #[test]
    fn a_full_graph_says_so() {
        let mut graph = graph().with_limits(2, 1 << 20);
        for n in 0..2 {
            let a = graph.node(&format!("/plans/{n}"));
            graph.insert(a, Known::RdfType, Known::ProvPlan);
            graph.insert(a, Known::RdfType, Known::ProvPlan);
        }
        graph.finish();
        assert!(graph.check_size().is_ok());
        for n in 0..9 {
            let a = graph.node(&format!("/plans/{n}"));
            graph.insert(a, Known::RdfType, Known::ProvPlan);
        }
        assert!(graph.triples().len() <= 6);
        graph.finish();
        assert!(graph.check_size().is_err());
    }
}
