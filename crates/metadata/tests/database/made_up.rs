//! Made-up projects whose embedded objects share ids and differ in content, which is what load order decides about.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use sha3::{Digest, Sha3_256};

use crate::source::Files;

/// Entries of a tree beyond which it gets buckets.
const BUCKET: usize = 4;

#[derive(Clone, Debug, Default)]
pub struct Activity {
    plan: u32,
    /// Entity and variant of its content.
    used: Vec<(u8, u8)>,
    made: Vec<(u8, u8)>,
    is_annotated: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Number and variant.
    inputs: Vec<(u8, u8)>,
    hidden: Vec<(u8, u8)>,
    /// For a composite plan: its parts, those with smaller numbers that exist, and its mappings.
    parts: Vec<u32>,
    mappings: Vec<(u8, u8)>,
    is_composite: bool,
    is_listed: bool,
    is_foreign: bool,
    is_annotated: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Dataset {
    files: Vec<Vec<(u8, u8)>>,
    tags: u8,
}

#[derive(Clone, Debug)]
pub enum Change {
    Activity(u32, Option<Activity>),
    Plan(u32, Plan),
    Dataset(u8, Option<Dataset>),
    Collection(u32, Option<(Vec<u32>, u32)>),
    Name(u8),
}

fn variants(most: usize) -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((0..6_u8, 0..3_u8), 0..most)
}

pub fn change() -> impl Strategy<Value = Change> {
    let activity =
        (0..8_u32, variants(3), variants(2), any::<bool>()).prop_map(|(plan, used, made, is_annotated)| {
            Activity {
                plan,
                used,
                made,
                is_annotated,
            }
        });
    let plan = (
        variants(3),
        variants(2),
        prop::collection::vec(0..8_u32, 0..3),
        variants(3),
        any::<[bool; 3]>(),
        prop::bool::weighted(0.1),
    );
    let plan = plan.prop_map(|(inputs, hidden, parts, mappings, [a, b, c], is_foreign)| Plan {
        inputs,
        hidden,
        parts,
        mappings,
        is_composite: a,
        is_listed: b,
        is_annotated: c,
        is_foreign,
    });
    let dataset =
        (prop::collection::vec(variants(3), 1..4), 0..3_u8).prop_map(|(files, tags)| Dataset { files, tags });
    let collection = (prop::collection::vec(0..12_u32, 0..3), 0..8_u32);
    prop_oneof![
        4 => (0..12_u32, prop::option::weighted(0.8, activity)).prop_map(|(n, a)| Change::Activity(n, a)),
        4 => (0..8_u32, plan).prop_map(|(n, p)| Change::Plan(n, p)),
        2 => (0..4_u8, prop::option::weighted(0.8, dataset)).prop_map(|(n, d)| Change::Dataset(n, d)),
        1 => (0..3_u32, prop::option::of(collection)).prop_map(|(n, c)| Change::Collection(n, c)),
        1 => (0..2_u8).prop_map(Change::Name),
    ]
}

/// A project.
#[derive(Clone, Default, Debug)]
pub struct Model {
    activities: BTreeMap<u32, Activity>,
    plans: BTreeMap<u32, Plan>,
    datasets: BTreeMap<u8, Dataset>,
    collections: BTreeMap<u32, (Vec<u32>, u32)>,
    name: u8,
}

impl Model {
    /// Activities with a plan each; one input is shared by all.
    pub fn large(count: u32) -> Self {
        let mut model = Self::default();
        for n in 0..count {
            model.put(n * 10);
        }
        model
    }

    pub fn insert_after(&mut self, place: u32) {
        self.put(place * 10 + 5);
    }

