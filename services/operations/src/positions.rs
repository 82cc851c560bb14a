use axum::Json;
use axum::extract::{Query, State};
use bus::{BusError, Extent};
use events::{
    ACCESS_DENIALS, COMMITS, EVENT_STATUS, PROJECT_GRAPHS, PROJECTS, PUSH_EVENTS, PUSH_EVENTS_BACKFILL, retry,
};
use model::{Position, TopicName};
use serde::{Deserialize, Serialize};

use crate::desk::Operations;
use crate::refusal::Refusal;

/// What a worker's group reads: topics with a retry lane, and topics without.
const GROUPS: [(&str, &[TopicName], &[TopicName]); 2] = [
    (
        "commit-fetcher",
        &[PUSH_EVENTS, PUSH_EVENTS_BACKFILL],
        &[PROJECTS, COMMITS],
    ),
    ("triple-generator", &[COMMITS, PROJECTS], &[]),
];

/// What the graph view reads.
pub(crate) const VIEWED: [TopicName; 4] = [PROJECTS, PROJECT_GRAPHS, EVENT_STATUS, ACCESS_DENIALS];

/// `GET /admin/positions`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Positions {
    /// Which log the positions of the graph view are of.
    pub log: String,
    /// One row for each reader, topic and partition.
    pub positions: Vec<ReaderPosition>,
    /// The digest of the graph view: equal on all nodes that have applied the same. None: no view here, or not asked for.
    pub graph_digest: Option<String>,
    /// What the graph view of this node waits for; while it catches up: how much is done, of how much, and how long it may take.
    pub graph_state: Option<String>,
}

/// How far one reader is in one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReaderPosition {
    /// A worker's group, or `graph` for the graph view of this node.
    pub reader: String,
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The offset that the next record will get.
    pub end: u64,
    /// Everything below it is dealt with.
    pub applied: u64,
    /// How many offsets are left.
    pub lag: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    digest: bool,
}

pub(crate) async fn get(
    State(desk): State<Operations>,
    Query(asked): Query<Asked>,
) -> Result<Json<Positions>, Refusal> {
    let inner = desk.inner();
    // Positions before ends: a lag may be told too large, never too small.
    let mut read: Vec<(&'static str, TopicName, Vec<Position>)> = Vec::new();
    for (group, with_lane, without) in GROUPS {
        let lanes = with_lane.iter().map(retry);
        let topics: Vec<_> = with_lane.iter().chain(without).cloned().chain(lanes).collect();
        let stored = inner.bus.group_positions(group, &topics).await?;
        for topic in topics {
            let of_topic = stored.iter().filter(|position| position.topic == topic);
            read.push((group, topic.clone(), of_topic.cloned().collect()));
        }
    }
    let mut graph_digest = None;
    if let Some(reader) = inner.reader.clone() {
        let view = tokio::task::spawn_blocking(move || {
            let snapshot = reader.snapshot()?;
            let digest = asked.digest.then(|| snapshot.digest()).transpose()?;
            Ok::<_, store::StoreError>((snapshot.positions()?, digest))
        });
        let (positions, digest) = view.await??;
        graph_digest = digest.map(|digest| digest.to_string());
        for topic in VIEWED {
            let of_topic = positions.iter().filter(|position| position.topic == topic);
            read.push(("graph", topic.clone(), of_topic.cloned().collect()));
        }
    }
    let mut positions = Vec::new();
    for (reader, topic, stored) in read {
        let extents = match inner.bus.extents(&topic).await {
            Ok(extents) => extents,
            Err(BusError::UnknownTopic(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        positions.extend(extents.iter().map(|extent| row(reader, &topic, extent, &stored)));
    }
    Ok(Json(Positions {
        log: inner.bus.log_id(&VIEWED).await?.to_string(),
        positions,
        graph_digest,
        graph_state: inner.edges.health.readiness().components.remove("graph-writer"),
    }))
}

fn row(reader: &str, topic: &TopicName, extent: &Extent, stored: &[Position]) -> ReaderPosition {
    let applied = stored
        .iter()
        .find(|position| position.partition == extent.partition)
        .map_or(extent.start, |position| position.next)
        .max(extent.start);
    ReaderPosition {
        reader: reader.to_owned(),
        topic: topic.clone(),
        partition: extent.partition.get(),
        end: extent.end.get(),
        applied: applied.get(),
        lag: extent.end.get().saturating_sub(applied.get()),
    }
}
