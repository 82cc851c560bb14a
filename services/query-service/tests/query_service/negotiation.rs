use axum::http::StatusCode;

use crate::rig::*;

const SELECT: &str = "SELECT ?n { ?s <http://schema.org/schemaVersion> ?n }";
const ASK: &str = "ASK { ?s <http://schema.org/schemaVersion> ?n }";
const CONSTRUCT: &str = "CONSTRUCT WHERE { ?s <http://schema.org/schemaVersion> ?n }";
const DESCRIBE: &str = "DESCRIBE <https://renku.example.org/plans/1>";

#[tokio::test]
async fn the_table() {
    let rig = Rig::new();
    let subject = "https://renku.example.org/projects/g/public";
    for (query, accept, content_type, body) in [
        (
            SELECT,
            "*/*",
            "application/sparql-results+json",
            r#"{"head":{"vars":["n"]},"results":{"bindings":[{"n":{"type":"literal","value":"10"}}]}}"#
                .to_owned(),
        ),
        (
            SELECT,
            "application/json",
            "application/json",
            r#"{"head":{"vars":["n"]},"results":{"bindings":[{"n":{"type":"literal","value":"10"}}]}}"#
                .to_owned(),
        ),
        (
            SELECT,
            "text/csv",
            "text/csv; charset=utf-8",
            "n\r\n10\r\n".to_owned(),
        ),
        (
            SELECT,
            "text/tab-separated-values",
            "text/tab-separated-values; charset=utf-8",
            "?n\n\"10\"\n".to_owned(),
        ),
        (
            SELECT,
            "text/csv;q=0.1, text/tab-separated-values;q=0.2",
            "text/tab-separated-values; charset=utf-8",
            "?n\n\"10\"\n".to_owned(),
        ),
        (
            ASK,
            "*/*",
            "application/sparql-results+json",
            r#"{"head":{},"boolean":true}"#.to_owned(),
        ),
        (
            CONSTRUCT,
            "application/n-triples",
            "application/n-triples",
            format!("<{subject}> <http://schema.org/schemaVersion> \"10\" .\n"),
        ),
    ] {
        let told = rig.ask(query_request(query, accept)).await;
        assert_eq!(told.status, StatusCode::OK, "{query} {accept}");
        assert_eq!(
            (told.content_type(), told.text()),
            (content_type, body.as_str()),
            "{query} {accept}"
        );
    }
    for (query, accept, content_type, part) in [
        (
            SELECT,
            "application/sparql-results+xml",
            "application/sparql-results+xml",
            "<literal>10</literal>",
        ),
        (
            SELECT,
            "application/xml",
            "application/xml",
            "<literal>10</literal>",
        ),
        (
            ASK,
            "application/sparql-results+xml",
            "application/sparql-results+xml",
            "<boolean>true</boolean>",
        ),
        (CONSTRUCT, "*/*", "text/turtle; charset=utf-8", subject),
        (
            CONSTRUCT,
            "application/rdf+xml",
            "application/rdf+xml",
            "<rdf:RDF",
        ),
        (CONSTRUCT, "application/ld+json", "application/ld+json", "\"@id\""),
        (
            DESCRIBE,
            "text/turtle",
            "text/turtle; charset=utf-8",
            "plan of g/public",
        ),
    ] {
        let told = rig.ask(query_request(query, accept)).await;
        assert_eq!(
            (told.status, told.content_type()),
            (StatusCode::OK, content_type),
            "{query} {accept}"
        );
        assert!(told.text().contains(part), "{}", told.text());
    }
}

#[tokio::test]
async fn what_we_cannot_write_is_refused_with_the_list() {
    let rig = Rig::new();
    for (query, accept, list) in [
        (SELECT, "text/turtle", "text/tab-separated-values"),
        (ASK, "image/png", "application/sparql-results+xml"),
        (
            CONSTRUCT,
            "text/csv",
            "application/n-triples, application/rdf+xml, application/ld+json",
        ),
        (SELECT, "*/*;q=0", "text/csv"),
    ] {
        let told = rig.ask(query_request(query, accept)).await;
        assert_eq!(told.status, StatusCode::NOT_ACCEPTABLE, "{query} {accept}");
        assert!(told.text().contains(list), "{}", told.text());
    }
}
