//! The suites' manifests.

use std::collections::VecDeque;
use std::path::Path;

use oxigraph::io::{RdfFormat, RdfParser};
use oxigraph::model::{Graph, NamedNodeRef, NamedOrBlankNodeRef, Quad, TermRef, vocab::rdf};
use oxigraph::sparql::SparqlEvaluator;

use crate::support::HOST;

const MF: &str = "http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#";
const QT: &str = "http://www.w3.org/2001/sw/DataAccess/tests/test-query#";
const SPARQL: &str = "http://www.w3.org/ns/sparql-service-description#";

/// What the files' paths are relative to.
pub fn base() -> String {
    format!("https://{HOST}/projects/")
}

/// One test.
pub struct Case {
    /// The manifest's folder and the test's own name.
    pub name: String,
    /// IRI of the query's file.
    pub query: String,
    pub text: String,
    pub data: Vec<String>,
    pub named: Vec<String>,
    /// Graphs that the query itself names as its dataset.
    pub from: Vec<String>,
    /// Path of the file with the result.
    pub result: String,
}

fn node(space: &str, name: &str) -> oxigraph::model::NamedNode {
    oxigraph::model::NamedNode::new_unchecked(format!("{space}{name}"))
}

/// Reads a file of triples; blank nodes get names of their own.
pub fn read_graph(root: &Path, path: &str) -> Vec<Quad> {
    let bytes = std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let format = match path.rsplit('.').next() {
        Some("rdf") => RdfFormat::RdfXml,
        Some("nt") => RdfFormat::NTriples,
        _ => RdfFormat::Turtle,
    };
    RdfParser::from_format(format)
        .with_base_iri(format!("{}{path}", base()))
        .unwrap()
        .rename_blank_nodes()
        .for_slice(&bytes)
        .map(|quad| quad.unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

pub fn graph(root: &Path, path: &str) -> Graph {
    read_graph(root, path)
        .into_iter()
        .map(oxigraph::model::Triple::from)
        .collect()
}

fn subject(term: TermRef<'_>) -> Option<NamedOrBlankNodeRef<'_>> {
    match term {
        TermRef::NamedNode(node) => Some(node.into()),
        TermRef::BlankNode(node) => Some(node.into()),
        _ => None,
    }
}

fn list<'g>(graph: &'g Graph, head: TermRef<'g>) -> Vec<TermRef<'g>> {
    let (mut items, mut at) = (Vec::new(), subject(head));
    while let Some(node) = at.filter(|node| *node != rdf::NIL.into()) {
        items.extend(graph.object_for_subject_predicate(node, rdf::FIRST));
        at = graph
            .object_for_subject_predicate(node, rdf::REST)
            .and_then(subject);
    }
    items
}

/// The query evaluation tests of a manifest and of those that it includes. Left out: federated queries (`SERVICE` is off) and
/// entailment regimes (not offered).
pub fn cases(root: &Path, manifest: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut manifests = VecDeque::from([manifest.to_owned()]);
    while let Some(path) = manifests.pop_front() {
        let graph = graph(root, &path);
        let (include, entries) = (node(MF, "include"), node(MF, "entries"));
        for triple in graph.iter() {
            if triple.predicate == include.as_ref() {
                for item in list(&graph, triple.object) {
                    if let TermRef::NamedNode(iri) = item {
                        manifests.push_back(iri.as_str().replace(&base(), ""));
                    }
                }
            }
            if triple.predicate == entries.as_ref() {
                for item in list(&graph, triple.object) {
                    cases.extend(subject(item).and_then(|test| case(root, &path, &graph, test)));
                }
            }
        }
    }
    cases
}

fn case(root: &Path, path: &str, graph: &Graph, test: NamedOrBlankNodeRef<'_>) -> Option<Case> {
    let kind = graph.object_for_subject_predicate(test, rdf::TYPE)?;
    let evaluates = [node(MF, "QueryEvaluationTest"), node(MF, "CSVResultFormatTest")];
    if !evaluates.iter().any(|k| kind == k.as_ref().into()) {
        return None;
    }
    let get = |subject: NamedOrBlankNodeRef<'_>, predicate: NamedNodeRef<'_>| {
        graph
            .objects_for_subject_predicate(subject, predicate)
            .map(|o| o.into_owned())
            .collect::<Vec<_>>()
    };
    let action = subject(graph.object_for_subject_predicate(test, node(MF, "action").as_ref())?)?;
    let regime = node(SPARQL, "entailmentRegime");
    if !get(action, node(QT, "serviceData").as_ref()).is_empty()
        || !get(action, regime.as_ref()).is_empty()
        || !get(test, regime.as_ref()).is_empty()
    {
        return None;
    }
    let iris = |name: &str| -> Vec<String> {
        get(action, node(QT, name).as_ref())
            .into_iter()
            .filter_map(|term| match term {
                oxigraph::model::Term::NamedNode(iri) => Some(iri.into_string()),
                _ => None,
            })
            .collect()
    };
    let query = iris("query").pop()?;
    let text = std::fs::read_to_string(root.join(query.replace(&base(), ""))).unwrap();
    let from = SparqlEvaluator::new()
        .with_base_iri(&query)
        .unwrap()
        .parse_query(&text)
        .ok()
        .filter(|parsed| !parsed.dataset().is_default_dataset())
        .map(|parsed| {
            let given = parsed.dataset();
            let default = given.default_graph_graphs().unwrap_or_default().iter();
            let named = given.available_named_graphs().unwrap_or_default().iter();
            default
                .map(ToString::to_string)
                .chain(named.map(ToString::to_string))
                .map(|iri| iri.trim_matches(['<', '>']).to_owned())
                .filter(|iri| iri.starts_with("https://"))
                .collect()
        })
        .unwrap_or_default();
    let name = match test {
        NamedOrBlankNodeRef::NamedNode(iri) => iri.as_str().rsplit(['#', '/']).next()?.to_owned(),
        NamedOrBlankNodeRef::BlankNode(_) => query.rsplit('/').next()?.to_owned(),
    };
    let result = match get(test, node(MF, "result").as_ref()).pop()? {
        oxigraph::model::Term::NamedNode(iri) => iri.as_str().replace(&base(), ""),
        _ => return None,
    };
    Some(Case {
        name: format!("{}/{name}", path.trim_end_matches("/manifest.ttl")),
        query,
        text,
        data: iris("data"),
        named: iris("graphData"),
        from,
        result,
    })
}
