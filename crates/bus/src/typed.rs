use bytes::Bytes;
use events::{DecodeError, Decoder, EncodeError, TopicValue, cloud_event_headers, encode, record_id};
use model::{Timestamp, TopicName};

use crate::{Headers, NewRecord, Record};

/// What the writer of a record adds to its value.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The role, e.g. `commit-fetcher`; becomes `ce_source`.
    pub source: &'a str,
    /// When it is written.
    pub at: Timestamp,
    /// W3C trace context of what is being handled.
    pub traceparent: Option<&'a str>,
    /// The sender's own id of the event (GitLab's `Idempotency-Key`); without it the id is a digest of the record.
    pub id: Option<&'a str>,
}

/// The record of a typed value: encoded, keyed, partitioned by its project, with CloudEvents headers.
pub fn record_of<T: TopicValue>(
    topic: &TopicName,
    value: &T,
    origin: Origin<'_>,
) -> Result<NewRecord, EncodeError> {
    let key = value.key();
    let bytes = encode(T::SUBJECT, value)?;
    let own_id = || record_id(topic, key.as_bytes(), &bytes);
    let id = origin.id.map_or_else(own_id, str::to_owned);
    let headers: Headers = cloud_event_headers(
        topic,
        &id,
        &format!("/renku/{}", origin.source),
        origin.at,
        origin.traceparent,
    )
    .into_iter()
    .collect();
    let mut record = NewRecord::new(topic.clone(), key, bytes, origin.at);
    record.partition_by = Some(Bytes::from(value.partition_by()));
    record.headers = headers;
    Ok(record)
}

/// Reads the typed value of a record; `None` for a tombstone.
pub fn value_of<T: TopicValue>(decoder: &Decoder, record: &Record) -> Result<Option<T>, DecodeError> {
    record
        .value
        .as_deref()
        .map(|bytes| decoder.decode(T::SUBJECT, bytes))
        .transpose()
}
