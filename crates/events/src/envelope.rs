use model::{Generation, Offset, Partition, Position, StateVersion, Timestamp, TopicName};
use serde::{Deserialize, Serialize};

/// The version of the records' meaning that this build writes and understands.
pub const RECORD_VERSION: i32 = 1;

/// What every record carries. See `schemas/` for each field's meaning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// [`RECORD_VERSION`] of the writer.
    pub record_version: i32,
    /// Which look this is part of; 0 where none has begun.
    #[serde(with = "number")]
    pub generation: Generation,
    /// The facts that content was made with; 0: none.
    #[serde(with = "number")]
    pub state_version: StateVersion,
    /// Version of the rules that made the triples; 0 where none were made.
    pub generator_version: i32,
    /// When the writer saw what it tells.
    pub observed_at: Timestamp,
    /// The rebuild that asked for this.
    pub campaign: Option<String>,
    /// The push events that this record answers for.
    pub covers: Covers,
}

impl Envelope {
    /// An envelope that belongs to no look yet, as hooks make it.
    pub fn unlooked(observed_at: Timestamp) -> Self {
        Self {
            record_version: RECORD_VERSION,
            generation: Generation::default(),
            state_version: StateVersion::default(),
            generator_version: 0,
            observed_at,
            campaign: None,
            covers: Covers::default(),
        }
    }
}

/// One entry of [`Covers`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Cover {
    topic: TopicName,
    partition: i32,
    next: i64,
}

/// The push events of *one project* that a record answers for: per topic and partition, all of the project's events
/// below an offset. A project's events keep their order, so the highest offset says it all, and a later record of the
/// project says it again: compaction loses nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Covers(Vec<Cover>);

impl Covers {
    /// What handling the record at `offset` covers.
    pub fn record(topic: &TopicName, partition: Partition, offset: Offset) -> Self {
        let mut covers = Self::default();
        covers.add(Position {
            topic: topic.clone(),
            partition,
            next: offset.next(),
        });
        covers
    }

    /// Takes in one position; the higher one stays.
    pub fn add(&mut self, position: Position) {
        let cover = Cover {
            topic: position.topic,
            partition: position.partition.get() as i32,
            next: i64::try_from(position.next.get()).unwrap_or(i64::MAX),
        };
        match self
            .0
            .binary_search_by(|c| (&c.topic, c.partition).cmp(&(&cover.topic, cover.partition)))
        {
            Ok(at) => self.0[at].next = self.0[at].next.max(cover.next),
            Err(at) => self.0.insert(at, cover),
        }
    }

    /// Takes in all of another's.
    pub fn merge(&mut self, other: &Self) {
        for position in other.iter() {
            self.add(position);
        }
    }

    /// Whether everything below the position's offset is answered for.
    pub fn covers(&self, position: &Position) -> bool {
        self.iter().any(|c| {
            c.topic == position.topic && c.partition == position.partition && c.next >= position.next
        })
    }

    /// Nothing covered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The positions, sorted by topic and partition. Negative numbers of a foreign writer count as 0.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().map(|c| Position {
            topic: c.topic.clone(),
            partition: Partition::new(u32::try_from(c.partition).unwrap_or(0)),
            next: Offset::new(u64::try_from(c.next).unwrap_or(0)),
        })
    }
}

/// Generations are Avro `long`s: positive 63-bit numbers.
pub(crate) mod number {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        generation: &Generation,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(generation.get()).unwrap_or(i64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Generation, D::Error> {
        let number = i64::deserialize(deserializer)?;
        u64::try_from(number)
            .map(Generation::new)
            .map_err(|_| serde::de::Error::custom(format!("generation {number} is negative")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &'static str, partition: u32, next: u64) -> Position {
        Position {
            topic: TopicName::from_static(topic),
            partition: Partition::new(partition),
            next: Offset::new(next),
        }
    }

    #[test]
    fn the_highest_offset_stays() {
        let mut covers = Covers::record(&TopicName::from_static("b"), Partition::new(1), Offset::new(4));
        covers.add(at("b", 1, 3));
        covers.add(at("a", 1, 9));
        assert_eq!(covers.iter().collect::<Vec<_>>(), [at("a", 1, 9), at("b", 1, 5)]);
        assert!(covers.covers(&at("b", 1, 5)));
        assert!(!covers.covers(&at("b", 1, 6)));
        assert!(!covers.covers(&at("b", 2, 1)));
    }

    #[test]
    fn merging_is_order_independent() {
        let mut left = Covers::record(&TopicName::from_static("a"), Partition::new(0), Offset::new(4));
        let mut right = Covers::record(&TopicName::from_static("b"), Partition::new(0), Offset::new(7));
        let (l, r) = (left.clone(), right.clone());
        left.merge(&r);
        right.merge(&l);
        assert_eq!(left, right);
    }
}