    fn put(&mut self, n: u32) {
        let activity = Activity {
            plan: n,
            used: vec![(0, 0)],
            ..Activity::default()
        };
        self.activities.insert(n, activity);
        self.plans.insert(
            n,
            Plan {
                inputs: vec![(0, 0)],
                is_listed: true,
                ..Plan::default()
            },
        );
    }

    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Activity(n, Some(activity)) => drop(self.activities.insert(n, activity)),
            Change::Activity(n, None) => drop(self.activities.remove(&n)),
            Change::Plan(n, plan) => drop(self.plans.insert(n, plan)),
            Change::Dataset(n, Some(dataset)) => drop(self.datasets.insert(n, dataset)),
            Change::Dataset(n, None) => drop(self.datasets.remove(&n)),
            Change::Collection(n, Some(collection)) => drop(self.collections.insert(n, collection)),
            Change::Collection(n, None) => drop(self.collections.remove(&n)),
            Change::Name(name) => self.name = name,
        }
    }

    pub fn files(&self) -> Files {
        let mut writer = Writer::default();
        let mut activities = Vec::new();
        for (n, activity) in &self.activities {
            activities.push(self.activity(&mut writer, *n, activity));
        }
        let mut plans = Vec::new();
        for (n, plan) in &self.plans {
            let entry = self.plan(&mut writer, *n, plan);
            if plan.is_listed {
                plans.push(entry);
            }
        }
        if self.plans.is_empty() {
            let entry = self.plan(&mut writer, 0, &Plan::default());
            plans.push(entry);
        }
        let mut collections = Vec::new();
        for (n, (members, plan)) in &self.collections {
            collections.push(self.collection(&mut writer, *n, members, *plan));
        }
        let (mut tails, mut tags) = (Vec::new(), Vec::new());
        for (n, dataset) in &self.datasets {
            tails.push(dataset_versions(&mut writer, *n, dataset));
            if dataset.tags > 0 {
                tags.push(tag_list(&mut writer, *n, dataset.tags));
            }
        }
        writer.tree("activities", activities);
        writer.tree("plans", plans);
        writer.tree("activity-collections", collections);
        writer.tree("datasets-provenance-tails", tails);
        writer.tree("datasets-tags", tags);
        let project = json!({
            "agent_version": "2.9.4", "annotations": annotations("project", self.name == 1),
            "creator": person(self.name), "date_created": date(), "id": "/projects/a/b", "keywords": ["k"],
            "image": embedded("ImageObject", json!({"id": "/projects/a/b/images/0", "content_url": "x.png", "position": 0})),
            "name": format!("name {}", self.name), "version": 10, "minimum_renku_version": "2.8.0",
        });
        writer.put("project", "Project", project);
        writer.root();
        writer.files
    }

    /// The plan of this number, or the first there is.
    fn plan_reference(&self, n: u32) -> Value {
        let n = if self.plans.contains_key(&n) {
            n
        } else {
            self.plans.keys().next().copied().unwrap_or(0)
        };
        let class = match self.plans.get(&n) {
            Some(plan) if plan.is_composite => "CompositePlan",
            _ => "Plan",
        };
        reference(class, &plan_id(n))
    }

    fn activity(&self, writer: &mut Writer, n: u32, activity: &Activity) -> (String, Value) {
        let id = format!("/activities/{n:06}");
        let usage = |kind: &str, class: &str, list: &[(u8, u8)]| -> Vec<Value> {
            let part = |(at, (e, v)): (usize, &(u8, u8))| {
                embedded(
                    class,
                    json!({"id": format!("{id}/{kind}/{at}"), "entity": entity(*e, *v)}),
                )
            };
            list.iter().enumerate().map(part).collect()
        };
        let state = json!({
            "agents": [embedded("SoftwareAgent", json!({"id": "https://agent", "name": "renku"})), person(0)],
            "annotations": annotations(&format!("a{n}"), activity.is_annotated),
            "association": embedded("Association", json!({
                "agent": {"@renku_data_type": "reference", "@renku_data_value": 0},
                "id": format!("{id}/association"), "plan": self.plan_reference(activity.plan),
            })),
            "ended_at_time": date(), "started_at_time": date(), "id": id, "project_id": "/projects/a/b",
            "usages": usage("usages", "Usage", &activity.used),
            "generations": usage("generations", "Generation", &activity.made),
        });
        writer.put_by_id("Activity", state)
    }

    fn plan(&self, writer: &mut Writer, n: u32, plan: &Plan) -> (String, Value) {
        let id = plan_id(n);
        let mut state = json!({
            "annotations": annotations(&format!("p{n}"), plan.is_annotated),
            "creators": [person(1)], "date_created": date(), "date_modified": date(), "id": id, "name": format!("plan {n}"),
            "project_id": if plan.is_foreign { "/projects/x/y" } else { "/projects/a/b" },
        });
        let input = |class: &str, (n, v): &(u8, u8)| {
            embedded(
                class,
                json!({
                    "id": format!("/plans/shared/inputs/{n}"), "default_value": v, "name": format!("input {n}"),
                    "mapped_to": embedded("MappedIOStream", json!({"id": format!("/iostreams/{}", n % 2), "stream_type": format!("s{v}")})),
                }),
            )
        };
        if plan.is_composite {
            let parts = plan
                .parts
                .iter()
                .filter(|part| **part < n && self.plans.contains_key(part));
            state["plans"] = parts.map(|part| self.plan_reference(*part)).collect();
            let mapping = |mapping: &(u8, u8)| {
                let (m, v) = mapping;
                embedded(
                    "ParameterMapping",
                    json!({
                        "id": format!("/plans/shared/mappings/{m}"), "name": format!("mapping {v}"),
                        "mapped_parameters": [input("CommandInput", mapping), input("CommandInput", &((m + 1) % 6, *v))],
                    }),
                )
            };
            state["mappings"] = plan.mappings.iter().map(mapping).collect();
            writer.put_by_id("CompositePlan", state)
        } else {
            state["command"] = json!("cat");
            state["inputs"] = plan.inputs.iter().map(|i| input("CommandInput", i)).collect();
            state["hidden_inputs"] = plan.hidden.iter().map(|i| input("HiddenInput", i)).collect();
            writer.put_by_id("Plan", state)
        }
    }

    fn collection(&self, writer: &mut Writer, n: u32, members: &[u32], plan: u32) -> (String, Value) {
        let id = format!("/workflow-file-activity-collection/{n}");
        let members = members
            .iter()
            .filter(|member| self.activities.contains_key(member));
        let state = json!({
            "activities": members.map(|m| reference("Activity", &format!("/activities/{m:06}"))).collect::<Vec<_>>(),
            "agents": [person(2)], "id": id, "project_id": "/projects/a/b", "started_at_time": date(), "ended_at_time": date(),
            "association": embedded("Association", json!({
                "agent": {"@renku_data_type": "reference", "@renku_data_value": 0},
                "id": format!("{id}/association"), "plan": self.plan_reference(plan),
            })),
        });
        writer.put_by_id("WorkflowFileActivityCollection", state)
    }
}

