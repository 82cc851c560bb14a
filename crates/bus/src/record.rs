use std::borrow::Cow;

use bytes::Bytes;
use model::{Offset, Partition, Position, Timestamp, TopicName};

/// Key, headers and value of one record together may have this many bytes: below Kafka's `max.message.bytes` default.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// What the headers of a lane may add: a record that just fits its topic fits the lanes beside it too.
const LANE_ALLOWANCE: usize = 16 << 10;

/// The headers of a record, in order. A name may occur twice; [`Headers::get`] gives the last, as Kafka's `lastHeader`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Headers {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds one at the end.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// The last value of that name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// The last value of that name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// A record to be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecord {
    /// Where it goes.
    pub topic: TopicName,
    /// What compaction goes by.
    pub key: Bytes,
    /// What chooses the partition, when it is not the key: `partition = murmur2(partition_by) mod N`.
    pub partition_by: Option<Bytes>,
    /// The value; `None` is a tombstone, which only erasure writes.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
    /// When it was made. Retention goes by it.
    pub timestamp: Timestamp,
}

impl NewRecord {
    /// A record that is partitioned by its key and has no headers.
    pub fn new(
        topic: TopicName,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        timestamp: Timestamp,
    ) -> Self {
        Self {
            topic,
            key: key.into(),
            partition_by: None,
            value: Some(value.into()),
            headers: Headers::new(),
            timestamp,
        }
    }

    /// The bytes that the partition is computed from.
    pub fn partition_bytes(&self) -> &[u8] {
        self.partition_by.as_ref().unwrap_or(&self.key)
    }

    /// The most that [`NewRecord::bytes`] may be: [`MAX_RECORD_BYTES`], and a little more in a retry or parked lane.
    pub fn limit(&self) -> usize {
        let name = self.topic.as_str();
        if name.ends_with(".retry") || name.ends_with(".parked") {
            MAX_RECORD_BYTES + LANE_ALLOWANCE
        } else {
            MAX_RECORD_BYTES
        }
    }

    /// The size that is limited.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + self.headers.bytes()
    }
}

/// A record that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// What compaction goes by.
    pub key: Bytes,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
    /// When it was made, as the writer said.
    pub timestamp: Timestamp,
}

impl Record {
    /// Where to go on after this record.
    pub fn next(&self) -> Position {
        Position {
            topic: self.topic.clone(),
            partition: self.partition,
            next: self.offset.next(),
        }
    }

    /// The partition it is of.
    pub fn slot(&self) -> crate::TopicPartition {
        crate::TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }

    /// The size in memory that limits count.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + self.headers.bytes() + 64
    }
}
