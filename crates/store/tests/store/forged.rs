//! Repositories that are made to speak for others: whatever their metadata name, nothing changes but their own graph, and
//! nothing is said in the default graph about what is reserved.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use access::Caller;
use metadata::{ObjectSource, ProjectPieces, SourceError};
use model::{Generation, Visibility};
use serde_json::{Value, json};
use store::{Difference, Facts, LiveFacts, Piece, PieceKey, Reader, Writer};

use crate::support::{Bag, HOST, ask, open, project};

const VICTIM: &str = "https://renku.example/projects/v/victim";
const OWN: &str = "https://renku.example/projects/a/attacker";
const PERSON: &str = "https://renku.example/persons/7";
const CLASS: &str = "http://schema.org/Dataset";

/// Files below `.renku/`.
struct Files(BTreeMap<String, String>);

impl ObjectSource for Files {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        Ok(self.0.get(path).map(|text| Cow::Borrowed(text.as_bytes())))
    }

    fn is_linked(&self, _: &str) -> bool {
        false
    }
}

fn of_class(class: &str, state: Value) -> Value {
    json!({"@renku_data_type": format!("renku.domain_model.x.{class}"), "@renku_data_value": state})
}

fn refers(class: &str, oid: &str) -> Value {
    json!({"@renku_data_type": format!("renku.x.{class}"), "@renku_oid": oid, "@renku_reference": true})
}

fn date() -> Value {
    json!({"@renku_data_type": "datetime.datetime", "@renku_data_value": "2024-01-15T10:01:37.263571+00:00"})
}

fn tuple(items: Value) -> Value {
    json!({"@renku_data_type": "builtins.tuple", "@renku_data_value": items})
}

fn person(id: &str) -> Value {
    of_class(
        "Person",
        json!({"id": id, "name": "Mallory", "email": "mallory@example.org"}),
    )
}

fn annotation(of: &str) -> Value {
    let body = json!({"@id": format!("/bodies/{of}"), "http://n/says": format!("body of {of}")});
    json!([of_class(
        "Annotation",
        json!({"id": format!("/annotations/{of}"), "source": "forger", "body": body})
    )])
}