fn dataset_versions(writer: &mut Writer, n: u8, dataset: &Dataset) -> (String, Value) {
    let mut last = None;
    for (version, files) in dataset.files.iter().enumerate() {
        let id = format!("/datasets/{n}-{version}");
        let file = |(f, v): &(u8, u8)| {
            embedded(
                "DatasetFile",
                json!({
                    "id": format!("/dataset-files/{f}"), "entity": entity(*f, *v), "date_added": date(),
                    "is_external": false, "source": format!("s{v}"),
                }),
            )
        };
        let derived = last.as_ref().map(|(old, _): &(String, Value)| url(old));
        last = Some(writer.put_by_id(
            "Dataset",
            json!({
                "annotations": annotations(&format!("d{n}"), true), "creators": [person(3)], "date_created": date(),
                "dataset_files": files.iter().map(file).collect::<Vec<_>>(), "derived_from": derived, "same_as": null,
                "id": id, "identifier": id, "initial_identifier": id, "keywords": [], "name": "n", "slug": format!("slug{n}"),
                "project_id": "/projects/a/b",
            }),
        ));
    }
    last.unwrap()
}

fn tag_list(writer: &mut Writer, n: u8, tags: u8) -> (String, Value) {
    let tags: Vec<Value> = (0..tags)
        .map(|tag| {
            let state = json!({
                "id": format!("/dataset-tags/{n}-{tag}"), "name": format!("v{tag}"), "description": "", "date_created": date(),
                "dataset_id": url(&format!("/datasets/{n}-0")),
            });
            writer.put_by_id("DatasetTag", state).1
        })
        .collect();
    let oid = oid(&format!("tags of {n}"));
    writer.put(&oid, "PersistentList", json!({"data": tags}));
    let list = json!({"@renku_data_type": "persistent.list.PersistentList", "@renku_oid": oid, "@renku_reference": true});
    (format!("slug{n}"), list)
}

fn oid(id: &str) -> String {
    hex::encode(Sha3_256::digest(id.as_bytes()))
}

fn plan_id(n: u32) -> String {
    format!("/plans/{n:06}")
}

fn date() -> Value {
    json!({"@renku_data_type": "datetime.datetime", "@renku_data_value": "2024-01-15T10:01:37.263571+00:00"})
}

fn tuple(items: Value) -> Value {
    json!({"@renku_data_type": "builtins.tuple", "@renku_data_value": items})
}

fn embedded(class: &str, state: Value) -> Value {
    json!({"@renku_data_type": format!("renku.domain_model.x.{class}"), "@renku_data_value": state})
}

fn reference(class: &str, id: &str) -> Value {
    json!({"@renku_data_type": format!("renku.x.{class}"), "@renku_oid": oid(id), "@renku_reference": true})
}

fn person(variant: u8) -> Value {
    embedded(
        "Person",
        json!({"id": "mailto:p@example.org", "name": format!("P {variant}"), "email": "p@example.org"}),
    )
}

