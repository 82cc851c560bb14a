//! Every export that the real CLI printed of a recorded repository.

use std::collections::BTreeSet;

use metadata::{export_full, export_revision};
use rdf::{Format, Graph, Host};

use crate::source::{Files, Recorded, fixtures};

const PROJECTS: &[&str] = &[
    "composite-iterate",
    "dataset-import",
    "datasets-basic",
    "empty-init",
    "long-history",
    "older-v10",
    "project-meta",
    "workflows-run",
];

pub fn host() -> Host {
    Host::verbatim("example.org")
}

pub fn lines(graph: &Graph) -> BTreeSet<String> {
    let mut out = Vec::new();
    graph.write(Format::NTriples, &mut out).unwrap();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The triples that the CLI printed, in the form of [`lines`].
fn printed(file: &str) -> BTreeSet<String> {
    let json = std::fs::read(fixtures().join(file)).unwrap();
    let nodes: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mut graph = Graph::new(host());
    for node in nodes.as_array().unwrap() {
        let subject = graph.node(node["@id"].as_str().unwrap());
        for (key, values) in node.as_object().unwrap() {
            if key == "@id" {
                continue;
            }
            for value in values.as_array().unwrap() {
                if key == "@type" {
                    let class = graph.iri(value.as_str().unwrap());
                    graph.insert(subject, rdf::Known::RdfType, class);
                    continue;
                }
                let text = || value["@value"].as_str().unwrap();
                let object = if let Some(id) = value["@id"].as_str() {
                    graph.node(id)
                } else if let Some(tag) = value["@language"].as_str() {
                    graph.lang_text(text(), tag)
                } else if let Some(datatype) = value["@type"].as_str() {
                    graph.typed(text(), datatype)
                } else {
                    match &value["@value"] {
                        serde_json::Value::Bool(value) => graph.boolean(*value),
                        serde_json::Value::Number(n) if n.is_f64() => {
                            graph.double(&rdf::double_from_json(&n.to_string()).unwrap())
                        }
                        serde_json::Value::Number(n) => graph.integer(&n.to_string()),
                        _ => graph.text(text()),
                    }
                };
                let predicate = graph.iri(key);
                graph.insert(subject, predicate, object);
            }
        }
    }
    graph.finish();
    lines(&graph)
}

/// Linked files are told apart by symlinks, which this test's files do not have.
pub fn files_of(name: &str, repository: &Recorded) -> Files {
    let mut files = repository.head();
    if name == "older-v10" {
        files.linked = vec!["data/old-set/inside.lnk".to_owned()];
    }
    files
}

#[test]
fn full_exports_are_the_clis() {
    for name in PROJECTS {
        let repository = Recorded::clone_of(name);
        let files = files_of(name, &repository);
        let graph = export_full(&files, host()).unwrap();
        assert!(lines(&graph) == printed(&format!("{name}.jsonld")), "{name}");
    }
}

#[test]
fn a_revision_is_what_its_files_hold_now() {
    let repository = Recorded::clone_of("empty-init");
    let files = repository.head();
    let graph = export_revision(&files, host(), &["project".to_owned()]).unwrap();
    assert!(lines(&graph) == printed("empty-init.rev-head.jsonld"));
    let graph = export_revision(&files, host(), &[]).unwrap();
    assert!(graph.triples().is_empty());
    let error = export_revision(&files, host(), &["0".repeat(64)]).unwrap_err();
    assert!(error.to_string().starts_with("Cannot find object"), "{error}");
    assert_eq!(error.exit_code(), 1);
}
