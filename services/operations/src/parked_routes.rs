use axum::Json;
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use events::Decoder;
use model::{Partition, TopicName};
use serde::{Deserialize, Serialize};

use crate::desk::Operations;
use crate::parked::{self, Filter, ParkedId, ParkedRecord, ParkedSummary};
use crate::refusal::Refusal;

/// What becomes of parked records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// To their source topic again, as they were: the cause is gone.
    Requeue,
    /// Never again.
    Drop,
}

/// `POST /admin/parked`: names, or a filter that is not empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// What to do.
    pub action: Resolution,
    /// These.
    #[serde(default)]
    pub ids: Vec<ParkedId>,
    /// All of these.
    #[serde(default)]
    pub filter: Option<Filter>,
}

/// The answer to [`Resolve`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resolved {
    /// What was dealt with.
    pub resolved: Vec<ParkedId>,
    /// Names of no parked record, or of one that was dealt with before.
    pub unknown: Vec<ParkedId>,
}

pub(crate) async fn list(
    State(desk): State<Operations>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<ParkedSummary>>, Refusal> {
    known(filter.topic.as_ref())?;
    Ok(Json(parked::open(&*desk.inner().bus, &filter).await?))
}

/// A topic without a parked lane is a slip of the pen, not an empty list.
fn known(topic: Option<&TopicName>) -> Result<(), Refusal> {
    let Some(topic) = topic else { return Ok(()) };
    if parked::sources().any(|source| source == *topic) {
        return Ok(());
    }
    let all: Vec<_> = parked::sources().map(|source| source.to_string()).collect();
    Err(Refusal::Wrong(format!(
        "{topic} has no parked records: topics that have are {}",
        all.join(", ")
    )))
}

pub(crate) async fn show(
    State(desk): State<Operations>,
    Path((topic, partition, offset)): Path<(TopicName, u32, u64)>,
) -> Result<Json<ParkedRecord>, Refusal> {
    known(Some(&topic))?;
    let id = ParkedId {
        topic,
        partition: Partition::new(partition),
        offset: model::Offset::new(offset),
    };
    let record = parked::record(&*desk.inner().bus, &id)
        .await?
        .ok_or_else(|| Refusal::Absent(format!("there is no parked record {id}")))?;
    let subject = events::declared_topics()
        .iter()
        .find(|declared| declared.topic == id.topic)
        .map(|declared| declared.value.as_str());
    let value = record.value.as_deref();
    let decoded = subject.zip(value).and_then(|(subject, value)| {
        Decoder::default()
            .decode::<serde_json::Value>(subject, value)
            .ok()
    });
    Ok(Json(ParkedRecord {
        summary: parked::summary(&id.topic, &record),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect(),
        value: value.map(|bytes| BASE64_STANDARD.encode(bytes)),
        decoded,
    }))
}

pub(crate) async fn resolve(
    State(desk): State<Operations>,
    Json(asked): Json<Resolve>,
) -> Result<Json<Resolved>, Refusal> {
    let inner = desk.inner();
    let filter = asked.filter.unwrap_or_default();
    if !asked.ids.is_empty() && filter != Filter::default() {
        return Err(Refusal::Wrong(
            "name records in ids or give a filter, not both".to_owned(),
        ));
    }
    if asked.ids.is_empty() && filter.means_all() {
        return Err(Refusal::Wrong(
            "name records in ids, or give a filter: all parked records at once are not dealt with".to_owned(),
        ));
    }
    known(filter.topic.as_ref())?;
    let open = if asked.ids.is_empty() {
        parked::open(&*inner.bus, &filter).await?
    } else {
        parked::open(&*inner.bus, &Filter::default()).await?
    };
    let (wanted, unknown): (Vec<ParkedId>, Vec<ParkedId>) = if asked.ids.is_empty() {
        (open.into_iter().map(|summary| summary.id).collect(), Vec::new())
    } else {
        asked
            .ids
            .into_iter()
            .partition(|id| open.iter().any(|summary| summary.id == *id))
    };
    let how = match asked.action {
        Resolution::Requeue => "requeued",
        Resolution::Drop => "dropped",
    };
    let mut answer = Resolved {
        resolved: Vec::new(),
        unknown,
    };
    for id in wanted {
        let Some(record) = parked::record(&*inner.bus, &id).await? else {
            answer.unknown.push(id);
            continue;
        };
        let now = inner.edges.clock.now();
        // The original first: if only it is written, the record is sent twice at most, and never lost.
        let mut records = Vec::new();
        if asked.action == Resolution::Requeue {
            records.push(parked::original(&id.topic, &record, now));
        }
        records.push(parked::resolution(&id.topic, &record, how, now));
        inner.bus.append(records).await?;
        tracing::info!(%id, how, "a parked record was dealt with");
        answer.resolved.push(id);
    }
    Ok(Json(answer))
}