fn url(id: &str) -> Value {
    embedded(
        "Url",
        json!({"id": format!("/urls{id}"), "url": {"@id": id}, "url_id": id, "url_str": null}),
    )
}

/// Every third one is a collection of the next.
fn entity(number: u8, variant: u8) -> Value {
    let id = format!("/entities/{number}");
    let path = format!("path {variant}");
    if number.is_multiple_of(3) {
        let member = entity(number + 1, variant);
        embedded(
            "Collection",
            json!({"id": id, "path": path, "checksum": "c", "members": [member]}),
        )
    } else {
        embedded("Entity", json!({"id": id, "path": path, "checksum": "c"}))
    }
}

fn annotations(of: &str, is_there: bool) -> Value {
    if !is_there {
        return json!([]);
    }
    let body = json!({"http://n/of": of, "http://n/inner": {"http://n/deep": {"@list": [1, 2]}}, "@id": format!("/body/{of}")});
    json!([embedded(
        "Annotation",
        json!({"id": format!("/annotations/{of}"), "source": "test", "body": body})
    )])
}

#[derive(Default)]
struct Writer {
    files: Files,
}

impl Writer {
    fn put(&mut self, oid: &str, class: &str, mut state: Value) {
        if let Value::Object(entries) = &mut state {
            entries.insert(
                "@renku_data_type".to_owned(),
                json!(format!("renku.domain_model.x.{class}")),
            );
            entries.insert("@renku_oid".to_owned(), json!(oid));
        }
        self.write(oid, &state);
    }

    fn put_by_id(&mut self, class: &str, state: Value) -> (String, Value) {
        let id = state["id"].as_str().unwrap().to_owned();
        self.put(&oid(&id), class, state);
        let reference = reference(class, &id);
        (id, reference)
    }

    fn write(&mut self, oid: &str, json: &Value) {
        let path = if oid.len() == 64 {
            format!("metadata/{}/{}/{oid}", &oid[..2], &oid[2..4])
        } else {
            format!("metadata/{oid}")
        };
        self.files.files.insert(path, json.to_string().into_bytes());
    }

    /// One leaf, or buckets below one node.
    fn tree(&mut self, name: &str, entries: Vec<(String, Value)>) {
        let flat = |entries: &[(String, Value)]| -> Value {
            tuple(
                entries
                    .iter()
                    .flat_map(|(key, value)| [json!(key), value.clone()])
                    .collect(),
            )
        };
        let state = if entries.is_empty() {
            Value::Null
        } else if entries.len() <= BUCKET {
            tuple(json!([tuple(json!([tuple(json!([flat(&entries)]))]))]))
        } else {
            let mut children = Vec::new();
            for chunk in entries.chunks(BUCKET) {
                // Named by its first key, as good as at random.
                let oid = oid(&format!("{name} {}", chunk[0].0));
                let bucket = json!({
                    "@renku_data_type": "BTrees.OOBTree.OOBucket", "@renku_oid": oid,
                    "@renku_data_value": tuple(json!([flat(chunk)])),
                });
                self.write(&oid, &bucket);
                if !children.is_empty() {
                    children.push(json!(chunk[0].0));
                }
                children.push(json!({"@renku_data_type": "BTrees.OOBTree.OOBucket", "@renku_oid": oid, "@renku_reference": true}));
            }
            let first = children[0].clone();
            tuple(json!([tuple(Value::Array(children)), first]))
        };
        let tree = json!({
            "@renku_data_type": "renku.infrastructure.database.RenkuOOBTree", "@renku_oid": name, "@renku_data_value": state,
        });
        self.write(name, &tree);
    }

    fn root(&mut self) {
        let mut flat = Vec::new();
        for name in [
            "activities",
            "activity-collections",
            "datasets-provenance-tails",
            "datasets-tags",
            "plans",
        ] {
            let tree =
                json!({"@renku_data_type": "x.RenkuOOBTree", "@renku_oid": name, "@renku_reference": true});
            flat.push(json!(name));
            flat.push(json!({
                "@renku_data_type": "renku.infrastructure.database.Index", "@renku_oid": format!("{name}-index"),
                "attribute": "id", "entries": tree, "key_type": null, "name": name, "object_type": "x",
            }));
        }
        flat.push(json!("project"));
        flat.push(
            json!({"@renku_data_type": "x.Project", "@renku_oid": "project", "@renku_reference": true}),
        );
        let root = json!({
            "@renku_data_type": "renku.infrastructure.database.RenkuOOBTree", "@renku_oid": "root",
            "@renku_data_value": tuple(json!([tuple(json!([tuple(json!([tuple(Value::Array(flat))]))]))])),
        });
        self.write("root", &root);
    }
}
