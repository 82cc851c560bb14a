use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::{
    Bus, BusError, EmbeddedBus, EmbeddedOptions, GroupConsumer, GroupEvent, MemoryBus, NewRecord, Record,
    TopicPartition,
};
use model::{CleanUp, LogId, Partition, Position, Timestamp, TopicName, TopicSpec};
use tempfile::TempDir;

/// An implementation under test. A log with records survives [`Harness::reopened`], if the implementation is durable.
#[allow(async_fn_in_trait, reason = "used by these tests only")]
pub trait Harness: Sized {
    async fn fresh() -> Self;
    fn bus(&self) -> Arc<dyn Bus>;
    /// Whether compaction leaves one record a key at once. Kafka may leave older ones for a while.
    const COMPACTS_ALL: bool = true;
    /// Called before anything is written to the compacted topic, so that compaction can be seen with few records.
    async fn prepare_compaction(&self) {}
    /// Lets the clean-up rules act as if it were `now`.
    async fn clean_up(&self, now: Timestamp);
    /// Whether closing and opening again keeps everything.
    const DURABLE: bool;
    async fn reopened(self) -> Self;
    /// As the implementations have it beside the seam.
    async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError>;
}

pub struct Memory(MemoryBus);

impl Harness for Memory {
    const DURABLE: bool = false;

    async fn fresh() -> Self {
        Self(MemoryBus::new(LogId(1)))
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.0.clone())
    }

    async fn clean_up(&self, now: Timestamp) {
        self.0.clean_up(now);
    }

    async fn reopened(self) -> Self {
        self
    }

    async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.0.set_group_positions(group, positions).await
    }
}

pub struct Embedded {
    bus: EmbeddedBus,
    folder: TempDir,
}

pub fn open(folder: &Path, id: u128) -> EmbeddedBus {
    EmbeddedBus::open(folder, options(id)).unwrap()
}

/// No copy of the newest records in memory, so that the disk is read.
pub fn options(id: u128) -> EmbeddedOptions {
    EmbeddedOptions {
        tail_bytes: 0,
        compaction_lag: Duration::ZERO,
        ..EmbeddedOptions::new(LogId(id))
    }
}

impl Harness for Embedded {
    const DURABLE: bool = true;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            bus: open(folder.path(), 1),
            folder,
        }
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    async fn clean_up(&self, now: Timestamp) {
        while self.bus.clean_up(now).await.unwrap() {}
    }

    async fn reopened(self) -> Self {
        let Self { bus, folder } = self;
        bus.close().await.unwrap();
        drop(bus);
        Self {
            bus: open(folder.path(), 2),
            folder,
        }
    }

    async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.bus.set_group_positions(group, positions).await
    }
}

pub const T: TopicName = TopicName::from_static("t");
pub const U: TopicName = TopicName::from_static("u");
pub const COMPACTED: TopicName = TopicName::from_static("compacted");
pub const AGED: TopicName = TopicName::from_static("aged");
pub const PARKED: TopicName = TopicName::from_static("t.parked");
pub const RETRY: TopicName = TopicName::from_static("t.retry");
pub const HOUR: Duration = Duration::from_secs(3600);

pub fn spec(name: TopicName, partitions: u32, clean_up: CleanUp) -> TopicSpec {
    TopicSpec {
        name,
        partitions,
        clean_up,
    }
}

pub async fn declare(bus: &dyn Bus) {
    let topics = [
        spec(T, 4, CleanUp::Delete(HOUR * 1000)),
        spec(U, 4, CleanUp::Delete(HOUR * 1000)),
        spec(COMPACTED, 2, CleanUp::Compact),
        spec(AGED, 1, CleanUp::Delete(HOUR)),
        spec(PARKED, 1, CleanUp::Delete(HOUR)),
        spec(RETRY, 4, CleanUp::Delete(HOUR * 1000)),
    ];
    bus.ensure_topics(&topics).await.unwrap();
}

pub fn at(hours: u64) -> Timestamp {
    Timestamp::default().plus(HOUR * hours as u32)
}

pub fn record(topic: TopicName, key: &str, value: &str) -> NewRecord {
    NewRecord::new(topic, key.to_owned(), value.to_owned(), at(0))
}

pub async fn starts(bus: &dyn Bus, topic: &TopicName) -> Vec<Position> {
    let extents = bus.extents(topic).await.unwrap();
    let at = |e: bus::Extent| Position {
        topic: topic.clone(),
        partition: e.partition,
        next: e.start,
    };
    extents.into_iter().map(at).collect()
}

pub fn value(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

/// Within a deadline that only a defect reaches.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it took more than 30 s")
}

/// The next records of a member, which may be told of assignments before.
pub async fn records(member: &mut dyn GroupConsumer) -> Vec<Record> {
    loop {
        match soon(member.next()).await.unwrap() {
            GroupEvent::Records(records) => return records,
            GroupEvent::Assigned(_) => {}
            GroupEvent::Revoked { partitions, .. } => member.release(&partitions),
        }
    }
}

/// Exactly so many records of a member.
pub async fn take(member: &mut dyn GroupConsumer, count: usize) -> Vec<Record> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(records(member).await);
    }
    assert_eq!(taken.len(), count);
    taken
}

pub fn slot(topic: TopicName, partition: u32) -> TopicPartition {
    TopicPartition {
        topic,
        partition: Partition::new(partition),
    }
}
