//! Answers as bytes.

use std::collections::HashSet;
use std::io::{self, Write};

use oxigraph::io::{RdfFormat, RdfSerializer};
use oxigraph::model::{NamedOrBlankNode, Term, Triple};
use oxigraph::sparql::results::{QueryResultsFormat, QueryResultsSerializer};

use crate::memory::uncounted;
use crate::query::{Answer, QueryError};

/// How rows and truth values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowFormat {
    /// SPARQL 1.1 Query Results JSON Format.
    Json,
    /// SPARQL Query Results XML Format.
    Xml,
    /// Comma-separated; not for truth values, by its specification.
    Csv,
    /// Tab-separated; not for truth values, by its specification.
    Tsv,
}

/// How triples are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TripleFormat {
    /// Turtle.
    Turtle,
    /// N-Triples.
    NTriples,
    /// RDF/XML.
    RdfXml,
    /// JSON-LD, expanded.
    JsonLd,
}

impl Answer<'_> {
    /// Writes the answer. After an error what was written is not whole. Returns the number of rows or triples.
    pub fn write(self, rows: RowFormat, triples: TripleFormat, into: impl Write) -> Result<u64, QueryError> {
        let into = Uncounted(into);
        let serializer = || QueryResultsSerializer::from_format(row_format(rows));
        let mut count = 0;
        match self {
            Self::Truth(truth) => {
                serializer().serialize_boolean_to_writer(into, truth)?;
                count = 1;
            }
            Self::Rows(variables, solutions) => {
                let mut out = serializer().serialize_solutions_to_writer(into, variables)?;
                for solution in solutions {
                    out.serialize(&solution?)?;
                    count += 1;
                }
                out.finish()?.flush()?;
            }
            Self::Triples(found) => {
                let mut out = RdfSerializer::from_format(triple_format(triples)).for_writer(into);
                // An answer is a graph. Repetitions near each other are the usual ones; remembering all would take memory.
                let (mut recent, mut bytes) = (HashSet::new(), 0);
                for triple in found {
                    let triple = triple?;
                    if recent.contains(&triple) {
                        continue;
                    }
                    out.serialize_triple(&triple)?;
                    count += 1;
                    bytes += length(&triple);
                    if recent.len() >= REMEMBERED || bytes > REMEMBERED_BYTES {
                        recent.clear();
                        bytes = 0;
                    }
                    recent.insert(triple);
                }
                out.finish()?.flush()?;
            }
        }
        Ok(count)
    }
}

/// How many triples of an answer are remembered so that none of them is written twice.
const REMEMBERED: usize = 50_000;
/// The same in bytes of their texts.
const REMEMBERED_BYTES: usize = 16 << 20;

fn length(triple: &Triple) -> usize {
    let subject = match &triple.subject {
        NamedOrBlankNode::NamedNode(iri) => iri.as_str().len(),
        NamedOrBlankNode::BlankNode(node) => node.as_str().len(),
    };
    let object = match &triple.object {
        Term::NamedNode(iri) => iri.as_str().len(),
        Term::BlankNode(node) => node.as_str().len(),
        Term::Literal(literal) => literal.value().len(),
    };
    subject + triple.predicate.as_str().len() + object
}

/// What takes the answer hands it to other threads, which give the memory back.
struct Uncounted<W>(W);

impl<W: Write> Write for Uncounted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uncounted(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        uncounted(|| self.0.flush())
    }
}

fn row_format(format: RowFormat) -> QueryResultsFormat {
    match format {
        RowFormat::Json => QueryResultsFormat::Json,
        RowFormat::Xml => QueryResultsFormat::Xml,
        RowFormat::Csv => QueryResultsFormat::Csv,
        RowFormat::Tsv => QueryResultsFormat::Tsv,
    }
}

fn triple_format(format: TripleFormat) -> RdfFormat {
    match format {
        TripleFormat::Turtle => RdfFormat::Turtle,
        TripleFormat::NTriples => RdfFormat::NTriples,
        TripleFormat::RdfXml => RdfFormat::RdfXml,
        TripleFormat::JsonLd => RdfFormat::JsonLd {
            profile: oxigraph::io::JsonLdProfile::Streaming.into(),
        },
    }
}
