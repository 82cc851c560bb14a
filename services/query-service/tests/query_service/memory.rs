//! Queries that gather more than they may: each ends in words, and what others ask is answered meanwhile and afterwards.

use std::time::Duration;

use axum::http::StatusCode;
use model::Visibility;
use query_service::Config;

use crate::rig::*;

const VALUE: &str = "<http://schema.org/value>";
const NEXT: &str = "<http://schema.org/next>";

/// 3,000 values, and a chain of 3,000 steps.
fn filled(config: Config) -> Rig {
    let mut rig = Rig::with(config);
    rig.fill(10, 3_000);
    let step = |n: usize| format!("<https://{HOST}/things/{n:07}>");
    let chain: String = (0..3_000)
        .map(|n| format!("{} {NEXT} {} .\n", step(n), step(n + 1)))
        .collect();
    rig.put(11, state("g/chain", Visibility::Public), &chain);
    rig
}

#[tokio::test]
async fn buffers_of_the_engine_are_bounded() {
    let rig = filled(Config {
        query_memory_mib: 32,
        ..Config::default()
    });
    let product = format!("?a {VALUE} ?b . ?c {VALUE} ?d");
    for (what, query) in [
        ("order", format!("SELECT * {{ {product} }} ORDER BY ?b")),
        (
            "distinct",
            format!("SELECT (COUNT(*) AS ?n) {{ {{ SELECT DISTINCT ?a ?c {{ {product} }} }} }}"),
        ),
        (
            "group",
            format!("SELECT ?a ?c (COUNT(*) AS ?n) {{ {product} }} GROUP BY ?a ?c"),
        ),
        ("text", format!("SELECT (GROUP_CONCAT(?b) AS ?t) {{ {product} }}")),
        (
            "sample",
            format!("SELECT (COUNT(DISTINCT ?d) AS ?n) {{ {product} }} GROUP BY ?a"),
        ),
        (
            "join",
            format!(
                "SELECT * {{ {{ SELECT * {{ {product} }} }} MINUS {{ ?e {VALUE} ?f . ?a {VALUE} ?h }} }} ORDER BY ?d"
            ),
        ),
        ("path", format!("SELECT * {{ ?a {NEXT}+ ?b }} ORDER BY ?b")),
        (
            "replace",
            format!(
                "SELECT (STRLEN(REPLACE(?t, \".\", ?t)) AS ?n) {{ {{ SELECT (GROUP_CONCAT(?b) AS ?t) {{ ?a {VALUE} ?b }} }} }}"
            ),
        ),
    ] {
        let (hostile, other) = tokio::join!(rig.query(&query), rig.query("ASK {}"));
        assert_eq!(other.text(), "true");
        assert_eq!(
            hostile.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{what}: {hostile:?}"
        );
        assert!(
            hostile.text().contains("more than 32 MiB of memory"),
            "{what}: {hostile:?}"
        );
        let after = rig
            .query(&format!("SELECT (COUNT(*) AS ?n) {{ ?a {VALUE} ?b }}"))
            .await;
        assert_eq!(after.text().trim_end(), "n\r\n3000", "{what}");
    }
}

#[tokio::test]
async fn long_answers_are_no_memory() {
    let rig = filled(Config {
        query_memory_mib: 4,
        ..Config::default()
    });
    let query = format!(
        "SELECT * {{ ?a {VALUE} ?b . VALUES ?n {{ 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 }} }}"
    );
    let told = rig.query(&query).await;
    assert_eq!(told.status, StatusCode::OK);
    let text = told.text();
    assert_eq!(text.lines().count(), 60_001);
    assert!(text.len() > 5 << 20, "{}", text.len());
}

/// Rows without a term cannot be seen where they are copied.
#[tokio::test]
async fn products_of_nothing_end() {
    let rig = filled(Config {
        query_seconds: 1,
        ..Config::default()
    });
    let nothing = format!("{{ {{}}{} }}", " UNION {}".repeat(40));
    let undefined = format!("VALUES ?u {{ {} }}", "UNDEF ".repeat(100));
    let selected = format!("{{ SELECT ?none {{ ?a {VALUE} ?b }} }}");
    for (what, factor) in [
        ("nothing", nothing),
        ("undefined", undefined),
        ("selected", selected),
    ] {
        let query = format!("SELECT (COUNT(*) AS ?n) {{ {} }}", factor.repeat(8));
        let told = tokio::time::timeout(Duration::from_secs(30), rig.query(&query)).await;
        let told = told.unwrap_or_else(|_| panic!("{what} does not end"));
        assert!(told.text().contains("longer than 1 s"), "{what}: {told:?}");
    }
    let small = rig
        .query("SELECT (COUNT(*) AS ?n) { { {} UNION {} } { {} UNION {} UNION {} } }")
        .await;
    assert_eq!(small.text().trim_end(), "n\r\n6");
}
