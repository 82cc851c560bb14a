use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::{LogId, Offset, Partition, Position, TopicName, TopicSpec};

use crate::{BusError, NewRecord, Record};

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
}

impl TopicPartition {
    /// The position `next` of this partition.
    pub fn at(&self, next: Offset) -> Position {
        Position {
            topic: self.topic.clone(),
            partition: self.partition,
            next,
        }
    }
}

impl From<&Position> for TopicPartition {
    fn from(position: &Position) -> Self {
        Self {
            topic: position.topic.clone(),
            partition: position.partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What a partition holds at the moment: offsets from `start` up to, not with, `end`. There may be holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The partition.
    pub partition: Partition,
    /// The first offset that a reader may ask for.
    pub start: Offset,
    /// The offset that the next record will get, or a later one.
    pub end: Offset,
}

/// How much a reader takes at once. Bounds memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    /// The most records of one batch.
    pub records: usize,
    /// The most bytes of one batch; one record is always given, whatever its size.
    pub bytes: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            records: 500,
            bytes: 2 << 20,
        }
    }
}

/// How a member of a group reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupOptions {
    /// Bounds of one batch.
    pub limits: ReadLimits,
    /// How long a member may take to settle or abandon partitions that are taken from it.
    pub drain: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            limits: ReadLimits::default(),
            drain: Duration::from_secs(20),
        }
    }
}

/// A partition that a member now owns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// Where it will read: the stored position of the group, or the log's start.
    pub position: Position,
    /// The stored position, when retention has taken the records from there up to `position`. Worth an alarm.
    pub lost_from: Option<Offset>,
}

/// What happens to a member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupEvent {
    /// It owns these from now on. Records of them come after this.
    Assigned(Vec<Assignment>),
    /// Records, in order per partition, of partitions that it owns.
    Records(Vec<Record>),
    /// These are taken away: no more records of them come. Settle what is in hand, then call [`GroupConsumer::release`];
    /// after `within` they are given away regardless, and settling them has no effect.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// The time left.
        within: Duration,
    },
}

/// A durable, partitioned, ordered log. Kafka and the embedded log are behind it.
///
/// Delivery is at least once. Nothing ever resets silently: a position that the log does not have is an error.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Which log these topics are in. Positions of another log mean nothing here: the log was lost and begun anew, or one
    /// of the topics was.
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError>;

    /// Makes topics that are missing and takes over changed clean-up rules.
    ///
    /// # Errors
    /// [`BusError::PartitionsDiffer`] when a topic exists with another number of partitions.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError>;

    /// Appends records; returns when all are durable, with the position *after* each.
    /// Order within a partition is the order given.
    ///
    /// # Errors
    /// After an error any of the records may be in the log or not; to append them again is harmless to readers
    /// that ignore what they know. The embedded log takes all or none.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError>;

    /// The extents of a topic's partitions, ordered by partition.
    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError>;

    /// The stored positions of a group, for lag. Partitions that it never settled are absent.
    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError>;

    /// Joins a group, which shares out the partitions of `topics` among its members; partitions of one number of
    /// topics with equally many partitions go to the same member. `member` names it among those that live now; after a
    /// restart it may be another.
    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError>;

    /// Reads given partitions from given positions: no group, nothing stored. For views.
    ///
    /// # Errors
    /// [`BusError::PastEnd`], [`BusError::BeforeStart`]: what to do then is the reader's to decide.
    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError>;
}

/// A reader of partitions that it chose itself.
#[async_trait]
pub trait Reader: Send {
    /// Waits for records. A batch is empty only when nothing but holes was passed over. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Vec<Record>, BusError>;

    /// Where it stands: everything below was given, or does not exist.
    fn positions(&self) -> Vec<Position>;

    /// Goes on elsewhere in a partition that it reads.
    ///
    /// # Errors
    /// As [`Bus::read`]; then nothing has changed.
    async fn seek(&mut self, to: Position) -> Result<(), BusError>;

    /// Gives nothing of these until they are resumed.
    fn pause(&mut self, partitions: &[TopicPartition]);

    /// Undoes [`Reader::pause`].
    fn resume(&mut self, partitions: &[TopicPartition]);
}

/// A member of a group. Dropping it leaves the group; whether what was settled last is
/// stored is not waited for.
#[async_trait]
pub trait GroupConsumer: Send {
    /// Waits for the next event. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<GroupEvent, BusError>;

    /// Says that a record needs no more work. Only the settled *prefix* of a partition becomes the group's position.
    /// Settling what is not owned any more has no effect. Stored soon, not at once: see [`GroupConsumer::flush`].
    fn settle(&mut self, partition: &TopicPartition, offset: Offset);

    /// Gives nothing of these until they are resumed. For back-pressure.
    fn pause(&mut self, partitions: &[TopicPartition]);

    /// Undoes [`GroupConsumer::pause`].
    fn resume(&mut self, partitions: &[TopicPartition]);

    /// Hands over partitions that were revoked.
    fn release(&mut self, partitions: &[TopicPartition]);

    /// Returns when every settled prefix is stored.
    async fn flush(&mut self) -> Result<(), BusError>;

    /// Stores settled prefixes and leaves.
    async fn leave(self: Box<Self>) -> Result<(), BusError>;
}
