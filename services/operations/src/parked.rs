//! Parked topics: what is in them and was not dealt with.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bus::worker::{ParkedHeaders, ResolvedHeaders, RetryHeaders};
use bus::{Bus, BusError, Headers, NewRecord, ReadLimits, Record};
use events::{declared_topics, parked};
use model::{Offset, Partition, Timestamp, TopicName};
use serde::{Deserialize, Serialize};

/// Names a parked record: the topic that it was read from, and its place in that topic's parked lane.
/// Written `renku.commits.v1/3@17`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParkedId {
    /// The source topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// In the parked lane.
    pub offset: Offset,
}

/// The text names no parked record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a parked record: they look like renku.commits.v1/3@17")]
pub struct NotAParkedId(String);

impl fmt::Display for ParkedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for ParkedId {
    type Err = NotAParkedId;

    fn from_str(text: &str) -> Result<Self, NotAParkedId> {
        let read = || {
            let (topic, rest) = text.split_once('/')?;
            let (partition, offset) = rest.split_once('@')?;
            Some(Self {
                topic: topic.parse().ok()?,
                partition: Partition::new(partition.parse().ok()?),
                offset: Offset::new(offset.parse().ok()?),
            })
        };
        read().ok_or_else(|| NotAParkedId(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for ParkedId {
    type Error = NotAParkedId;

    fn try_from(text: String) -> Result<Self, NotAParkedId> {
        text.parse()
    }
}

impl From<ParkedId> for String {
    fn from(id: ParkedId) -> Self {
        id.to_string()
    }
}

/// A parked record without its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParkedSummary {
    /// Its name.
    pub id: ParkedId,
    /// Its key: a project's id.
    pub key: String,
    /// Why, as a word.
    pub code: String,
    /// Whose it is: `caller`, `upstream`, `us`.
    pub owner: String,
    /// Why, in words.
    pub message: String,
    /// Which try it was.
    pub attempt: u32,
    /// The group that parked it.
    pub group: String,
    /// Where it was read: `topic/partition@offset`.
    pub source: String,
    /// When it was parked, in RFC 3339.
    pub at: String,
    /// The size of its value.
    pub bytes: usize,
}

/// A parked record with its bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ParkedRecord {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: ParkedSummary,
    /// Its headers, as text where they are text.
    pub headers: Vec<(String, String)>,
    /// The value, in base64. None: it had none.
    pub value: Option<String>,
    /// The value as this build reads it. None: it cannot.
    pub decoded: Option<serde_json::Value>,
}

/// Which records are meant. Empty fields mean any.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The source topic.
    pub topic: Option<TopicName>,
    /// The key: a project's id.
    pub key: Option<String>,
    /// [`ParkedSummary::code`].
    pub code: Option<String>,
    /// [`ParkedSummary::owner`].
    pub owner: Option<String>,
    /// No more than so many.
    pub limit: Option<usize>,
}

impl Filter {
    /// Does it leave nothing out but by its limit?
    pub fn means_all(&self) -> bool {
        let limit = self.limit;
        *self
            == Self {
                limit,
                ..Self::default()
            }
    }

