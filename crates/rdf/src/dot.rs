//! A drawing for Graphviz: an ellipse a node, a box a literal, an arrow a triple.

use std::io::{self, Write};

use crate::graph::{Graph, TermId, TermRef};
use crate::vocab::PREFIXES;
use crate::write::Buffer;

pub(crate) fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Buffer::new(out);
    let mut named = vec![false; graph.term_count()];
    buffer.text("digraph {\n  node [fontname=\"DejaVu Sans\"];\n");
    for &[subject, predicate, object] in graph.triples() {
        for term in [subject, object] {
            if !std::mem::replace(&mut named[term.place()], true) {
                let shape = match graph.term(term) {
                    TermRef::Iri(..) | TermRef::Blank(_) => "ellipse",
                    _ => "box",
                };
                buffer.text(&format!(
                    "  node{} [shape={shape}, label=\"{}\"];\n",
                    term.place(),
                    label(graph, term)
                ));
            }
        }
        buffer.text(&format!(
            "  node{} -> node{} [label=\"{}\"];\n",
            subject.place(),
            object.place(),
            label(graph, predicate)
        ));
        buffer.flush_if_full()?;
    }
    buffer.text("}\n");
    buffer.finish()
}

fn label(graph: &Graph, term: TermId) -> String {
    let text = match graph.term(term) {
        TermRef::Iri(front, rest) => {
            let iri = format!("{front}{rest}");
            PREFIXES
                .iter()
                .find_map(|(name, namespace)| {
                    iri.strip_prefix(namespace).map(|local| format!("{name}:{local}"))
                })
                .unwrap_or(iri)
        }
        TermRef::Blank(label) => format!("_:{label}"),
        TermRef::Text(text) | TermRef::Native(text, _) => text.to_owned(),
        TermRef::LangText { text, tag } => format!("{text}@{tag}"),
        TermRef::Typed { text, .. } => text.to_owned(),
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