/// A small project of one of each.
fn files() -> Files {
    let mut files = BTreeMap::new();
    let oid = |n: u32| format!("{n:064x}");
    let mut put = |oid: &str, class: &str, mut state: Value| {
        state["@renku_data_type"] = json!(format!("renku.domain_model.x.{class}"));
        state["@renku_oid"] = json!(oid);
        let path = match oid.len() {
            64 => format!("metadata/{}/{}/{oid}", &oid[..2], &oid[2..4]),
            _ => format!("metadata/{oid}"),
        };
        files.insert(path, state.to_string());
    };
    let entity = of_class(
        "Entity",
        json!({"id": "/entities/e", "path": "data.csv", "checksum": "c"}),
    );
    put(
        &oid(1),
        "Plan",
        json!({
            "annotations": annotation("plan"), "creators": [person("mailto:creator@example.org")], "date_created": date(),
            "date_modified": date(), "id": "/plans/p", "name": "forged plan", "project_id": "/projects/a/attacker",
            "command": "cat", "hidden_inputs": [],
            "inputs": [of_class("CommandInput", json!({
                "id": "/plans/p/inputs/1", "default_value": "data.csv", "name": "forged input",
                "mapped_to": of_class("MappedIOStream", json!({"id": "/iostreams/i", "stream_type": "stdin"})),
            }))],
        }),
    );
    put(
        &oid(2),
        "Activity",
        json!({
            "agents": [of_class("SoftwareAgent", json!({"id": "https://agent.example/1", "name": "renku"})),
                person("mailto:agent@example.org")],
            "annotations": annotation("activity"),
            "association": of_class("Association", json!({
                "agent": {"@renku_data_type": "reference", "@renku_data_value": 0},
                "id": "/activities/a/association", "plan": refers("Plan", &oid(1)),
            })),
            "ended_at_time": date(), "started_at_time": date(), "id": "/activities/a", "project_id": "/projects/a/attacker",
            "usages": [of_class("Usage", json!({"id": "/activities/a/usages/1", "entity": entity}))],
            "generations": [of_class("Generation", json!({"id": "/activities/a/generations/1", "entity": entity}))],
        }),
    );
    let url = of_class(
        "Url",
        json!({"id": "/urls/u", "url": {"@id": "https://doi.example/1"}, "url_id": "https://doi.example/1", "url_str": null}),
    );
    put(
        &oid(3),
        "Dataset",
        json!({
            "annotations": annotation("dataset"), "creators": [person("mailto:dataset@example.org")], "date_created": date(),
            "dataset_files": [of_class("DatasetFile", json!({
                "id": "/dataset-files/f", "entity": entity, "date_added": date(), "is_external": false, "source": "s",
            }))],
            "derived_from": null, "same_as": url, "id": "/datasets/d", "identifier": "d", "initial_identifier": "d",
            "keywords": ["forged keyword"], "name": "forged dataset", "slug": "d", "project_id": "/projects/a/attacker",
        }),
    );
    put(
        &oid(4),
        "DatasetTag",
        json!({
            "id": "/dataset-tags/t", "name": "v1", "description": "", "date_created": date(),
            "dataset_id": of_class("Url", json!({"id": "/urls/t", "url": {"@id": "/datasets/d"}, "url_id": "/datasets/d", "url_str": null})),
        }),
    );
    put(
        &oid(5),
        "PersistentList",
        json!({"data": [refers("DatasetTag", &oid(4))]}),
    );
    put(
        "project",
        "Project",
        json!({
            "agent_version": "2.9.4", "annotations": annotation("project"), "creator": person("mailto:owner@example.org"),
            "date_created": date(), "id": "/projects/a/attacker", "keywords": ["k"],
            "image": of_class("ImageObject", json!({"id": "/projects/a/attacker/images/0", "content_url": "x.png", "position": 0})),
            "name": "forged name", "version": 10, "minimum_renku_version": "2.8.0",
        }),
    );
    let list = json!({"@renku_data_type": "persistent.list.PersistentList", "@renku_oid": oid(5), "@renku_reference": true});
    let trees = [
        ("activities", vec![("/activities/a", refers("Activity", &oid(2)))]),
        ("activity-collections", Vec::new()),
        (
            "datasets-provenance-tails",
            vec![("d", refers("Dataset", &oid(3)))],
        ),
        ("datasets-tags", vec![("d", list)]),
        ("plans", vec![("/plans/p", refers("Plan", &oid(1)))]),
    ];
    let mut root = Vec::new();
    for (name, entries) in trees {
        let flat: Value = entries
            .into_iter()
            .flat_map(|(key, value)| [json!(key), value])
            .collect();
        let state = match flat.as_array().unwrap().is_empty() {
            true => Value::Null,
            false => tuple(json!([tuple(json!([tuple(json!([tuple(flat)]))]))])),
        };
        let kind = "renku.infrastructure.database.RenkuOOBTree";
        let tree = json!({"@renku_data_type": kind, "@renku_oid": name, "@renku_data_value": state});
        files.insert(format!("metadata/{name}"), tree.to_string());
        root.push(json!(name));
        root.push(json!({
            "@renku_data_type": "renku.infrastructure.database.Index", "@renku_oid": format!("{name}-index"), "attribute": "id",
            "entries": {"@renku_data_type": kind, "@renku_oid": name, "@renku_reference": true}, "key_type": null, "name": name,
            "object_type": "x",
        }));
    }
    root.push(json!("project"));
    root.push(refers("Project", "project"));
    let root = tuple(json!([tuple(json!([tuple(json!([tuple(Value::Array(root))]))]))]));
    let root = json!({
        "@renku_data_type": "renku.infrastructure.database.RenkuOOBTree", "@renku_oid": "root", "@renku_data_value": root,
    });
    files.insert("metadata/root".to_owned(), root.to_string());
    Files(files)
}

