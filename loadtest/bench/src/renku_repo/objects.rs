//! The objects of a generated project, as states for the encoder.

use serde_json::{Value, json};

use super::encode::{class, date, embedded, reference, same_file};
use super::{ACTIVITIES_PER_INPUT, ACTIVITIES_PER_PLAN, Shape, State, stream};

/// Seconds between two activities.
const STEP: usize = 600;

fn hex(shape: &Shape, kind: u64, number: usize) -> String {
    stream(shape, kind, number).hex32()
}

fn project_id(shape: &Shape) -> String {
    format!("/projects/{}", shape.slug)
}

pub(super) fn activity_id(shape: &Shape, number: usize) -> String {
    format!("/activities/{}", hex(shape, 1, number))
}

pub(super) fn plan_id(shape: &Shape, number: usize) -> String {
    format!("/plans/{}", hex(shape, 2, number))
}

pub(super) fn plan_name(number: usize) -> String {
    format!("step-{number:05}")
}

pub(super) fn dataset_id(shape: &Shape, number: usize, version: usize) -> String {
    format!("/datasets/{}", hex(shape, 3 + version as u64, number))
}

pub(super) fn dataset_slug(number: usize) -> String {
    format!("dataset-{number:04}")
}

/// What an activity writes.
pub(super) fn output_path(shape: &Shape, number: usize) -> String {
    format!("out/{}/table-{number}.csv", &hex(shape, 5, number)[..4])
}

/// What an activity reads: the output before it, and an input that it shares with others.
pub(super) fn used_paths(shape: &Shape, number: usize) -> Vec<String> {
    let shared = format!("in/shared-{}.csv", number / ACTIVITIES_PER_INPUT);
    match number.checked_sub(1) {
        Some(before) => vec![output_path(shape, before), shared],
        None => vec![shared],
    }
}

fn entity(shape: &Shape, path: &str) -> Value {
    let mut seeded = stream(
        shape,
        6,
        path.bytes()
            .fold(7, |sum, byte| (sum * 31 + usize::from(byte)) % 1_000_000_007),
    );
    let checksum = format!("{}{:08x}", seeded.hex32(), seeded.next_u64() as u32);
    embedded(
        class::ENTITY,
        json!({"checksum": checksum, "id": format!("/entities/{checksum}/{path}"), "path": path}),
    )
}

fn person() -> Value {
    embedded(
        class::PERSON,
        json!({"affiliation": null, "alternate_name": null, "email": "jane@example.com",
               "id": "mailto:jane@example.com", "name": "Jane Doe"}),
    )
}

pub(super) fn activity(shape: &Shape, number: usize) -> State {
    let id = activity_id(shape, number);
    let plan = plan_id(shape, number / ACTIVITIES_PER_PLAN);
    let mut seeded = stream(shape, 7, number);
    let software = embedded(
        class::SOFTWARE,
        json!({"id": "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4", "name": "renku 2.9.4"}),
    );
    let usages: Vec<Value> = used_paths(shape, number)
        .iter()
        .map(|path| {
            embedded(
                class::USAGE,
                json!({"entity": entity(shape, path), "id": format!("{id}/usages/{}", seeded.hex32())}),
            )
        })
        .collect();
    let output = output_path(shape, number);
    let generation = embedded(
        class::GENERATION,
        json!({"entity": entity(shape, &output), "id": format!("{id}/generations/{}", seeded.hex32())}),
    );
    let mut value = |parameter: &str, value: Value| {
        embedded(
            class::PARAMETER_VALUE,
            json!({"id": format!("{id}/parameter-value/{}", seeded.hex32()),
                   "parameter_id": format!("{plan}/{parameter}"), "value": value}),
        )
    };
    let parameters = vec![
        value("inputs/1", json!(used_paths(shape, number)[0])),
        value("outputs/stdout", json!(output)),
        value("parameters/n", json!(number % 17)),
    ];
    json!({
        "agents": [software, person()],
        "annotations": [],
        "association": embedded(class::ASSOCIATION, json!({
            "agent": same_file(0),
            "id": format!("{id}/association"),
            "plan": reference(class::PLAN, &plan),
        })),
        "ended_at_time": date(number * STEP + 20),
        "generations": [generation],
        "hidden_usages": [],
        "id": id,
        "invalidated_at": null,
        "invalidations": [],
        "parameters": parameters,
        "project_id": project_id(shape),
        "started_at_time": date(number * STEP),
        "usages": usages,
    })
}

pub(super) fn plan(shape: &Shape, number: usize) -> State {
    let id = plan_id(shape, number);
    let first = number * ACTIVITIES_PER_PLAN;
    let derived_from = match number.checked_sub(1) {
        Some(before) if number % 3 == 2 => json!(plan_id(shape, before)),
        _ => Value::Null,
    };
    let stdout = embedded(
        class::STREAM,
        json!({"id": "/iostreams/stdout", "stream_type": "stdout"}),
    );
    json!({
        "annotations": [],
        "command": "head",
        "creators": [person()],
        "date_created": date(first * STEP),
        "date_modified": date(first * STEP),
        "date_removed": null,
        "derived_from": derived_from,
        "description": format!("takes rows, step {number}"),
        "hidden_inputs": [],
        "id": id,
        "inputs": [embedded(class::INPUT, json!({
            "default_value": used_paths(shape, first)[0], "derived_from": null, "description": null,
            "encoding_format": ["text/csv"], "id": format!("{id}/inputs/1"), "mapped_to": null, "name": "input-1",
            "name_set_by_user": false, "position": 1, "postfix": null, "prefix": null,
        }))],
        "keywords": ["generated", "rows"],
        "name": plan_name(number),
        "outputs": [embedded(class::OUTPUT, json!({
            "create_folder": false, "default_value": output_path(shape, first), "derived_from": null,
            "description": null, "encoding_format": ["text/csv"], "id": format!("{id}/outputs/stdout"),
            "mapped_to": stdout, "name": "output-2", "name_set_by_user": false, "position": 2, "postfix": null,
            "prefix": null,
        }))],
        "parameters": [embedded(class::PARAMETER, json!({
            "default_value": 3, "derived_from": null, "description": "how many rows",
            "id": format!("{id}/parameters/n"), "name": "n", "name_set_by_user": true, "position": 3,
            "postfix": "n", "prefix": "-n ",
        }))],
        "project_id": project_id(shape),
        "success_codes": [0],
    })
}