    /// Does it mean that record?
    pub fn admits(&self, summary: &ParkedSummary) -> bool {
        let same = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
        self.topic.as_ref().is_none_or(|topic| *topic == summary.id.topic)
            && same(&self.key, &summary.key)
            && same(&self.code, &summary.code)
            && same(&self.owner, &summary.owner)
    }
}

/// So many parked records are listed, and dealt with, at once.
pub(crate) const MOST: usize = 10_000;

/// The topics that have a parked lane.
pub(crate) fn sources() -> impl Iterator<Item = TopicName> {
    declared_topics()
        .iter()
        .filter(|declared| declared.has_lanes())
        .map(|declared| declared.topic.clone())
}

/// What is parked and was not dealt with, oldest first in each partition; [`MOST`] at the most, so that a flood of them
/// cannot take the memory of the process that runs the pipeline.
pub(crate) async fn open(bus: &dyn Bus, filter: &Filter) -> Result<Vec<ParkedSummary>, BusError> {
    let mut open = Vec::new();
    for source in sources().filter(|source| filter.topic.as_ref().is_none_or(|topic| topic == source)) {
        let mut found = BTreeMap::new();
        bus::restore(bus, &parked(&source), None, ReadLimits::default(), |record| {
            if let Some(offset) = ResolvedHeaders::resolves(&record) {
                found.remove(&(record.partition, offset));
            } else if found.len() < MOST {
                let summary = summary(&source, &record);
                if filter.admits(&summary) {
                    found.insert((record.partition, record.offset), summary);
                }
            }
        })
        .await?;
        open.extend(found.into_values());
    }
    open.truncate(filter.limit.unwrap_or(MOST).min(MOST));
    Ok(open)
}

/// One record of a parked lane, also one that was dealt with.
pub(crate) async fn record(bus: &dyn Bus, id: &ParkedId) -> Result<Option<Record>, BusError> {
    let lane = parked(&id.topic);
    if !sources().any(|source| source == id.topic) {
        return Ok(None);
    }
    let extents = bus.extents(&lane).await?;
    let held = extents
        .iter()
        .any(|extent| extent.partition == id.partition && (extent.start..extent.end).contains(&id.offset));
    if !held {
        return Ok(None);
    }
    let from = bus::TopicPartition {
        topic: lane,
        partition: id.partition,
    };
    let limits = ReadLimits {
        records: 1,
        ..ReadLimits::default()
    };
    let mut reader = bus.read(vec![from.at(id.offset)], limits).await?;
    loop {
        let passed = reader
            .positions()
            .iter()
            .all(|position| position.next > id.offset);
        if passed {
            return Ok(None);
        }
        let records = reader.next().await?;
        let found = records.into_iter().find(|record| record.offset == id.offset);
        if let Some(record) = found {
            return Ok(Some(record).filter(|record| ResolvedHeaders::resolves(record).is_none()));
        }
    }
}

/// What an operator is shown of it.
pub(crate) fn summary(source: &TopicName, record: &Record) -> ParkedSummary {
    let text = |name| record.headers.text(name).unwrap_or_default().to_owned();
    ParkedSummary {
        id: ParkedId {
            topic: source.clone(),
            partition: record.partition,
            offset: record.offset,
        },
        key: text_of(&record.key),
        code: text(ParkedHeaders::CODE),
        owner: text(ParkedHeaders::OWNER),
        message: text(ParkedHeaders::MESSAGE),
        attempt: text(ParkedHeaders::ATTEMPT).parse().unwrap_or_default(),
        group: text(ParkedHeaders::GROUP),
        source: text(ParkedHeaders::SOURCE),
        at: record.timestamp.to_string(),
        bytes: record.value.as_ref().map_or(0, |value| value.len()),
    }
}

/// The original record, for its source topic again.
pub(crate) fn original(source: &TopicName, record: &Record, now: Timestamp) -> NewRecord {
    let ours = |name: &str| ParkedHeaders::is_one(name) || RetryHeaders::is_one(name);
    let headers: Headers = record
        .headers
        .iter()
        .filter(|(name, _)| !ours(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    NewRecord {
        topic: source.clone(),
        key: record.key.clone(),
        partition_by: None,
        value: record.value.clone(),
        headers,
        timestamp: now,
    }
}

/// Says in the lane that the record was dealt with.
pub(crate) fn resolution(
    source: &TopicName,
    record: &Record,
    how: &'static str,
    now: Timestamp,
) -> NewRecord {
    let mut said = NewRecord::new(parked(source), record.key.clone(), Vec::new(), now);
    said.headers
        .push(ResolvedHeaders::OFFSET, record.offset.to_string());
    said.headers.push(ResolvedHeaders::HOW, how);
    said
}

/// Bytes for people.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let id: ParkedId = "renku.commits.v1/3@17".parse().unwrap();
        assert_eq!((id.partition.get(), id.offset.get()), (3, 17));
        assert_eq!(id.to_string(), "renku.commits.v1/3@17");
        for bad in ["", "a", "a/1", "a/1@", "a/x@1", "a b/1@1"] {
            assert!(bad.parse::<ParkedId>().is_err(), "{bad}");
        }
    }
}