/// What came of a forged repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// The metadata reader refuses it.
    Unread,
    /// The store refuses its pieces.
    Refused,
    /// It says things about others, in its own graph only.
    Claims,
    /// What it says is about itself.
    Own,
}

/// Each forgery: what stands in the files, and what is put in its place.
fn cases() -> Vec<(String, Vec<(String, String)>)> {
    let mut cases = Vec::new();
    let mut case = |name: String, swaps: &[(&str, &str)]| {
        let swaps = swaps
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        cases.push((name, swaps.collect::<Vec<_>>()));
    };
    // Ids of everything that has one, as somebody else's.
    for (place, id) in [
        ("dataset", "\"/datasets/d\""),
        ("dataset file", "\"/dataset-files/f\""),
        ("entity", "\"/entities/e\""),
        ("plan", "\"/plans/p\""),
        ("input", "\"/plans/p/inputs/1\""),
        ("stream", "\"/iostreams/i\""),
        ("activity", "\"/activities/a\""),
        ("association", "\"/activities/a/association\""),
        ("usage", "\"/activities/a/usages/1\""),
        ("generation", "\"/activities/a/generations/1\""),
        ("software agent", "\"https://agent.example/1\""),
        ("agent", "\"mailto:agent@example.org\""),
        ("tag", "\"/dataset-tags/t\""),
        ("annotation", "\"/annotations/dataset\""),
        ("body", "\"/bodies/dataset\""),
        ("image", "\"/projects/a/attacker/images/0\""),
    ] {
        case(
            format!("{place} is the victim"),
            &[(id, &format!("\"{VICTIM}\""))],
        );
    }
    for (place, id) in [
        ("creator", "\"mailto:creator@example.org\""),
        ("owner", "\"mailto:owner@example.org\""),
        ("body", "\"/bodies/plan\""),
        ("dataset", "\"/datasets/d\""),
    ] {
        case(
            format!("{place} is a person of the platform"),
            &[(id, &format!("\"{PERSON}\""))],
        );
    }
    for (place, id) in [
        ("dataset", "\"/datasets/d\""),
        ("body", "\"/bodies/activity\""),
        ("plan", "\"/plans/p\""),
    ] {
        case(format!("{place} is a class"), &[(id, &format!("\"{CLASS}\""))]);
    }
    let own = "/projects/a/attacker";
    case(
        "the project says it is the victim".into(),
        &[(own, "/projects/v/victim")],
    );
    case(
        "the project says it is the victim, in full".into(),
        &[(own, VICTIM)],
    );
    case(
        "the plan is of the victim".into(),
        &[(
            "\"project_id\":\"/projects/a/attacker\"",
            "\"project_id\":\"/projects/v/victim\"",
        )],
    );
    case(
        "an image of the victim".into(),
        &[("/projects/a/attacker/images/0", "/projects/v/victim/images/0")],
    );
    case("same as the victim".into(), &[("https://doi.example/1", VICTIM)]);
    // The names that the store keeps to itself.
    for (place, id) in [
        ("dataset", "\"/datasets/d\""),
        ("body", "\"/bodies/project\""),
        ("agent", "\"mailto:agent@example.org\""),
    ] {
        case(
            format!("{place} is the placeholder"),
            &[(id, "\"urn:renku:project\"")],
        );
    }
    case(
        "body is a reserved name".into(),
        &[("\"/bodies/project\"", "\"urn:renku:system\"")],
    );
    // Quads, and lines, in ids.
    case(
        "a quad in an id".into(),
        &[(
            "\"/datasets/d\"",
            &format!("\"x> <http://n/p> <http://n/o> <{VICTIM}\""),
        )],
    );
    case(
        "a line in an id".into(),
        &[(
            "\"/datasets/d\"",
            &format!("\"x> <http://n/p> <http://n/o> .\\n<{VICTIM}\""),
        )],
    );
    case(
        "a line in a name".into(),
        &[(
            "forged name",
            &format!("x\\\" .\\n<{VICTIM}> <http://schema.org/name> \\\"y"),
        )],
    );
    // Bodies of annotations are any JSON-LD.
    for (name, body) in [
        (
            "a named graph",
            json!({"@id": VICTIM, "@graph": [{"@id": VICTIM, "http://n/says": "graph"}]}),
        ),
        (
            "a node in a node",
            json!({"http://n/in": {"@id": VICTIM, "http://n/says": "deep"}}),
        ),
        (
            "a reverse",
            json!({"@reverse": {"http://n/says": {"@id": VICTIM}}}),
        ),
        (
            "a base",
            json!({"@context": {"@base": "https://renku.example/projects/v/"}, "@id": "victim", "http://n/says": "base"}),
        ),
        (
            "a prefix",
            json!({"@context": {"v": "https://renku.example/projects/v/"}, "@id": "v:victim", "http://n/says": "prefix"}),
        ),
        (
            "a type",
            json!({"@id": VICTIM, "@type": "http://schema.org/Project"}),
        ),
        (
            "a list",
            json!({"@id": VICTIM, "http://n/says": {"@list": [{"@id": PERSON, "http://schema.org/name": "Mallory"}]}}),
        ),
        (
            "a remote context",
            json!({"@context": "https://evil.example/context.jsonld", "@id": VICTIM}),
        ),
        ("a predicate", json!({"@id": "/bodies/x", VICTIM: "predicate"})),
        (
            "a keyword by alias",
            json!({"@context": {"me": "@id"}, "me": VICTIM, "http://n/says": "alias"}),
        ),
        (
            "the canary's words",
            json!({"@id": VICTIM, "https://canary.invalid/says": "0"}),
        ),
    ] {
        let from = json!({"@id": "/bodies/dataset", "http://n/says": "body of dataset"}).to_string();
        case(format!("body: {name}"), &[(&from, &body.to_string())]);
    }
    cases
}