fn dataset_url(id: &str) -> Value {
    embedded(
        class::URL,
        json!({"id": format!("/urls{id}"), "url": {"@id": id}, "url_id": id, "url_str": null}),
    )
}

/// Version 0 is the created dataset, version 1 the edit that is current.
pub(super) fn dataset(shape: &Shape, number: usize, version: usize) -> State {
    let id = dataset_id(shape, number, version);
    let slug = dataset_slug(number);
    let files: Vec<Value> = (0..=version * 2 + 1)
        .map(|file| {
            let path = format!("data/{slug}/part-{file}.csv");
            embedded(
                class::DATASET_FILE,
                json!({"based_on": null, "date_added": date(number * 50 + file), "date_removed": null,
                       "entity": entity(shape, &path),
                       "id": format!("/dataset-files/{}", stream(shape, 8, number * 16 + file).hex32()),
                       "is_external": false, "linked": false, "size": 100 + file, "source": path}),
            )
        })
        .collect();
    let first = dataset_id(shape, number, 0);
    json!({
        "annotations": [],
        "creators": [person()],
        "dataset_files": files,
        "date_created": date(number * 50),
        "date_modified": date(number * 50 + 10 * version),
        "date_published": null,
        "date_removed": null,
        "derived_from": if version == 0 { Value::Null } else { dataset_url(&first) },
        "description": format!("rows of step {number}"),
        "id": id,
        "identifier": id.trim_start_matches("/datasets/"),
        "images": [],
        "in_language": null,
        "initial_identifier": first.trim_start_matches("/datasets/"),
        "keywords": ["generated"],
        "license": null,
        "name": format!("Dataset {number}"),
        "project_id": project_id(shape),
        "same_as": null,
        "slug": slug,
        "storage": null,
        "title": null,
        "version": null,
    })
}

/// A tag of the current version of a dataset: its id and state.
pub(super) fn tag(shape: &Shape, number: usize) -> (String, State) {
    let dataset = dataset_id(shape, number, 1);
    let id = format!("/dataset-tags/v1%40{}", dataset.trim_start_matches("/datasets/"));
    let state = json!({
        "dataset_id": dataset_url(&dataset),
        "date_created": date(number * 50 + 30),
        "description": "first",
        "id": id,
        "name": "v1",
    });
    (id, state)
}

pub(super) fn project(shape: &Shape) -> State {
    let name = shape.slug.rsplit('/').next().unwrap_or(&shape.slug);
    json!({
        "@renku_data_type": class::PROJECT,
        "agent_version": "2.9.4",
        "annotations": [],
        "creator": person(),
        "date_created": date(0),
        "description": "a generated project",
        "id": project_id(shape),
        "image": null,
        "keywords": ["generated"],
        "minimum_renku_version": "2.8.0",
        "name": name,
        "template_metadata": embedded(class::TEMPLATE, json!({
            "immutable_template_files": [], "metadata": "", "ssh_supported": true, "template_id": "minimal",
            "template_ref": "0.7.1", "template_source": "renku", "template_version": "0.7.1",
        })),
        "version": 10,
    })
}

/// The root: every name that the CLI expects, but for the catalog that an export does not need.
pub(super) fn root() -> State {
    use super::encode::{reference_to_oid, tuple};
    let index = |name: &str, attribute: Option<&str>, object_type: &str| {
        json!({"@renku_data_type": class::INDEX, "@renku_oid": format!("{name}-index"), "attribute": attribute,
               "entries": reference_to_oid(class::TREE, name), "key_type": null, "name": name,
               "object_type": object_type})
    };
    let tree = |name: &str| reference_to_oid(class::TREE, name);
    let plan = "renku.domain_model.workflow.plan.AbstractPlan";
    let collection = "renku.domain_model.provenance.activity.ActivityCollection";
    let entries = vec![
        json!("_downstream_relations"),
        tree("_downstream_relations"),
        json!("activities"),
        index("activities", Some("id"), class::ACTIVITY),
        json!("activities-by-generation"),
        tree("activities-by-generation"),
        json!("activities-by-usage"),
        tree("activities-by-usage"),
        json!("activity-collections"),
        index("activity-collections", Some("id"), collection),
        json!("datasets"),
        index("datasets", Some("slug"), class::DATASET),
        json!("datasets-provenance-tails"),
        index("datasets-provenance-tails", Some("id"), class::DATASET),
        json!("datasets-tags"),
        index("datasets-tags", None, class::LIST),
        json!("plans"),
        index("plans", Some("id"), plan),
        json!("plans-by-name"),
        index("plans-by-name", Some("name"), plan),
        json!("project"),
        reference_to_oid(class::PROJECT, "project"),
    ];
    json!({
        "@renku_data_type": class::TREE,
        "@renku_data_value": tuple(vec![tuple(vec![tuple(vec![tuple(entries)])])]),
    })
}
