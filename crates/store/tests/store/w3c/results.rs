//! Answers in a form that can be compared: a bag of rows, up to the names of blank nodes.

use std::collections::BTreeMap;
use std::path::Path;

use oxigraph::model::{Graph, NamedNode, NamedOrBlankNodeRef, Term, TermRef, Triple, vocab::rdf};
use oxigraph::sparql::QueryResults;
use oxigraph::sparql::results::{QueryResultsFormat, QueryResultsParser, SliceQueryResultsParserOutput};
use sha2::{Digest, Sha256};
use store::{Answer, QueryError};

use super::manifest::{Case, graph};

const RS: &str = "http://www.w3.org/2001/sw/DataAccess/tests/result-set#";

type Row = Vec<(String, Term)>;

/// An answer. Blank nodes are written as what is said of them (colours, refined until they stand still).
#[derive(PartialEq, Eq, Debug, Clone)]
pub struct Outcome(Vec<String>);

impl Outcome {
    fn new(mut rows: Vec<Row>) -> Self {
        for row in &mut rows {
            row.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut colours: BTreeMap<String, String> = BTreeMap::new();
        for row in &rows {
            for (_, term) in row {
                if let Term::BlankNode(node) = term {
                    colours.insert(node.as_str().to_owned(), String::new());
                }
            }
        }
        for _ in 0..colours.len().min(8) {
            let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for row in &rows {
                for (place, term) in row {
                    if let Term::BlankNode(node) = term {
                        let text = format!("{place} in {}", written(row, &colours));
                        seen.entry(node.as_str()).or_default().push(text);
                    }
                }
            }
            colours = seen
                .into_iter()
                .map(|(node, mut said)| {
                    said.sort();
                    (node.to_owned(), hex::encode(&Sha256::digest(said.join("|"))[..8]))
                })
                .collect();
        }
        let mut lines: Vec<_> = rows.iter().map(|row| written(row, &colours)).collect();
        lines.sort();
        Self(lines)
    }

    fn truth(value: bool) -> Self {
        Self(vec![value.to_string()])
    }

    fn graph(triples: impl IntoIterator<Item = Triple>) -> Self {
        let rows = triples.into_iter().map(|t| {
            let place = |name: &str, term: Term| (name.to_owned(), term);
            vec![
                place("1", t.subject.into()),
                place("2", t.predicate.into()),
                place("3", t.object),
            ]
        });
        let mut outcome = Self::new(rows.collect());
        outcome.0.dedup();
        outcome
    }
}

fn written(row: &Row, colours: &BTreeMap<String, String>) -> String {
    row.iter()
        .map(|(place, term)| match term {
            Term::BlankNode(node) => format!("{place}=_{} ", colours[node.as_str()]),
            other => format!("{place}={other} "),
        })
        .collect()
}

fn bound<'s>(solution: impl Iterator<Item = (&'s oxigraph::sparql::Variable, &'s Term)>) -> Row {
    solution
        .map(|(v, t)| (v.as_str().to_owned(), t.clone()))
        .collect()
}

pub fn of_answer(answer: Answer<'_>) -> Result<Outcome, QueryError> {
    Ok(match answer {
        Answer::Truth(value) => Outcome::truth(value),
        Answer::Triples(triples) => Outcome::graph(triples.collect::<Result<Vec<_>, _>>()?),
        Answer::Rows(_, rows) => {
            let rows = rows.map(|row| row.map(|row| bound(row.iter())));
            Outcome::new(rows.collect::<Result<_, _>>()?)
        }
    })
}

pub fn of_results(results: QueryResults<'_>) -> Result<Outcome, String> {
    match results {
        QueryResults::Boolean(value) => Ok(Outcome::truth(value)),
        QueryResults::Graph(triples) => triples.collect::<Result<Vec<_>, _>>().map(Outcome::graph),
        QueryResults::Solutions(rows) => {
            let rows = rows.map(|row| row.map(|row| bound(row.iter())));
            rows.collect::<Result<_, _>>().map(Outcome::new)
        }
    }
    .map_err(|error| error.to_string())
}

/// An answer of which only its CSV counts: a format that does not say what kind of term a value is.
pub fn of_csv(text: &str) -> Outcome {
    let mut rows = text.lines().map(values);
    let names = rows.next().unwrap_or_default();
    let mut lines: Vec<_> = rows
        .map(|values| {
            let mut row: Vec<_> = names
                .iter()
                .zip(values)
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            row.sort();
            row.join(" ")
        })
        .collect();
    lines.sort();
    Outcome(lines)
}

/// The values of a line; commas between quotes do not part them, blank nodes have no names.
fn values(line: &str) -> Vec<String> {
    let (mut values, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(String::new()),
            c => values.last_mut().unwrap().push(c),
        }
    }
    for value in &mut values {
        if value.starts_with("_:") {
            value.truncate(2);
        }
    }
    values
}

/// What the suite expects.
pub fn expected(root: &Path, case: &Case) -> Option<Outcome> {
    let format = match case.result.rsplit('.').next()? {
        "srx" => QueryResultsFormat::Xml,
        "srj" => QueryResultsFormat::Json,
        "tsv" => QueryResultsFormat::Tsv,
        "csv" => {
            return std::fs::read_to_string(root.join(&case.result))
                .ok()
                .map(|text| of_csv(&text));
        }
        _ => return Some(of_graph(&graph(root, &case.result))),
    };
    let bytes = std::fs::read(root.join(&case.result)).unwrap();
    Some(
        match QueryResultsParser::from_format(format).for_slice(&bytes).unwrap() {
            SliceQueryResultsParserOutput::Boolean(value) => Outcome::truth(value),
            SliceQueryResultsParserOutput::Solutions(rows) => {
                Outcome::new(rows.map(|row| bound(row.unwrap().iter())).collect())
            }
        },
    )
}

/// A graph is the result itself, or a result set in the suites' own vocabulary.
fn of_graph(graph: &Graph) -> Outcome {
    let named = |name: &str| NamedNode::new_unchecked(format!("{RS}{name}"));
    let (set, boolean, solution, binding) = (
        named("ResultSet"),
        named("boolean"),
        named("solution"),
        named("binding"),
    );
    let (variable, value) = (named("variable"), named("value"));
    let Some(set) = graph.subject_for_predicate_object(rdf::TYPE, set.as_ref()) else {
        return Outcome::graph(graph.iter().map(|t| t.into_owned()));
    };
    if let Some(TermRef::Literal(value)) = graph.object_for_subject_predicate(set, boolean.as_ref()) {
        return Outcome::truth(matches!(value.value(), "true" | "1"));
    }
    let node = |term| match term {
        TermRef::BlankNode(node) => NamedOrBlankNodeRef::from(node),
        TermRef::NamedNode(node) => node.into(),
        other => panic!("{other} is no node"),
    };
    let mut rows = Vec::new();
    for row in graph.objects_for_subject_predicate(set, solution.as_ref()) {
        let bindings = graph.objects_for_subject_predicate(node(row), binding.as_ref());
        rows.push(
            bindings
                .filter_map(|binding| {
                    let binding = node(binding);
                    let name = graph.object_for_subject_predicate(binding, variable.as_ref())?;
                    let value = graph.object_for_subject_predicate(binding, value.as_ref())?;
                    match name {
                        TermRef::Literal(name) => Some((name.value().to_owned(), value.into_owned())),
                        _ => None,
                    }
                })
                .collect(),
        );
    }
    Outcome::new(rows)
}
