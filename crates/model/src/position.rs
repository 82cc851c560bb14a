use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A topic's name, e.g. `renku.push-events.v1`. Kafka's rule: 1 to 249 of letters, digits, `.`, `_`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicName(std::borrow::Cow<'static, str>);

impl TopicName {
    /// A name known at compile time.
    pub const fn from_static(name: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(name))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic name: 1 to 249 letters, digits, '.', '_' or '-' are needed")]
pub struct NotATopicName(String);

impl FromStr for TopicName {
    type Err = NotATopicName;

    fn from_str(text: &str) -> Result<Self, NotATopicName> {
        let fits = (1..=249).contains(&text.len())
            && text != "."
            && text != ".."
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits {
            Ok(Self(text.to_owned().into()))
        } else {
            Err(NotATopicName(text.chars().take(80).collect()))
        }
    }
}

/// The number of a partition, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Partition(u32);

impl Partition {
    /// Wraps a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a record in its partition, from 0. Compaction and retention leave holes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Offset(u64);

impl Offset {
    /// Wraps a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after: as a position, "this record is done".
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which log this is. A log that was deleted and made anew has another id, so no position of the old one fits it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for LogId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// Where to go on reading: the *next* offset of a partition. Everything below is done.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The next offset to read.
    pub next: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.next)
    }
}

/// The text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position: TOPIC/PARTITION@NEXT is needed, e.g. renku.push-events.v1/3@42")]
pub struct NotAPosition(String);

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let bad = || NotAPosition(text.chars().take(300).collect());
        let (topic, rest) = text.rsplit_once('/').ok_or_else(bad)?;
        let (partition, next) = rest.split_once('@').ok_or_else(bad)?;
        Ok(Self {
            topic: topic.parse().map_err(|_| bad())?,
            partition: Partition(partition.parse().map_err(|_| bad())?),
            next: Offset(next.parse().map_err(|_| bad())?),
        })
    }
}

/// What a topic forgets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CleanUp {
    /// Records older than this go.
    Delete(Duration),
    /// Only the newest record of a key stays.
    Compact,
    /// Both.
    CompactAndDelete(Duration),
}

/// What a bus must know of a topic. Declared in `topics/*.yaml`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; fixed for the life of a keyed topic.
    pub partitions: u32,
    /// What it forgets.
    pub clean_up: CleanUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back() {
        let position = Position {
            topic: TopicName::from_static("renku.push-events.v1"),
            partition: Partition::new(3),
            next: Offset::new(42),
        };
        assert_eq!(position.to_string(), "renku.push-events.v1/3@42");
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "a", "a/1", "a@1", "a/b@c", "a/1@-1", "a b/1@1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
