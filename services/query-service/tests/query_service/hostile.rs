//! Queries that are meant to hurt: each ends, with an answer or in words, and the next one is answered.

use std::time::Duration;

use axum::http::StatusCode;
use query_service::Config;

use crate::rig::*;

const LENGTH: usize = 65_000;

fn chain(begin: &str, link: &str, end: &str) -> String {
    let links = (LENGTH - begin.len() - end.len()) / link.len();
    format!("{begin}{}{end}", link.repeat(links))
}

#[tokio::test]
async fn long_chains_do_not_overflow_anything() {
    let rig = Rig::new();
    for query in [
        chain("SELECT * { FILTER(1", "||1", ") }"),
        chain("SELECT * { FILTER(1", "+1", " = 1) }"),
        chain("SELECT * { FILTER(", "!", "true) }"),
        chain("SELECT * { FILTER(", "-", "1) }"),
        chain("SELECT * { {}", " UNION {}", " }"),
        chain("SELECT * { ?s <a:b>", "/<a:b>", " ?o }"),
        chain("SELECT * { ?s <a:b>", "|<a:b>", " ?o }"),
        chain("SELECT * { ?s ", "^", "<a:b> ?o }"),
        chain("SELECT * { ?s <a:b>", "*", " ?o }"),
        chain("SELECT * { ", "OPTIONAL {} ", " }"),
        chain("SELECT * { ", "MINUS {} ", " }"),
        chain("SELECT * { VALUES ?x { ", "1 ", " } }"),
        chain("SELECT * { FILTER(1 IN (1", ",1", ")) }"),
        chain("SELECT * { ?s <a:b> ?o", ",?o", " }"),
        chain("", "PREFIX a:<a:> ", "ASK {}"),
        chain("SELECT ", "?a ", "{}"),
        chain("SELECT * {} ORDER BY ", "?a ", ""),
        chain("", "#\n", "ASK {}"),
        "(".repeat(LENGTH),
        "{".repeat(LENGTH),
        "\"".repeat(LENGTH),
        "\\".repeat(LENGTH),
        "\u{0}".repeat(LENGTH),
    ] {
        let begun = std::time::Instant::now();
        let told = tokio::time::timeout(Duration::from_secs(60), rig.query(&query)).await;
        let head: String = query.chars().take(40).collect();
        let told = told.unwrap_or_else(|_| panic!("does not end: {head}"));
        assert!(
            matches!(
                told.status,
                StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE
            ),
            "{head}: {told:?}"
        );
        println!("{head}: {} after {} ms", told.status, begun.elapsed().as_millis());
        assert_eq!(rig.query("ASK {}").await.text(), "true");
    }
}

#[tokio::test]
async fn limits_are_told_before_the_first_byte_and_break_off_later() {
    let mut rig = Rig::with(Config {
        query_rows: 100,
        ..Config::default()
    });
    rig.fill(10, 5_000);
    let few = rig
        .query("SELECT * { ?s <http://schema.org/value> ?o } LIMIT 100")
        .await;
    assert_eq!(few.status, StatusCode::OK);
    let early = rig.query("SELECT ?s { ?s <http://schema.org/value> ?o }").await;
    assert_eq!(early.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(early.text().contains("more than 100 rows"), "{early:?}");

    let mut rig = Rig::with(Config {
        query_rows: 3_000,
        ..Config::default()
    });
    rig.fill(10, 5_000);
    let late = rig.query("SELECT * { ?s <http://schema.org/value> ?o }").await;
    assert_eq!(late.status, StatusCode::OK);
    assert!(late.body.is_err(), "not broken off");
}

#[tokio::test]
async fn time_and_work_are_bounded() {
    let mut rig = Rig::with(Config {
        query_seconds: 1,
        ..Config::default()
    });
    rig.fill(10, 3_000);
    let product = "SELECT (COUNT(*) AS ?n) { ?a <http://schema.org/value> ?b . ?c <http://schema.org/value> ?d . ?e <http://schema.org/value> ?f }";
    let told = tokio::time::timeout(Duration::from_secs(20), rig.query(product))
        .await
        .unwrap();
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.text().contains("longer than 1 s"), "{told:?}");

    let mut rig = Rig::with(Config {
        query_quads: 1_000,
        ..Config::default()
    });
    rig.fill(10, 3_000);
    let told = rig
        .query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o FILTER(STRLEN(STR(?o)) > 3) }")
        .await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.text().contains("more than 1000 quads"), "{told:?}");
}

#[tokio::test]
async fn more_queries_than_slots_are_sent_away() {
    let mut rig = Rig::with(Config {
        queries: 1,
        queue_seconds: 1,
        query_seconds: 30,
        ..Config::default()
    });
    rig.fill(10, 3_000);
    let product = "SELECT (COUNT(*) AS ?n) { ?a <http://schema.org/value> ?b . ?c <http://schema.org/value> ?d . ?e <http://schema.org/value> ?f }";
    let slow = rig.query(product);
    tokio::pin!(slow);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut slow)
            .await
            .is_err()
    );
    let told = rig.query("ASK {}");
    tokio::pin!(told);
    let told = tokio::select! {
        told = &mut told => told,
        _ = &mut slow => panic!("the slow one ended"),
    };
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.headers["retry-after"], "2");
}

/// Every step doubles a text; without a bound the thirtieth takes a gigabyte.
#[tokio::test]
async fn memory_for_values_is_bounded() {
    let rig = Rig::new();
    let steps: String = (1..60)
        .map(|n| format!("BIND(CONCAT(?x{0}, ?x{0}) AS ?x{n}) ", n - 1))
        .collect();
    let told = rig
        .query(&format!(
            "SELECT (STRLEN(?x59) AS ?n) {{ BIND(\"xxxxxxxx\" AS ?x0) {steps} }}"
        ))
        .await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.text().contains("bytes of values"), "{told:?}");
}
