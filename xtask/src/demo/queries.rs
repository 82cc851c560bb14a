use anyhow::{Context, Result, bail};

use crate::process::request;

/// What is counted of every project.
pub const COUNTS: &[(&str, &str)] = &[
    (
        "triples",
        "SELECT (COUNT(*) AS ?n) WHERE { GRAPH <G> { ?s ?p ?o } }",
    ),
    (
        "datasets",
        "SELECT (COUNT(DISTINCT ?d) AS ?n) WHERE { GRAPH <G> { ?d a schema:Dataset } }",
    ),
    (
        "plans",
        "SELECT (COUNT(DISTINCT ?p) AS ?n) WHERE { GRAPH <G> { ?p a prov:Plan } }",
    ),
    (
        "activities",
        "SELECT (COUNT(DISTINCT ?a) AS ?n) WHERE { GRAPH <G> { ?a a prov:Activity } }",
    ),
];

/// Names of datasets.
pub const DATASETS: &str = "SELECT DISTINCT ?name WHERE { GRAPH <G> { ?d a schema:Dataset ; schema:name ?name } } ORDER BY ?name LIMIT 5";

/// One step of a lineage: a file, the plan that read it, and a file that the plan wrote.
pub const LINEAGE: &str = "SELECT DISTINCT ?from ?plan ?to WHERE { GRAPH <G> {
  ?activity a prov:Activity ; prov:qualifiedAssociation/prov:hadPlan/schema:name ?plan ;
            prov:qualifiedUsage/prov:entity/prov:atLocation ?from .
  ?out prov:qualifiedGeneration/prov:activity ?activity ; prov:atLocation ?to .
} } ORDER BY ?to ?from LIMIT 3";

/// To be tried by hand.
pub const TO_PASTE: &[(&str, &str)] = &[
    (
        "How much does each project know?",
        "SELECT ?project (COUNT(*) AS ?triples) WHERE { GRAPH ?project { ?s ?p ?o } } GROUP BY ?project ORDER BY DESC(?triples)",
    ),
    (
        "Which plans run most often?",
        "PREFIX prov: <http://www.w3.org/ns/prov#> PREFIX schema: <http://schema.org/> SELECT ?plan (COUNT(?activity) AS ?runs) WHERE { ?activity a prov:Activity ; prov:qualifiedAssociation/prov:hadPlan/schema:name ?plan } GROUP BY ?plan ORDER BY DESC(?runs) LIMIT 10",
    ),
    (
        "Which file came from which?",
        "PREFIX prov: <http://www.w3.org/ns/prov#> SELECT DISTINCT ?from ?to WHERE { ?activity prov:qualifiedUsage/prov:entity/prov:atLocation ?from . ?out prov:qualifiedGeneration/prov:activity ?activity ; prov:atLocation ?to } ORDER BY ?from LIMIT 20",
    ),
];

const PREFIXES: &str = "PREFIX prov: <http://www.w3.org/ns/prov#>\nPREFIX schema: <http://schema.org/>\n";

/// Asks about one project's graph; rows of plain texts. With a receipt the answer waits until the views cover it.
pub fn ask(port: u16, graph: &str, query: &str, receipt: Option<&str>) -> Result<Vec<Vec<String>>> {
    let query = format!("{PREFIXES}{}", query.replace("<G>", &format!("<{graph}>")));
    let mut headers = vec![
        ("Content-Type", "application/sparql-query"),
        ("Accept", "application/sparql-results+json"),
    ];
    if let Some(receipt) = receipt {
        headers.push(("Renku-Position", receipt));
    }
    let answer = request(port, "POST", "/sparql", &headers, query.as_bytes())?;
    if answer.status != 200 {
        bail!("SPARQL gave status {}: {}\n{query}", answer.status, answer.text());
    }
    let json = answer.json()?;
    let variables = json["head"]["vars"].as_array().context("no head.vars")?.clone();
    let rows = json["results"]["bindings"]
        .as_array()
        .context("no results.bindings")?;
    let text = |row: &serde_json::Value, name: &serde_json::Value| {
        row[name.as_str().unwrap_or_default()]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Ok(rows
        .iter()
        .map(|row| variables.iter().map(|name| text(row, name)).collect())
        .collect())
}
