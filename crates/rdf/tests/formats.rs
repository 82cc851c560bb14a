//! What the writers print, other parsers read back as the same triples.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use oxrdf::{Quad, Triple};
use proptest::prelude::*;
use rdf::{Format, Graph, Host, Known};

/// A graph with every kind of term, `texts` as its literals.
fn graph(texts: &[String]) -> Graph {
    let mut graph = Graph::new(Host::verbatim("example.org"));
    for (n, text) in texts.iter().enumerate() {
        let node = graph.node(&format!("/entities/{n}/a%20b"));
        let person = graph.node("mailto:jane@example.com");
        graph.insert(node, Known::RdfType, Known::ProvEntity);
        graph.insert(node, Known::ProvAgent, person);
        let odd = graph.iri("https://example.com/ns#when");
        let values = [
            graph.text(text),
            graph.lang_text(text, "de-CH"),
            graph.typed(text, "http://www.w3.org/2001/XMLSchema#date"),
            graph.integer(&n.to_string()),
            graph.double("2.5E0"),
            graph.boolean(n % 2 == 0),
            graph.date_time("2024-01-15T10:01:37+00:00"),
            graph.blank("b7"),
        ];
        for value in values {
            graph.insert(node, odd, value);
            graph.insert(node, Known::SchemaValue, value);
        }
    }
    graph.finish();
    graph
}

fn written(graph: &Graph, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    graph.write(format, &mut out).unwrap();
    out
}

/// One line a triple; blank nodes, which parsers rename, are all one.
fn lines(triples: impl Iterator<Item = Triple>) -> BTreeSet<String> {
    triples
        .map(|triple| {
            let line = triple.to_string();
            match line.find(" _:") {
                Some(at) => format!("{} _:b", &line[..at]),
                None => line,
            }
        })
        .collect()
}

fn of_quads(quads: impl Iterator<Item = Quad>) -> BTreeSet<String> {
    lines(quads.map(Triple::from))
}

fn check(graph: &Graph) {
    let n_triples = written(graph, Format::NTriples);
    let expected = lines(
        oxttl::NTriplesParser::new()
            .for_slice(&n_triples)
            .map(Result::unwrap),
    );
    assert_eq!(expected.len(), graph.triples().len());
    let turtle = written(graph, Format::Turtle);
    assert_eq!(
        lines(oxttl::TurtleParser::new().for_slice(&turtle).map(Result::unwrap)),
        expected
    );
    let xml = written(graph, Format::RdfXml);
    assert_eq!(
        lines(oxrdfxml::RdfXmlParser::new().for_slice(&xml).map(Result::unwrap)),
        expected
    );
    let json = written(graph, Format::JsonLd);
    assert_eq!(
        of_quads(oxjsonld::JsonLdParser::new().for_slice(&json).map(Result::unwrap)),
        expected
    );
}

#[test]
fn every_format_is_read_back() {
    check(&graph(&[
        "plain".to_owned(),
        String::new(),
        "a\"b\\c\nd\re\tf<&>'é\u{1F600} \u{7f}".to_owned(),
    ]));
}

#[test]
fn an_empty_graph_is_an_empty_array() {
    assert_eq!(written(&graph(&[]), Format::JsonLd), b"[]\n");
    check(&graph(&[]));
}

#[test]
fn line_formats_refuse_what_is_no_iri() {
    let mut graph = graph(&[]);
    let bad = graph.node("/plans/a b");
    graph.insert(bad, Known::RdfType, Known::ProvPlan);
    graph.finish();
    for format in [Format::NTriples, Format::Turtle, Format::RdfXml, Format::Dot] {
        let error = graph.write(format, &mut Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("https://example.org/plans/a b"),
            "{error}"
        );
    }
    assert!(
        String::from_utf8(written(&graph, Format::JsonLd))
            .unwrap()
            .contains("/plans/a b")
    );
}

#[test]
fn a_drawing_has_every_triple() {
    let graph = graph(&["a \"b\"".to_owned()]);
    let dot = String::from_utf8(written(&graph, Format::Dot)).unwrap();
    assert_eq!(dot.matches(" -> ").count(), graph.triples().len());
}

proptest! {
    #[test]
    fn any_text_is_read_back(texts in prop::collection::vec("[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{0,12}", 0..4)) {
        check(&graph(&texts));
    }
}
