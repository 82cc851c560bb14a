//! Flattened, expanded JSON-LD, the form that `renku graph export` prints.

use std::io::{self, Write};

use crate::graph::{Graph, TermId, TermRef};
use crate::literal::double_to_json;
use crate::vocab::Known;
use crate::write::Buffer;

pub(crate) fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Buffer::new(out);
    let mut first = true;
    for node in graph.by_subject() {
        buffer.text(if first { "[\n" } else { ",\n" });
        first = false;
        write_node(&mut buffer.bytes, graph, node);
        buffer.flush_if_full()?;
    }
    buffer.text(if first { "[]\n" } else { "\n]\n" });
    buffer.finish()
}

fn write_node(out: &mut Vec<u8>, graph: &Graph, triples: &[[TermId; 3]]) {
    out.extend_from_slice(b"{\"@id\":");
    write_id(out, graph, triples[0][0]);
    for values in triples.chunk_by(|a, b| a[1] == b[1]) {
        let predicate = values[0][1];
        // `@type` names IRIs only. Anything else that is a type has to be written as a property.
        let is_type = predicate == Known::RdfType.into()
            && values
                .iter()
                .all(|[_, _, object]| matches!(graph.term(*object), TermRef::Iri(..) | TermRef::Blank(_)));
        out.push(b',');
        if is_type {
            out.extend_from_slice(b"\"@type\"");
        } else {
            write_id(out, graph, predicate);
        }
        out.extend_from_slice(b":[");
        for (place, &[_, _, object]) in values.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            if is_type {
                write_id(out, graph, object);
            } else {
                write_value(out, graph, object);
            }
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_id(out: &mut Vec<u8>, graph: &Graph, term: TermId) {
    out.push(b'"');
    match graph.term(term) {
        TermRef::Iri(front, rest) => {
            escape_into(out, front);
            escape_into(out, rest);
        }
        TermRef::Blank(label) => {
            out.extend_from_slice(b"_:");
            escape_into(out, label);
        }
        TermRef::Text(text) | TermRef::Native(text, _) => escape_into(out, text),
        TermRef::LangText { text, .. } | TermRef::Typed { text, .. } => escape_into(out, text),
    }
    out.push(b'"');
}

fn write_value(out: &mut Vec<u8>, graph: &Graph, term: TermId) {
    match graph.term(term) {
        TermRef::Iri(..) | TermRef::Blank(_) => {
            out.extend_from_slice(b"{\"@id\":");
            write_id(out, graph, term);
        }
        TermRef::Text(text) => {
            out.extend_from_slice(b"{\"@value\":");
            write_string(out, text);
        }
        TermRef::Native(text, Known::XsdInteger | Known::XsdBoolean) => {
            out.extend_from_slice(b"{\"@value\":");
            out.extend_from_slice(text.as_bytes());
        }
        TermRef::Native(text, datatype) => match double_to_json(text) {
            Some(number) if datatype == Known::XsdDouble => {
                out.extend_from_slice(b"{\"@value\":");
                out.extend_from_slice(number.as_bytes());
            }
            _ => write_typed(out, text, datatype.as_str()),
        },
        TermRef::LangText { text, tag } => {
            out.extend_from_slice(b"{\"@language\":");
            write_string(out, tag);
            out.extend_from_slice(b",\"@value\":");
            write_string(out, text);
        }
        TermRef::Typed { text, datatype } => write_typed(out, text, datatype),
    }
    out.push(b'}');
}

fn write_typed(out: &mut Vec<u8>, text: &str, datatype: &str) {
    out.extend_from_slice(b"{\"@type\":");
    write_string(out, datatype);
    out.extend_from_slice(b",\"@value\":");
    write_string(out, text);
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape_into(out, text);
    out.push(b'"');
}

/// How many bytes at the front stand in a JSON string as they are. Whole chunks are looked at together, which the compiler turns
/// into vector instructions: nearly all text of a graph is plain.
pub fn plain_in_json(bytes: &[u8]) -> usize {
    let odd = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let mut at = 0;
    for chunk in bytes.chunks_exact(16) {
        if chunk.iter().fold(false, |any, &byte| any | odd(byte)) {
            break;
        }
        at += 16;
    }
    let rest = bytes[at..].iter().position(|&byte| odd(byte));
    rest.map_or(bytes.len(), |rest| at + rest)
}

fn escape_into(out: &mut Vec<u8>, text: &str) {
    let mut bytes = text.as_bytes();
    loop {
        let plain = plain_in_json(bytes);
        out.extend_from_slice(&bytes[..plain]);
        let Some(&byte) = bytes.get(plain) else {
            return;
        };
        bytes = &bytes[plain + 1..];
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaped_text_is_read_back(text in "[a-z\\x00-\\x22\\\\é]{0,70}") {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            let graph_free = String::from_utf8(out).unwrap();
            prop_assert!(graph_free[1..graph_free.len() - 1].bytes().all(|b| b >= 0x20));
            prop_assert_eq!(unescaped(&graph_free), text);
        }
    }

    /// As little of JSON as the writer uses.
    fn unescaped(json: &str) -> String {
        let mut chars = json[1..json.len() - 1].chars();
        let mut out = String::new();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next().unwrap() {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    out.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                }
                other => out.push(other),
            }
        }
        out
    }
}
