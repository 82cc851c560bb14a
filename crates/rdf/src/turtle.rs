//! Turtle: prefixes for what the ontology uses, one block a subject.

use std::io::{self, Write};

use crate::canonical::{write_iri, write_literal, write_term};
use crate::graph::{Graph, TermId, TermRef};
use crate::vocab::{Known, PREFIXES};
use crate::write::Buffer;

pub(crate) fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Buffer::new(out);
    for (name, namespace) in PREFIXES {
        buffer.text(&format!("@prefix {name}: <{namespace}> .\n"));
    }
    for node in graph.by_subject() {
        buffer.text("\n");
        write_term(&mut buffer.bytes, graph, node[0][0]);
        for (place, values) in node.chunk_by(|a, b| a[1] == b[1]).enumerate() {
            buffer.text(if place == 0 { " " } else { " ;\n    " });
            if values[0][1] == Known::RdfType.into() {
                buffer.text("a");
            } else {
                write_short(&mut buffer.bytes, graph, values[0][1]);
            }
            for (place, &[_, _, object]) in values.iter().enumerate() {
                buffer.text(if place == 0 { " " } else { ", " });
                write_short(&mut buffer.bytes, graph, object);
            }
        }
        buffer.text(" .\n");
        buffer.flush_if_full()?;
    }
    buffer.finish()
}

fn write_short(out: &mut Vec<u8>, graph: &Graph, term: TermId) {
    match graph.term(term) {
        TermRef::Iri("", iri) => write_name(out, iri),
        TermRef::Native(text, Known::XsdBoolean) => out.extend_from_slice(text.as_bytes()),
        TermRef::Native(text, datatype) => {
            write_literal(out, text);
            out.extend_from_slice(b"^^");
            write_name(out, datatype.as_str());
        }
        _ => write_term(out, graph, term),
    }
}

/// `prefix:local` where a prefix fits and the rest is made of ASCII letters and digits; else the IRI.
fn write_name(out: &mut Vec<u8>, iri: &str) {
    for (name, namespace) in PREFIXES {
        if let Some(local) = iri.strip_prefix(namespace)
            && local.starts_with(|c: char| c.is_ascii_alphabetic())
            && local.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(local.as_bytes());
            return;
        }
    }
    write_iri(out, "", iri);
}
