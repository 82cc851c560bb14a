//! From decoded objects to triples in a graph.

use rdf::{Graph, Known, TermId};

use crate::body::{Body, Term};
use crate::object::{ObjectFile, Value};
use crate::source::ObjectSource;

/// Adds the types of an object.
pub(crate) fn types(graph: &mut Graph, file: &ObjectFile, node: u32, subject: TermId) {
    for &class in file.nodes[node as usize].class.types() {
        graph.insert(subject, Known::RdfType, class);
    }
}

/// The term of a value that is no object.
pub(crate) fn scalar(
    graph: &mut Graph,
    source: &dyn ObjectSource,
    file: &ObjectFile,
    value: Value,
) -> Option<TermId> {
    Some(match value {
        Value::Node(_) | Value::Persistent(_) => return None,
        Value::Iri(span) => graph.node(file.text(span)),
        Value::Text(span) => graph.text(file.text(span)),
        Value::Integer(span) => graph.integer(file.text(span)),
        Value::Double(span) => graph.double(file.text(span)),
        Value::DateTime(span) => graph.date_time(file.text(span)),
        Value::Boolean(value) => graph.boolean(value),
        Value::External(path) => graph.boolean(!source.is_linked(file.text(path))),
    })
}

/// Adds an annotation's body. `blank` and `cell` give the terms of its blank nodes and of the cells of its lists.
pub(crate) fn body(
    graph: &mut Graph,
    annotation: TermId,
    body: &Body,
    mut blank: impl FnMut(&mut Graph, u32) -> TermId,
    mut cell: impl FnMut(&mut Graph, u32) -> TermId,
) {
    let mut term_of = |graph: &mut Graph, term: &Term| match term {
        Term::Id(id) => graph.node(id),
        Term::Iri(iri) => graph.iri(iri),
        Term::Blank(number) => blank(graph, *number),
        Term::Cell(number) => cell(graph, *number),
        Term::Nil => TermId::from(Known::RdfNil),
        Term::Text(text) => graph.text(text),
        Term::Integer(number) => graph.integer(number),
        Term::Double(number) => graph.double(number),
        Term::Boolean(value) => graph.boolean(*value),
        Term::LangText { text, tag } => graph.lang_text(text, tag),
        Term::Typed { text, datatype } => graph.typed(text, datatype),
    };
    for root in &body.roots {
        let root = term_of(graph, root);
        graph.insert(annotation, Known::OaHasBody, root);
    }
    for (subject, predicate, object) in &body.triples {
        let subject = term_of(graph, subject);
        let predicate = graph.iri(predicate);
        let object = term_of(graph, object);
        graph.insert(subject, predicate, object);
    }
}
