//! Flattened, expanded JSON-LD, the form that `renku graph export` prints.

use std::io::{self, Write};

use crate::graph::{Graph, Kind, TermId, TermRef};
use crate::literal::double_to_json;
use crate::vocab::Known;
use crate::write::Buffer;

pub(crate) fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let writer = Writer {
        graph,
        is_plain: plain_terms(graph),
        host_is_plain: is_plain(graph.host().prefix().as_bytes()),
    };
    let mut buffer = Buffer::new(out);
    let mut first = true;
    for node in graph.by_subject() {
        buffer.text(if first { "[\n" } else { ",\n" });
        first = false;
        writer.node(&mut buffer.bytes, node);
        buffer.flush_if_full()?;
    }
    buffer.text(if first { "[]\n" } else { "\n]\n" });
    buffer.finish()
}

/// Terms whose stored bytes stand in a JSON string as they are. The bytes of all terms are looked at in one go.
fn plain_terms(graph: &Graph) -> Vec<bool> {
    let (bytes, ends) = graph.all_stored();
    let mut is_plain = vec![true; ends.len()];
    let mut at = 0;
    loop {
        at += plain_in_json(&bytes[at..]);
        if at == bytes.len() {
            return is_plain;
        }
        let place = ends.partition_point(|&end| end as usize <= at);
        is_plain[place] = false;
        at = ends[place] as usize;
    }
}

fn is_plain(bytes: &[u8]) -> bool {
    plain_in_json(bytes) == bytes.len()
}

struct Writer<'g> {
    graph: &'g Graph,
    is_plain: Vec<bool>,
    host_is_plain: bool,
}

impl Writer<'_> {
    fn node(&self, out: &mut Vec<u8>, triples: &[[TermId; 3]]) {
        out.extend_from_slice(b"{\"@id\":");
        self.id(out, triples[0][0]);
        for values in triples.chunk_by(|a, b| a[1] == b[1]) {
            let predicate = values[0][1];
            // `@type` names IRIs only. Anything else that is a type has to be written as a property.
            let is_type = predicate == Known::RdfType.into()
                && values.iter().all(|[_, _, object]| {
                    matches!(self.graph.term(*object), TermRef::Iri(..) | TermRef::Blank(_))
                });
            out.push(b',');
            if is_type {
                out.extend_from_slice(b"\"@type\"");
            } else {
                self.id(out, predicate);
            }
            out.extend_from_slice(b":[");
            for (place, &[_, _, object]) in values.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                if is_type {
                    self.id(out, object);
                } else {
                    self.value(out, object);
                }
            }
            out.push(b']');
        }
        out.push(b'}');
    }

    fn id(&self, out: &mut Vec<u8>, term: TermId) {
        let front = match self.graph.kind(term) {
            Kind::HostIri if self.host_is_plain => self.graph.host().prefix(),
            Kind::Iri | Kind::Placeholder => "",
            _ => return write_id(out, self.graph, term),
        };
        if self.is_plain[term.place()] {
            out.push(b'"');
            out.extend_from_slice(front.as_bytes());
            out.extend_from_slice(self.graph.stored_bytes(term));
            out.push(b'"');
        } else {
            write_id(out, self.graph, term);
        }
    }

    fn value(&self, out: &mut Vec<u8>, term: TermId) {
        match self.graph.kind(term) {
            Kind::Iri | Kind::HostIri | Kind::Placeholder | Kind::Blank => {
                out.extend_from_slice(b"{\"@id\":");
                self.id(out, term);
                out.push(b'}');
            }
            Kind::Text if self.is_plain[term.place()] => {
                out.extend_from_slice(b"{\"@value\":\"");
                out.extend_from_slice(self.graph.stored_bytes(term));
                out.extend_from_slice(b"\"}");
            }
            _ => write_literal(out, self.graph, term),
        }
    }
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

fn write_literal(out: &mut Vec<u8>, graph: &Graph, term: TermId) {
    match graph.term(term) {
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
        TermRef::Text(text) | TermRef::Blank(text) | TermRef::Iri(_, text) => {
            out.extend_from_slice(b"{\"@value\":");
            write_string(out, text);
        }
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

/// How many bytes at the front stand in a JSON string as they are.
#[inline]
pub fn plain_in_json(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let odd = odd_bytes(u64::from_le_bytes(*eight));
        if odd != 0 {
            return at + odd.trailing_zeros() as usize / 8;
        }
        at += 8;
        rest = after;
    }
    let odd = |&byte: &u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    rest.iter().position(odd).map_or(bytes.len(), |odd| at + odd)
}

/// Looks at eight bytes together: the lowest bit that is set belongs to the first byte that is a control character, a quote or
/// a backslash. Bits above it may be set by its borrow.
#[inline]
fn odd_bytes(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let zero_in = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quote = zero_in(eight ^ (ONES * b'"' as u64));
    let backslash = zero_in(eight ^ (ONES * b'\\' as u64));
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (quote | backslash | control) & HIGHS
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
        fn plain_bytes_are_counted(bytes in prop::collection::vec(prop_oneof![3 => 0x1e_u8..0x24, 3 => 0x5a_u8..0x5e, 20 => any::<u8>()], 0..40)) {
            let odd = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            prop_assert_eq!(plain_in_json(&bytes), bytes.iter().position(odd).unwrap_or(bytes.len()));
        }

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
