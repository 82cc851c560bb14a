use std::time::Duration;

use bytes::Bytes;
use model::{Offset, Owner, Partition, Timestamp, TopicName};

use crate::{Headers, NewRecord, Record, TopicPartition};

/// The headers that a record in a retry lane has beside its own.
#[derive(Debug, Clone, Copy)]
pub struct RetryHeaders;

impl RetryHeaders {
    /// How many tries failed so far.
    pub const ATTEMPT: &'static str = "renku-retry-attempt";
    /// Not to be tried before this moment, in microseconds since 1970.
    pub const NOT_BEFORE: &'static str = "renku-retry-not-before";
    /// When the record was made that failed first, in microseconds since 1970.
    pub const MADE: &'static str = "renku-retry-made";
    /// Where it was read first: `topic/partition@offset`.
    pub const SOURCE: &'static str = "renku-retry-source";
    /// Who has to get well first.
    pub const OWNER: &'static str = "renku-retry-owner";
    /// One line.
    pub const WHY: &'static str = "renku-retry-why";

    /// Is this header one of them?
    pub fn is_one(name: &str) -> bool {
        Self::ALL.contains(&name)
    }

    const ALL: [&'static str; 6] = [
        Self::ATTEMPT,
        Self::NOT_BEFORE,
        Self::MADE,
        Self::SOURCE,
        Self::OWNER,
        Self::WHY,
    ];
}

/// Was this record tried before, in another turn or by another process? Then newer ones of its key may have gone before.
pub fn was_tried(record: &Record) -> bool {
    record.headers.get(RetryHeaders::ATTEMPT).is_some()
}

/// Why a turn is handed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure<'a> {
    pub attempt: u32,
    pub owner: Owner,
    pub why: &'a str,
    pub now: Timestamp,
    pub after: Duration,
}

/// The record for the retry lane: what failed, with its own headers and what the next try has to know.
pub(super) fn retry_record(record: &Record, retry: TopicName, failure: Failure<'_>) -> NewRecord {
    let Failure {
        attempt,
        owner,
        why,
        now,
        after,
    } = failure;
    let mut headers: Headers = own_headers(&record.headers);
    let source = format!("{}/{}@{}", record.topic, record.partition, record.offset);
    headers.push(RetryHeaders::ATTEMPT, attempt.to_string());
    headers.push(
        RetryHeaders::NOT_BEFORE,
        now.plus(after).micros_since_epoch().to_string(),
    );
    headers.push(
        RetryHeaders::MADE,
        record.timestamp.micros_since_epoch().to_string(),
    );
    headers.push(RetryHeaders::SOURCE, source);
    headers.push(RetryHeaders::OWNER, owner.as_str());
    headers.push(RetryHeaders::WHY, why.chars().take(500).collect::<String>());
    NewRecord {
        topic: retry,
        key: record.key.clone(),
        partition_by: None,
        value: record.value.clone(),
        headers,
        // Retention goes by the last try.
        timestamp: now,
    }
}

fn own_headers(headers: &Headers) -> Headers {
    headers
        .iter()
        .filter(|(name, _)| !RetryHeaders::is_one(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// A record in hand: what the worker sees, and where it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// As it was in its source topic. Of one that was tried before: restored from its headers, which it keeps.
    pub record: Record,
    /// Whose settled prefix it is part of.
    pub slot: TopicPartition,
    /// Its place there.
    pub offset: Offset,
    /// How many tries failed before it was handed on; 0 for a record of the source itself.
    pub tried: u32,
    /// When it may be tried.
    pub not_before: Option<Timestamp>,
    /// Its turn failed since it was read.
    pub failed: bool,
}

impl Held {
    /// A record as it was read from a source topic.
    pub fn first(record: Record) -> Self {
        Self {
            slot: record.slot(),
            offset: record.offset,
            tried: 0,
            not_before: None,
            failed: false,
            record,
        }
    }

    /// A record as it was read from the retry lane of `source`. Headers that say nothing readable are taken for a first
    /// try of a record that is where it was read: an odd record is tried at once, never lost.
    pub fn again(record: Record, source: &TopicName) -> Self {
        let number = |name| {
            record
                .headers
                .text(name)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let moment = |name| {
            number(name)
                .and_then(|micros| i64::try_from(micros).ok())
                .map(Timestamp::from_micros)
        };
        let origin = record
            .headers
            .text(RetryHeaders::SOURCE)
            .and_then(|text| place(text, source));
        let mut held = Self::first(record.clone());
        held.tried = number(RetryHeaders::ATTEMPT)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(1);
        held.not_before = moment(RetryHeaders::NOT_BEFORE);
        if let Some((partition, offset)) = origin {
            held.record.topic = source.clone();
            held.record.partition = partition;
            held.record.offset = offset;
        }
        held.record.timestamp = moment(RetryHeaders::MADE).unwrap_or(record.timestamp);
        held
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        self.record.bytes()
    }

    pub fn key(&self) -> &Bytes {
        &self.record.key
    }
}

/// Reads `topic/partition@offset` of that topic.
fn place(text: &str, topic: &TopicName) -> Option<(Partition, Offset)> {
    let rest = text.strip_prefix(topic.as_str())?.strip_prefix('/')?;
    let (partition, offset) = rest.split_once('@')?;
    Some((
        Partition::new(partition.parse().ok()?),
        Offset::new(offset.parse().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TopicName = TopicName::from_static("t.v1");
    const LANE: TopicName = TopicName::from_static("t.v1.retry");

    fn record() -> Record {
        Record {
            topic: T,
            partition: Partition::new(3),
            offset: Offset::new(9),
            key: "k".into(),
            value: Some("v".into()),
            headers: Headers::new().with("ce_id", "7"),
            timestamp: Timestamp::from_micros(5),
        }
    }

    fn read(new: NewRecord, offset: u64) -> Record {
        Record {
            topic: new.topic,
            partition: Partition::new(3),
            offset: Offset::new(offset),
            key: new.key,
            value: new.value,
            headers: new.headers,
            timestamp: new.timestamp,
        }
    }

    fn failure(attempt: u32) -> Failure<'static> {
        Failure {
            attempt,
            owner: Owner::Upstream,
            why: "down",
            now: Timestamp::from_micros(1_000),
            after: Duration::from_micros(20),
        }
    }

    #[test]
    fn a_record_is_itself_again_however_often_it_is_handed_on() {
        let mut held = Held::first(record());
        for n in 1..4 {
            let lane = read(retry_record(&held.record, LANE, failure(n)), u64::from(n));
            held = Held::again(lane, &T);
            assert_eq!((held.tried, held.offset.get()), (n, u64::from(n)));
            assert_eq!(held.slot.topic, LANE);
            assert_eq!(held.not_before, Some(Timestamp::from_micros(1_020)));
            let mut seen = held.record.clone();
            assert!(was_tried(&seen));
            seen.headers = own_headers(&seen.headers);
            assert_eq!(seen, record());
        }
        assert!(!was_tried(&record()));
    }

    #[test]
    fn odd_headers_make_no_loss() {
        for source in ["", "t.v1", "t.v1/x@1", "other/1@2", "t.v1/1@-1"] {
            let mut odd = record();
            odd.topic = LANE;
            odd.headers.push(RetryHeaders::SOURCE, source);
            odd.headers.push(RetryHeaders::NOT_BEFORE, "soon");
            let held = Held::again(odd.clone(), &T);
            assert_eq!((held.record, held.tried, held.not_before), (odd, 1, None));
        }
    }
}
