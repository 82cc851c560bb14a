//! What a project's graph says of the project itself.

use std::time::Duration;

use access::VisibleSet;
use model::{Slug, Timestamp};
use serde::Deserialize;
use store::{Query, QueryLimits, RowFormat, Snapshot, Stop, TripleFormat};

use crate::details::OwnWords;
use crate::refusal::Refusal;

/// A handful of rows about one node; more is no project of the CLI's.
const LIMITS: QueryLimits = QueryLimits {
    time: Duration::from_secs(5),
    rows: 10_000,
    quads: 1_000_000,
    memory: 64 << 20,
};

/// The answer in the SPARQL JSON results format, as far as it is read here.
#[derive(Deserialize)]
struct Table {
    results: Rows,
}

#[derive(Deserialize)]
struct Rows {
    bindings: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    what: Value,
    value: Value,
    at: Option<Value>,
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

/// Reads them from the project's own graph.
pub(crate) fn own_words(snapshot: &Snapshot, visible: &VisibleSet, slug: &Slug) -> Result<OwnWords, Refusal> {
    let iri = snapshot.project_iri(slug);
    let text = format!(
        "PREFIX schema: <http://schema.org/>
         SELECT ?what ?value ?at {{ GRAPH <{iri}> {{
           {{ VALUES ?what {{ schema:description schema:keywords schema:schemaVersion schema:dateCreated }}
              <{iri}> ?what ?value }}
           UNION
           {{ <{iri}> schema:image ?image . ?image schema:contentUrl ?value .
              OPTIONAL {{ ?image schema:position ?at }} BIND(schema:image AS ?what) }}
         }} }}"
    );
    let failed = |why: String| {
        tracing::error!(why, "a project's own words cannot be read");
        Refusal::failed()
    };
    let query: Query = text
        .parse()
        .map_err(|error: store::SyntaxError| failed(error.to_string()))?;
    let mut json = Vec::new();
    snapshot.query(visible, &query, LIMITS, &Stop::default(), |answer| {
        answer.write(RowFormat::Json, TripleFormat::NTriples, &mut json)
    })?;
    let table: Table = serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?;
    Ok(sorted(table.results.bindings))
}

fn sorted(rows: Vec<Row>) -> OwnWords {
    let mut own = OwnWords::default();
    let mut images = Vec::new();
    for Row { what, value, at } in rows {
        let value = value.value;
        match what.value.strip_prefix("http://schema.org/").unwrap_or_default() {
            // Of several the smallest, so that the answer does not depend on the order of rows.
            "description" => own.description = smaller(own.description, value),
            "schemaVersion" => own.schema_version = smaller(own.schema_version, value),
            "keywords" => own.keywords.push(value),
            "dateCreated" => {
                let date = Timestamp::parse_rfc3339(&value).ok();
                own.date_created = [own.date_created, date].into_iter().flatten().min();
            }
            "image" => images.push((
                at.and_then(|at| at.value.parse::<i64>().ok()).unwrap_or(i64::MAX),
                value,
            )),
            _ => {}
        }
    }
    own.description = own.description.filter(|text| !text.is_empty());
    images.sort();
    own.images = images.into_iter().map(|(_, url)| url).collect();
    own
}

fn smaller(known: Option<String>, new: String) -> Option<String> {
    Some(known.map_or_else(|| new.clone(), |known| known.min(new.clone())))
}