fn facts(slug: &str) -> Facts {
    Facts {
        state_version: Generation::new(1),
        generation: Generation::new(1),
        live: Some(LiveFacts {
            slug: slug.parse().unwrap(),
            visibility: Visibility::Public,
            members: Vec::new(),
        }),
        payload: Vec::new(),
    }
}

/// Applies what a repository says; the lines it said, or how it was refused.
fn apply(writer: &mut Writer, id: i64, generation: u64, files: &Files) -> Result<Vec<String>, Outcome> {
    let host = rdf::Host::verbatim(HOST);
    let change = ProjectPieces::default()
        .update::<String>(files, &host, &[])
        .map_err(|_| Outcome::Unread)?;
    let mut batch = writer.begin().unwrap();
    let known = crate::support::Known {
        generation,
        ..Default::default()
    };
    let old = batch.pieces(project(id), 0, 0).unwrap();
    let pieces: Vec<Piece> = change
        .put
        .iter()
        .map(|piece| Piece {
            key: PieceKey::of(&piece.id),
            digest: crate::support::digest_of(&piece.text),
            text: piece.text.clone(),
        })
        .collect();
    let difference = Difference {
        removed: old
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| pieces.iter().all(|piece| piece.key != *key))
            .collect(),
        put: pieces,
    };
    if batch
        .apply_graph(project(id), &known.state(), &difference)
        .is_err()
    {
        return Err(Outcome::Refused);
    }
    batch.commit().unwrap();
    Ok(change
        .put
        .iter()
        .flat_map(|piece| piece.text.lines().map(str::to_owned))
        .collect())
}

