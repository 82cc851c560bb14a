use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use crate::by_text::{self, Entry};
use crate::canonical::write_line;
use crate::graph::{Graph, Kind, TermId, TermRef};
use crate::iri::is_iriref;
use crate::vocab::Known;
use crate::{dot, jsonld, rdfxml, turtle};

/// A format that a graph can be written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Flattened, expanded JSON-LD: one array of node objects, sorted by `@id`; empty: `[]`.
    JsonLd,
    /// N-Triples.
    NTriples,
    /// Turtle.
    Turtle,
    /// RDF/XML. The `renku` CLI calls it `rdf`.
    RdfXml,
    /// A drawing for Graphviz.
    Dot,
}

/// The text names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a format: json-ld, n-triples, turtle, rdf or dot are")]
pub struct NotAFormat(String);

impl Format {
    /// Every name that [`Format::from_str`] takes.
    pub const NAMES: &'static [&'static str] = &[
        "json-ld",
        "jsonld",
        "n-triples",
        "nt",
        "turtle",
        "ttl",
        "rdf",
        "rdf-xml",
        "xml",
        "dot",
    ];
}

impl FromStr for Format {
    type Err = NotAFormat;

    fn from_str(text: &str) -> Result<Self, NotAFormat> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "json-ld" | "jsonld" => Self::JsonLd,
            "n-triples" | "nt" => Self::NTriples,
            "turtle" | "ttl" => Self::Turtle,
            "rdf" | "rdf-xml" | "xml" => Self::RdfXml,
            "dot" => Self::Dot,
            _ => return Err(NotAFormat(text.chars().take(40).collect())),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonLd => "json-ld",
            Self::NTriples => "n-triples",
            Self::Turtle => "turtle",
            Self::RdfXml => "rdf",
            Self::Dot => "dot",
        })
    }
}

/// Why a graph could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The writer below failed.
    #[error("the output cannot be written")]
    Io(#[from] io::Error),
    /// The format cannot hold this IRI.
    #[error(
        "{iri:?} cannot be written as {format}: it is not an IRI; export as json-ld, or correct the object that holds it"
    )]
    Iri {
        /// The IRI, shortened.
        iri: String,
        /// The format asked for.
        format: Format,
    },
    /// RDF/XML writes predicates as XML names; this one ends in none.
    #[error(
        "the predicate {0:?} cannot be written as RDF/XML: it does not end in an XML name; choose another format"
    )]
    Predicate(String),
    /// XML cannot hold some control characters.
    #[error("{0:?} cannot be written as RDF/XML: it has a control character; choose another format")]
    Control(String),
}

impl Graph {
    /// Writes the graph. Call [`Graph::finish`] before.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> Result<(), WriteError> {
        if format != Format::JsonLd {
            self.check_iris(format)?;
        }
        match format {
            Format::JsonLd => jsonld::write(self, out)?,
            Format::NTriples => {
                let mut buffer = Buffer::new(out);
                for &triple in self.triples() {
                    write_line(&mut buffer.bytes, self, triple);
                    buffer.flush_if_full()?;
                }
                buffer.finish()?;
            }
            Format::Turtle => turtle::write(self, out)?,
            Format::RdfXml => rdfxml::write(self, out)?,
            Format::Dot => dot::write(self, out)?,
        }
        Ok(())
    }

    /// The line formats have a grammar for IRIs; whatever does not fit would break the file for its reader.
    fn check_iris(&self, format: Format) -> Result<(), WriteError> {
        let mut is_used = vec![false; self.term_count()];
        for term in self.triples().iter().flatten() {
            is_used[term.place()] = true;
        }
        for place in (Known::ALL.len()..self.term_count()).filter(|&place| is_used[place]) {
            let term = TermId::at(place);
            let stored = self.stored(term);
            let iri = match self.kind(term) {
                Kind::Iri => stored.to_owned(),
                Kind::HostIri => format!("{}{stored}", self.host().prefix()),
                Kind::Typed => stored.split_once('\n').unwrap_or_default().0.to_owned(),
                Kind::LangText => {
                    let (tag, _) = stored.split_once('\n').unwrap_or_default();
                    if crate::piece::is_language_tag(tag) {
                        continue;
                    }
                    return Err(WriteError::Iri {
                        iri: format!("@{}", tag.chars().take(80).collect::<String>()),
                        format,
                    });
                }
                _ => continue,
            };
            if !is_iriref(&iri) {
                return Err(WriteError::Iri {
                    iri: iri.chars().take(400).collect(),
                    format,
                });
            }
        }
        Ok(())
    }

    /// The triples of each subject, one slice a subject, sorted by the subject's text.
    pub(crate) fn by_subject(&self) -> Vec<&[[TermId; 3]]> {
        let mut whole = Vec::new();
        let mut blank = Vec::new();
        let mut below_host = Vec::new();
        for group in self.triples().chunk_by(|a, b| a[0] == b[0]) {
            let (side, text) = match self.term(group[0][0]) {
                TermRef::Iri("", text) => (&mut whole, text),
                TermRef::Iri(_, rest) => (&mut below_host, rest),
                TermRef::Blank(label) => (&mut blank, label),
                TermRef::Text(text) | TermRef::Native(text, _) => (&mut whole, text),
                TermRef::LangText { text, .. } | TermRef::Typed { text, .. } => (&mut whole, text),
            };
            side.push(Entry::new(text, group));
        }
        // No text, `_:` and `https://` come before these texts, so the sides follow in this order.
        let mut groups = Vec::with_capacity(whole.len() + blank.len() + below_host.len());
        for mut side in [whole, blank, below_host] {
            by_text::sort(&mut side);
            groups.extend(side.into_iter().map(|entry| entry.item));
        }
        groups
    }
}

/// Collects bytes and hands them on in large portions.
pub(crate) struct Buffer<'o> {
    pub(crate) bytes: Vec<u8>,
    out: &'o mut dyn Write,
}

impl<'o> Buffer<'o> {
    const FULL: usize = 1 << 16;

    pub(crate) fn new(out: &'o mut dyn Write) -> Self {
        Self {
            bytes: Vec::with_capacity(Self::FULL + 4096),
            out,
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn flush_if_full(&mut self) -> io::Result<()> {
        if self.bytes.len() >= Self::FULL {
            self.out.write_all(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.out.flush()
    }
}
