//! The W3C query evaluation suites of SPARQL 1.0 and 1.1: what Oxigraph's in-memory store passes, this store passes.
//!
//! Every data file is a project whose slug is the file's path, so its graph has the file's IRI as name. What fails is listed
//! with its reason in `w3c-exceptions.txt`.

mod manifest;
mod results;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use access::Caller;
use model::ProjectId;
use oxigraph::model::{GraphName, NamedNode, Quad};
use oxigraph::sparql::SparqlEvaluator;
use oxigraph::store::Store;
use store::{Query, QueryLimits, Reader, RowFormat, Stop, StoreOptions, TripleFormat, Writer};

use crate::support::{HOST, Known, options, project};
use manifest::{Case, base};
use results::Outcome;

const EXCEPTIONS: &str = include_str!("w3c-exceptions.txt");

/// Files that were loaded, each as a project.
struct Files<'p> {
    root: &'p Path,
    writer: Writer,
    reader: Reader,
    loaded: BTreeMap<String, (ProjectId, Vec<Quad>)>,
}

impl Files<'_> {
    fn load(&mut self, iri: &str) -> Vec<Quad> {
        if let Some((_, quads)) = self.loaded.get(iri) {
            return quads.clone();
        }
        let path = iri.strip_prefix(&base()).unwrap_or(iri);
        let quads = manifest::read_graph(self.root, path);
        let id = project(self.loaded.len() as i64 + 1);
        let lines = quads
            .iter()
            .map(|q| format!("{} {} {} .", q.subject, q.predicate, q.object))
            .collect();
        let known = Known {
            slug: Some(path.to_owned()),
            public: true,
            version: 1,
            generation: 1,
            pieces: [("/all".to_owned(), lines)].into(),
        };
        let mut batch = self.writer.begin().unwrap();
        known.put_all(&mut batch, id);
        batch.commit().unwrap();
        self.loaded.insert(iri.to_owned(), (id, quads.clone()));
        quads
    }

    fn ours(&self, case: &Case) -> Result<Outcome, String> {
        let mut query = Query::parse(&case.text, Some(&case.query)).map_err(|e| e.to_string())?;
        if case.from.is_empty() {
            // The default graph is always given: without one it would be the merge of all files.
            let mut default = case.data.clone();
            default.push(format!("{}none/none", base()));
            query = query.with_dataset(default, case.named.clone());
        }
        let snapshot = self.reader.snapshot().unwrap();
        let visible = snapshot
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap();
        snapshot
            .query(&visible, &query, QueryLimits::NONE, &Stop::default(), |answer| {
                if case.result.ends_with(".csv") {
                    let mut text = Vec::new();
                    answer.write(RowFormat::Csv, TripleFormat::NTriples, &mut text)?;
                    return Ok(results::of_csv(&String::from_utf8_lossy(&text)));
                }
                results::of_answer(answer)
            })
            .map_err(|e| e.to_string())
    }

    fn peer(&mut self, case: &Case) -> Result<Outcome, String> {
        let store = Store::new().unwrap();
        let put = |iri: &String, graph: GraphName, quads: Vec<Quad>| {
            for quad in quads {
                let quad = Quad::new(quad.subject, quad.predicate, quad.object, graph.clone());
                store.insert(&quad).unwrap();
            }
            assert!(!iri.is_empty());
        };
        for iri in &case.data {
            let quads = self.load(iri);
            put(iri, GraphName::DefaultGraph, quads);
        }
        for iri in case.named.iter().chain(&case.from) {
            let quads = self.load(iri);
            put(iri, NamedNode::new_unchecked(iri).into(), quads);
        }
        let results = SparqlEvaluator::new()
            .with_base_iri(&case.query)
            .unwrap()
            .parse_query(&case.text)
            .map_err(|e| e.to_string())?
            .on_store(&store)
            .execute()
            .map_err(|e| e.to_string())?;
        results::of_results(results)
    }
}

fn exceptions() -> BTreeMap<&'static str, &'static str> {
    EXCEPTIONS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").expect("NAME: REASON"))
        .collect()
}

#[test]
fn what_the_engine_passes_on_its_own_store_it_passes_on_this_one() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tools/fetch-w3c.sh");
    let output = Command::new(script).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let root = String::from_utf8(output.stdout).unwrap();
    let root = Path::new(root.trim());

    let folder = tempfile::tempdir().unwrap();
    let plain = StoreOptions {
        claims: false,
        ..options()
    };
    assert_eq!(plain.host, HOST);
    let (writer, reader) = store::open(folder.path(), plain).unwrap();
    let mut files = Files {
        root,
        writer,
        reader,
        loaded: BTreeMap::new(),
    };

    let (mut passed, mut failed, mut worse) = (0, BTreeSet::new(), Vec::new());
    let mut cases = manifest::cases(root, "dawg-data-r2/manifest-evaluation.ttl");
    cases.extend(manifest::cases(root, "sparql11/manifest-all.ttl"));
    for case in &cases {
        let peer = files.peer(case);
        let ours = files.ours(case);
        let expected = results::expected(root, case);
        let right = |outcome: &Result<Outcome, String>| outcome.as_ref().ok() == expected.as_ref();
        if right(&ours) {
            passed += 1;
            continue;
        }
        failed.insert(case.name.as_str());
        if right(&peer) {
            worse.push(format!("{}: {ours:?}", case.name));
        }
    }
    assert!(
        worse.is_empty(),
        "passes on Oxigraph's store, fails here:\n{}",
        worse.join("\n")
    );
    let listed: BTreeSet<_> = exceptions().into_keys().collect();
    assert_eq!(failed, listed, "left: fails; right: listed in w3c-exceptions.txt");
    assert!(
        passed > 350 && cases.len() == passed + failed.len(),
        "{passed} of {}",
        cases.len()
    );
}
