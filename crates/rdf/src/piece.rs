use std::fmt;

use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::canonical::write_line;
use crate::graph::{Graph, Kind, TermId};
use crate::iri::{RESERVED_PREFIX, is_absolute_iri};

/// The triples of one top-level object of a project: the unit that is stored, compared and applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The object's stored id, e.g. `/activities/<hex>`.
    pub id: String,
    /// Canonical N-Triples; lines sorted by their bytes, none twice.
    pub text: String,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// A triple that was left out of a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The IRI that is why, shortened.
    pub iri: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a triple was left out: {:?} {}", self.iri, self.why)
    }
}

/// SHA-256 of bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

impl Piece {
    /// Makes a piece of all triples of a graph. What cannot stand in a graph (an IRI outside the grammar, a reserved
    /// one, a bad language tag) is left out and told through `dropped`.
    pub fn of(id: &str, graph: &Graph, mut dropped: impl FnMut(Dropped)) -> Self {
        let mut checked: Vec<u8> = vec![0; graph.term_count()];
        let mut lines = Vec::with_capacity(graph.triples().len() * 160);
        let mut spans = Vec::with_capacity(graph.triples().len());
        for &triple in graph.triples() {
            let bad = triple.iter().find_map(|&term| {
                let verdict = &mut checked[term.place()];
                if *verdict == 0 {
                    *verdict = if fault(graph, term).is_none() { 1 } else { 2 };
                }
                (*verdict == 2).then_some(term)
            });
            if let Some(term) = bad {
                if let Some(fault) = fault(graph, term) {
                    dropped(fault);
                }
                continue;
            }
            let start = lines.len();
            write_line(&mut lines, graph, triple);
            spans.push((start, lines.len()));
        }
        spans.sort_unstable_by(|a, b| lines[a.0..a.1].cmp(&lines[b.0..b.1]));
        spans.dedup_by(|a, b| lines[a.0..a.1] == lines[b.0..b.1]);
        let mut text = Vec::with_capacity(lines.len());
        for (start, end) in spans {
            text.extend_from_slice(&lines[start..end]);
        }
        // Lines are made of strings and ASCII only.
        let text = String::from_utf8(text).unwrap_or_default();
        Self {
            id: id.to_owned(),
            digest: digest_of(text.as_bytes()),
            text,
        }
    }
}

/// Why a term cannot stand in a piece.
fn fault(graph: &Graph, term: TermId) -> Option<Dropped> {
    let stored = graph.stored(term);
    let say = |iri: &str, why| {
        Some(Dropped {
            iri: iri.chars().take(200).collect(),
            why,
        })
    };
    match graph.kind(term) {
        Kind::Iri if term.place() < crate::Known::ALL.len() => None,
        Kind::Iri if !is_absolute_iri(stored) => say(stored, "is not an absolute IRI"),
        Kind::Iri if stored.starts_with(RESERVED_PREFIX) => say(stored, "is reserved"),
        Kind::HostIri => {
            let iri = format!("{}{stored}", graph.host().prefix());
            if is_absolute_iri(&iri) {
                None
            } else {
                say(&iri, "is not an absolute IRI")
            }
        }
        Kind::Blank => say(stored, "is a blank node's label"),
        Kind::LangText => {
            let (tag, _) = stored.split_once('\n').unwrap_or_default();
            if is_language_tag(tag) {
                None
            } else {
                say(tag, "is not a language tag")
            }
        }
        Kind::Typed => {
            let (datatype, _) = stored.split_once('\n').unwrap_or_default();
            if !is_absolute_iri(datatype) {
                say(datatype, "is not an absolute IRI")
            } else if datatype.starts_with(RESERVED_PREFIX) {
                say(datatype, "is reserved")
            } else {
                None
            }
        }
        _ => None,
    }
}

/// BCP 47 as far as Turtle's grammar goes, with its limit of eight letters per part.
pub(crate) fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let fits = |part: &str| (1..=8).contains(&part.len());
    parts
        .next()
        .is_some_and(|first| fits(first) && first.bytes().all(|b| b.is_ascii_alphabetic()))
        && parts.all(|part| fits(part) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Host, Known};

    #[test]
    fn lines_are_sorted_and_bad_iris_are_left_out() {
        let mut graph = Graph::new(Host::verbatim("example.org"));
        graph.set_placeholder_for("/projects/a/b");
        let project = graph.node("/projects/a/b");
        let plan = graph.node("/plans/1");
        let bad = graph.node("/plans/1> <x> <y> .\n");
        let blank = graph.node("_:b0");
        let reserved = graph.iri("urn:renku:project");
        let name = graph.text("n");
        graph.insert(project, Known::RenkuHasPlan, plan);
        graph.insert(project, Known::RenkuHasPlan, bad);
        graph.insert(plan, Known::SchemaName, name);
        graph.insert(plan, Known::SchemaName, name);
        graph.insert(plan, Known::OaHasBody, blank);
        graph.insert(plan, reserved, name);
        let mut dropped = Vec::new();
        let piece = Piece::of("/plans/1", &graph, |d| dropped.push(d));
        assert_eq!(
            piece.text,
            "<https://example.org/plans/1> <http://schema.org/name> \"n\" .\n\
             <urn:renku:project> <https://swissdatasciencecenter.github.io/renku-ontology#hasPlan> <https://example.org/plans/1> .\n"
        );
        assert_eq!(dropped.len(), 3);
        assert_eq!(piece.digest, digest_of(piece.text.as_bytes()));
    }
}
