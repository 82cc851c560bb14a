//! The one serializer of terms: canonical N-Triples (RDF 1.1 N-Triples section 4, with the escapes of RDF 1.2's canonical form).

use crate::graph::{Graph, TermId, TermRef};

/// Writes `<iri>`. The caller has checked it: nothing is escaped, an IRI that would need it is refused before.
pub fn write_iri(out: &mut Vec<u8>, front: &str, rest: &str) {
    out.push(b'<');
    out.extend_from_slice(front.as_bytes());
    out.extend_from_slice(rest.as_bytes());
    out.push(b'>');
}

/// Writes a quoted string with the canonical escapes.
pub fn write_literal(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0C => b"\\f",
            0..=0x1F | 0x7F => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(escape);
        }
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Writes a term.
pub(crate) fn write_term(out: &mut Vec<u8>, graph: &Graph, term: TermId) {
    match graph.term(term) {
        TermRef::Iri(front, rest) => write_iri(out, front, rest),
        TermRef::Blank(label) => {
            out.extend_from_slice(b"_:");
            out.extend_from_slice(label.as_bytes());
        }
        TermRef::Text(text) => write_literal(out, text),
        TermRef::Native(text, datatype) => {
            write_literal(out, text);
            out.extend_from_slice(b"^^");
            write_iri(out, "", datatype.as_str());
        }
        TermRef::LangText { text, tag } => {
            write_literal(out, text);
            out.push(b'@');
            out.extend_from_slice(tag.as_bytes());
        }
        TermRef::Typed { text, datatype } => {
            write_literal(out, text);
            out.extend_from_slice(b"^^");
            write_iri(out, "", datatype);
        }
    }
}

/// Writes a line, with its end.
pub(crate) fn write_line(out: &mut Vec<u8>, graph: &Graph, triple: [TermId; 3]) {
    for term in triple {
        write_term(out, graph, term);
        out.push(b' ');
    }
    out.extend_from_slice(b".\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        write_literal(&mut out, "a\"b\\c\nd\re\tf\u{8}g\u{c}h\u{0}i\u{7f}jé\u{85}");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"b\\\\c\\nd\\re\\tf\\bg\\fh\\u0000i\\u007Fjé\u{85}\""
        );
    }
}
