use model::{Offset, Reason, Timestamp, TopicName};

use super::retry::RetryHeaders;
use crate::{NewRecord, Record};

/// The headers that a parked record has beside its own.
#[derive(Debug, Clone, Copy)]
pub struct ParkedHeaders;

impl ParkedHeaders {
    /// [`Reason::code`].
    pub const CODE: &'static str = "renku-parked-code";
    /// [`Reason::owner`].
    pub const OWNER: &'static str = "renku-parked-owner";
    /// [`Reason::message`].
    pub const MESSAGE: &'static str = "renku-parked-message";
    /// Which try it was, from 1.
    pub const ATTEMPT: &'static str = "renku-parked-attempt";
    /// Where it was read: `topic/partition@offset`.
    pub const SOURCE: &'static str = "renku-parked-source";
    /// The group that rejected it.
    pub const GROUP: &'static str = "renku-parked-group";
    /// When, in RFC 3339.
    pub const AT: &'static str = "renku-parked-at";

    /// Is this header one of them?
    pub fn is_one(name: &str) -> bool {
        Self::ALL.contains(&name)
    }

    const ALL: [&'static str; 7] = [
        Self::CODE,
        Self::OWNER,
        Self::MESSAGE,
        Self::ATTEMPT,
        Self::SOURCE,
        Self::GROUP,
        Self::AT,
    ];
}

/// Headers of a record that says that another one of its partition was dealt with. Its value is empty.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedHeaders;

impl ResolvedHeaders {
    /// The offset of the parked record.
    pub const OFFSET: &'static str = "renku-resolved-offset";
    /// `requeued` or `dropped`.
    pub const HOW: &'static str = "renku-resolved-how";

    /// The parked record that this one says was dealt with.
    pub fn resolves(record: &Record) -> Option<Offset> {
        let text = record.headers.text(Self::OFFSET)?;
        Some(Offset::new(text.parse().ok()?))
    }
}

/// The record to be parked: the original key, bytes and headers, and why.
pub fn parked_record(
    record: &Record,
    parked: TopicName,
    group: &str,
    reason: &Reason,
    attempt: u32,
    now: Timestamp,
) -> NewRecord {
    // A message must not make the record too large for its topic.
    let message: String = reason.message.chars().take(2_000).collect();
    let source = format!("{}/{}@{}", record.topic, record.partition, record.offset);
    // A record that was parked before and sent again must not carry two reasons.
    let mut headers: crate::Headers = record
        .headers
        .iter()
        .filter(|(name, _)| !ParkedHeaders::is_one(name) && !RetryHeaders::is_one(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    headers.push(ParkedHeaders::CODE, reason.code);
    headers.push(ParkedHeaders::OWNER, reason.owner.as_str());
    headers.push(ParkedHeaders::MESSAGE, message);
    headers.push(ParkedHeaders::ATTEMPT, attempt.to_string());
    headers.push(ParkedHeaders::SOURCE, source);
    headers.push(ParkedHeaders::GROUP, group.to_owned());
    headers.push(ParkedHeaders::AT, now.to_string());
    NewRecord {
        topic: parked,
        key: record.key.clone(),
        partition_by: None,
        value: record.value.clone(),
        headers,
        timestamp: now,
    }
}