/// All that is not the attacker's own: other graphs, and the default graph's words about what is reserved.
fn others(reader: &Reader) -> (Bag, Bag, Bag) {
    let snapshot = reader.snapshot().unwrap();
    let asked = |query: &str| ask(&snapshot, Caller::Anonymous, query);
    (
        asked(&format!("SELECT * {{ GRAPH ?g {{ ?s ?p ?o }} FILTER(?g != <{OWN}>) }}")),
        asked(&format!(
            "SELECT * {{ ?s ?p ?o FILTER((STRSTARTS(STR(?s), \"https://renku.example/projects/\") && !STRSTARTS(STR(?s), \"{OWN}\"))
                || STRSTARTS(STR(?s), \"https://renku.example/persons/\") || STRSTARTS(STR(?s), \"http://schema.org/\")
                || STRSTARTS(STR(?s), \"urn:renku:\")) }}"
        )),
        asked(&format!("SELECT ?g {{ GRAPH ?g {{}} FILTER(?g != <{OWN}>) }}")),
    )
}

#[test]
fn nothing_changes_but_the_graph_of_who_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut batch = writer.begin().unwrap();
    batch.apply_facts(project(1), &facts("v/victim")).unwrap();
    batch.apply_facts(project(2), &facts("a/attacker")).unwrap();
    batch.commit().unwrap();
    let victim = Files(
        files()
            .0
            .into_iter()
            .map(|(path, text)| {
                let text = text.replace("/projects/a/attacker", "/projects/v/victim");
                (path, text.replace("forged", "true").replace("/d\"", "/victims\""))
            })
            .collect(),
    );
    apply(&mut writer, 1, 1, &victim).unwrap();
    apply(&mut writer, 2, 1, &files()).unwrap();
    let (graphs, reserved, names) = others(&reader);
    assert_eq!(names, [format!("<{VICTIM}>")]);
    assert!(graphs.len() > 50 && reserved.len() > 3, "{graphs:?} {reserved:?}");

    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut outcomes: BTreeMap<Outcome, BTreeSet<&str>> = BTreeMap::new();
    for (at, (name, swaps)) in cases.iter().enumerate() {
        let mut forged = files();
        for (from, to) in swaps {
            let found = forged.0.values().filter(|text| text.contains(from)).count();
            assert!(found > 0, "{name}: nothing has {from}");
            for text in forged.0.values_mut() {
                *text = text.replace(from, to);
            }
        }
        let outcome = match apply(&mut writer, 2, 2 + at as u64, &forged) {
            Err(refused) => refused,
            Ok(lines) => {
                let reserved = [VICTIM, PERSON, CLASS];
                let claims = |line: &String| reserved.iter().any(|iri| line.starts_with(&format!("<{iri}")));
                if lines.iter().any(claims) {
                    Outcome::Claims
                } else {
                    Outcome::Own
                }
            }
        };
        outcomes.entry(outcome).or_default().insert(name);
        assert_eq!(
            others(&reader),
            (graphs.clone(), reserved.clone(), names.clone()),
            "{name}"
        );
        let snapshot = reader.snapshot().unwrap();
        // What it says of itself stays, and of others it is read in its own graph.
        if outcome == Outcome::Claims {
            let asked = format!(
                "SELECT ?s {{ GRAPH <{OWN}> {{ ?s ?p ?o }} FILTER(STR(?s) IN (\"{VICTIM}\", \"{PERSON}\", \"{CLASS}\", \"{VICTIM}/images/0\")) }}"
            );
            assert!(!ask(&snapshot, Caller::Anonymous, &asked).is_empty(), "{name}");
        }
    }
    println!("{outcomes:#?}");
    for (outcome, at_least) in [(Outcome::Claims, 20), (Outcome::Own, 3)] {
        assert!(
            outcomes.get(&outcome).map_or(0, BTreeSet::len) >= at_least,
            "{outcome:?}: {outcomes:#?}"
        );
    }
}
