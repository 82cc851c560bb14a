//! RDF/XML.

use std::io::Write;

use crate::graph::{Graph, TermId, TermRef};
use crate::vocab::PREFIXES;
use crate::write::{Buffer, WriteError};

pub(crate) fn write(graph: &Graph, out: &mut dyn Write) -> Result<(), WriteError> {
    let mut buffer = Buffer::new(out);
    buffer.text("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<rdf:RDF");
    for (name, namespace) in PREFIXES {
        buffer.text(&format!("\n  xmlns:{name}=\"{namespace}\""));
    }
    buffer.text(">\n");
    for node in graph.by_subject() {
        buffer.text("<rdf:Description ");
        write_node_attribute(&mut buffer.bytes, graph, node[0][0], "rdf:about")?;
        buffer.text(">\n");
        for &[_, predicate, object] in node {
            write_property(&mut buffer.bytes, graph, predicate, object)?;
        }
        buffer.text("</rdf:Description>\n");
        buffer.flush_if_full()?;
    }
    buffer.text("</rdf:RDF>\n");
    buffer.finish()?;
    Ok(())
}

fn write_property(
    out: &mut Vec<u8>,
    graph: &Graph,
    predicate: TermId,
    object: TermId,
) -> Result<(), WriteError> {
    let iri = match graph.term(predicate) {
        TermRef::Iri(front, rest) => format!("{front}{rest}"),
        _ => String::new(),
    };
    let (namespace, local) =
        split(&iri).ok_or_else(|| WriteError::Predicate(iri.chars().take(400).collect()))?;
    let known = PREFIXES.iter().find(|(_, full)| *full == namespace);
    let tag = match known {
        Some((name, _)) => format!("{name}:{local}"),
        None => format!("p:{local}"),
    };
    out.extend_from_slice(b"  <");
    out.extend_from_slice(tag.as_bytes());
    if known.is_none() {
        out.extend_from_slice(b" xmlns:p=\"");
        escape_into(out, namespace)?;
        out.push(b'"');
    }
    match graph.term(object) {
        TermRef::Iri(..) | TermRef::Blank(_) => {
            out.push(b' ');
            write_node_attribute(out, graph, object, "rdf:resource")?;
            out.extend_from_slice(b"/>\n");
            return Ok(());
        }
        TermRef::Text(text) => {
            out.push(b'>');
            escape_into(out, text)?;
        }
        TermRef::Native(text, datatype) => {
            write_attribute(out, "rdf:datatype", datatype.as_str())?;
            escape_into(out, text)?;
        }
        TermRef::Typed { text, datatype } => {
            write_attribute(out, "rdf:datatype", datatype)?;
            escape_into(out, text)?;
        }
        TermRef::LangText { text, tag } => {
            write_attribute(out, "xml:lang", tag)?;
            escape_into(out, text)?;
        }
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b">\n");
    Ok(())
}

/// ` name="value">`
fn write_attribute(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), WriteError> {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape_into(out, value)?;
    out.extend_from_slice(b"\">");
    Ok(())
}

fn write_node_attribute(
    out: &mut Vec<u8>,
    graph: &Graph,
    term: TermId,
    name: &str,
) -> Result<(), WriteError> {
    match graph.term(term) {
        TermRef::Blank(label) => {
            out.extend_from_slice(b"rdf:nodeID=\"");
            escape_into(out, label)?;
        }
        TermRef::Iri(front, rest) => {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape_into(out, front)?;
            escape_into(out, rest)?;
        }
        _ => {}
    }
    out.push(b'"');
    Ok(())
}

/// Splits before the longest end that is an XML name. Only names of ASCII letters, digits, `_`, `-`, `.` are looked for.
fn split(iri: &str) -> Option<(&str, &str)> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let mut start = iri.len() - iri.bytes().rev().take_while(|&b| is_name(b)).count();
    let bytes = iri.as_bytes();
    while start < bytes.len() && !(bytes[start].is_ascii_alphabetic() || bytes[start] == b'_') {
        start += 1;
    }
    (start > 0 && start < bytes.len()).then(|| iri.split_at(start))
}

fn escape_into(out: &mut Vec<u8>, text: &str) -> Result<(), WriteError> {
    for c in text.chars() {
        match c {
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\n' => out.extend_from_slice(b"&#xA;"),
            '\r' => out.extend_from_slice(b"&#xD;"),
            '\t' => out.extend_from_slice(b"&#x9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                return Err(WriteError::Control(text.chars().take(80).collect()));
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Known;

    #[test]
    fn predicates_are_split() {
        assert_eq!(split("http://a/b#c"), Some(("http://a/b#", "c")));
        assert_eq!(split("http://a/1c"), Some(("http://a/1", "c")));
        assert_eq!(split("http://a/1"), None);
        assert_eq!(split("http://a/"), None);
        assert_eq!(
            split(Known::ProvAgent.as_str()),
            Some(("http://www.w3.org/ns/prov#", "agent"))
        );
    }
}
