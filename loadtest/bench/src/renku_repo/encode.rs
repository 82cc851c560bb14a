//! The database's JSON: references, tuples, dates, files.

use serde_json::{Value, json};
use sha3::{Digest as _, Sha3_256};
use time::{Duration, OffsetDateTime};

use super::{File, State};

/// Python classes as the database names them.
pub(super) mod class {
    pub const ACTIVITY: &str = "renku.domain_model.provenance.activity.Activity";
    pub const ASSOCIATION: &str = "renku.domain_model.provenance.activity.Association";
    pub const BUCKET: &str = "BTrees.OOBTree.OOBucket";
    pub const DATASET: &str = "renku.domain_model.dataset.Dataset";
    pub const DATASET_FILE: &str = "renku.domain_model.dataset.DatasetFile";
    pub const ENTITY: &str = "renku.domain_model.entity.Entity";
    pub const GENERATION: &str = "renku.domain_model.provenance.activity.Generation";
    pub const INDEX: &str = "renku.infrastructure.database.Index";
    pub const INPUT: &str = "renku.domain_model.workflow.parameter.CommandInput";
    pub const LIST: &str = "persistent.list.PersistentList";
    pub const OUTPUT: &str = "renku.domain_model.workflow.parameter.CommandOutput";
    pub const PARAMETER: &str = "renku.domain_model.workflow.parameter.CommandParameter";
    pub const PARAMETER_VALUE: &str = "renku.domain_model.provenance.parameter.ParameterValue";
    pub const PERSON: &str = "renku.domain_model.provenance.agent.Person";
    pub const PLAN: &str = "renku.domain_model.workflow.plan.Plan";
    pub const PROJECT: &str = "renku.domain_model.project.Project";
    pub const SOFTWARE: &str = "renku.domain_model.provenance.agent.SoftwareAgent";
    pub const STREAM: &str = "renku.domain_model.workflow.parameter.MappedIOStream";
    pub const TAG: &str = "renku.domain_model.dataset.DatasetTag";
    pub const TEMPLATE: &str = "renku.domain_model.project.ProjectTemplateMetadata";
    pub const TREE: &str = "renku.infrastructure.database.RenkuOOBTree";
    pub const URL: &str = "renku.domain_model.dataset.Url";
    pub const USAGE: &str = "renku.domain_model.provenance.activity.Usage";
}

/// The oid of an object with an id: SHA3-256 of it, in hex.
pub(super) fn oid(id: &str) -> String {
    hex::encode(Sha3_256::digest(id.as_bytes()))
}

/// A reference to the object with this id.
pub(super) fn reference(class: &str, id: &str) -> Value {
    reference_to_oid(class, &oid(id))
}

pub(super) fn reference_to_oid(class: &str, oid: &str) -> Value {
    json!({"@renku_data_type": class, "@renku_oid": oid, "@renku_reference": true})
}

/// An object inside another one's file.
pub(super) fn embedded(class: &str, state: Value) -> Value {
    json!({"@renku_data_type": class, "@renku_data_value": state})
}

/// The n-th embedded object of the same file.
pub(super) fn same_file(number: usize) -> Value {
    json!({"@renku_data_type": "reference", "@renku_data_value": number})
}

pub(super) fn tuple(items: Vec<Value>) -> Value {
    json!({"@renku_data_type": "builtins.tuple", "@renku_data_value": items})
}

/// A moment, counted in seconds from the start of 2024, as Python writes it.
pub(super) fn date(seconds: usize) -> Value {
    let start = OffsetDateTime::UNIX_EPOCH + Duration::days(19_723);
    let moment = start + Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000));
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        (seconds * 7_919) % 999_999 + 1
    );
    json!({"@renku_data_type": "datetime.datetime", "@renku_data_value": text})
}

/// Where the database keeps an oid.
pub(super) fn metadata_path(oid: &str) -> String {
    if oid.len() == 64 {
        format!(".renku/metadata/{}/{}/{oid}", &oid[..2], &oid[2..4])
    } else {
        format!(".renku/metadata/{oid}")
    }
}

/// A compressed file: state keys beside type and oid.
pub(super) fn compressed(id: &str, class: &str, state: State) -> File {
    compressed_oid(&oid(id), class, state)
}

pub(super) fn compressed_oid(oid: &str, class: &str, mut state: State) -> File {
    state["@renku_data_type"] = json!(class);
    state["@renku_oid"] = json!(oid);
    let text = state.to_string();
    // The encoder only fails on a failing writer or bad level; an empty frame would be seen at once.
    let bytes = zstd::encode_all(text.as_bytes(), 3).unwrap_or_default();
    File {
        path: metadata_path(oid),
        bytes,
    }
}

/// A file in indented JSON, as roots, trees, buckets and the project are kept.
pub(super) fn plain(oid: &str, mut state: State) -> File {
    state["@renku_oid"] = json!(oid);
    File {
        path: metadata_path(oid),
        bytes: format!("{state:#}").into_bytes(),
    }
}
