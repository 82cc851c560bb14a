//! The loop of a worker, over any bus: read, take turns, work, settle or retry or park.
//!
//! Records of one key are never worked on at the same time and never out of order. A key that fails waits; others
//! go on. What is settled is stored as a prefix, so a crash repeats work and loses none.

mod backoff;
mod in_hand;
mod parked;
mod retry;
mod run;
mod turn;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Outcome, Owner, Reason, Timestamp, TopicName};

pub use backoff::Backoff;
pub use in_hand::InHand;
pub use parked::{ParkedHeaders, ResolvedHeaders, parked_record};
pub use retry::{RetryHeaders, was_tried};
pub use run::run;

use crate::{Bus, BusError, GroupOptions, NewRecord, Record, TopicPartition};

/// How urgent a topic's records are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Somebody waits for it.
    Live,
    /// Imports and rebuilds: a tenth of the turns while live work waits, all of them otherwise.
    Backfill,
}

/// A topic that a worker reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The topic.
    pub topic: TopicName,
    /// Its lane.
    pub lane: Lane,
    /// Where rejected records of it go. None: nowhere, they say nothing that is not said again.
    pub parked: Option<TopicName>,
    /// Where records of it wait that have to wait long, with as many partitions. None: they wait in memory.
    pub retry: Option<TopicName>,
}

impl Source {
    /// A topic whose failures have lanes of their own, see [`events::parked`] and [`events::retry`].
    pub fn new(topic: TopicName, lane: Lane) -> Self {
        Self {
            parked: Some(events::parked(&topic)),
            retry: Some(events::retry(&topic)),
            topic,
            lane,
        }
    }
}

/// Bounds and names of one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerConfig {
    /// The consumer group, e.g. `commit-fetcher`.
    pub group: String,
    /// This process among the group's members.
    pub member: String,
    /// What it reads.
    pub sources: Vec<Source>,
    /// How many turns run at once.
    pub concurrency: usize,
    /// How many waiting records of one key one turn takes. 1 means one by one.
    pub records_per_turn: usize,
    /// Reading pauses while this many bytes of records wait or are worked on.
    pub in_flight_bytes: usize,
    /// Reading pauses while this many records wait or are worked on.
    pub in_flight_records: usize,
    /// The wait between tries.
    pub backoff: Backoff,
    /// Records that have to wait this long or longer go to the retry lane, so that their partition goes on.
    pub hand_on_after: Duration,
    /// A turn that panics is tried this often, then its records are parked.
    pub panics: u32,
    /// How long to wait at the end for turns that still run.
    pub grace: Duration,
    /// How the group is read.
    pub options: GroupOptions,
}

impl WorkerConfig {
    /// Defaults for a group that reads `sources`.
    pub fn new(group: impl Into<String>, member: impl Into<String>, sources: Vec<Source>) -> Self {
        Self {
            group: group.into(),
            member: member.into(),
            sources,
            concurrency: 4,
            records_per_turn: 1,
            in_flight_bytes: 16 << 20,
            in_flight_records: 10_000,
            backoff: Backoff::default(),
            hand_on_after: Duration::from_secs(5),
            panics: 3,
            grace: Duration::from_secs(20),
            options: GroupOptions::default(),
        }
    }
}

/// What the loop needs from outside.
#[derive(Clone)]
pub struct WorkerEdges {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The time of day, for parked records.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// A random number from 0 to 1, for spreading retries.
    pub spread: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Told what happens; for metrics and logs.
    pub observe: Arc<dyn Fn(WorkerEvent<'_>) + Send + Sync>,
}

impl fmt::Debug for WorkerEdges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerEdges").finish_non_exhaustive()
    }
}

/// What is worth counting.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum WorkerEvent<'a> {
    /// A turn ended well.
    Done {
        /// How many records it had.
        records: usize,
        /// How long it ran.
        took: Duration,
    },
    /// A turn will be tried again.
    Retried {
        /// The key.
        key: &'a Bytes,
        /// Who has to get well first.
        owner: Owner,
        /// Which try failed, from 1.
        attempt: u32,
        /// The wait.
        after: Duration,
        /// Whether it waits in the retry lane; otherwise in memory.
        in_lane: bool,
        /// One line.
        why: &'a str,
    },
    /// The records of a turn were parked.
    Parked {
        /// The key.
        key: &'a Bytes,
        /// Why.
        reason: &'a Reason,
        /// How many records.
        records: usize,
    },
    /// How much is waiting or running now.
    InFlight(&'a InHand),
    /// Partitions were given to this member, and what it keeps for them is restored.
    Assigned {
        /// How many it has now, of all topics and retry lanes together.
        owned: usize,
    },
    /// Partitions were taken from this member.
    Revoked {
        /// How many it has now.
        owned: usize,
    },
    /// Retention took records before they were read.
    Lost(&'a crate::Assignment),
}

/// One turn: records of one key, oldest first, never none.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The key of all its records.
    pub key: Bytes,
    /// The records with the lane that each came by.
    pub records: Vec<(Lane, Record)>,
    /// 1 for the first try; tries before a wait in the retry lane count.
    pub attempt: u32,
}

/// What a worker does with records.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Partitions were given to this member. Their records come only after this returned: the place to restore state.
    /// Partitions of one number, of topics with equally many, come together.
    /// A transient error is tried again, another ends the worker.
    async fn assigned(&self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        let _ = partitions;
        Ok(())
    }

    /// Partitions were taken away; what is kept for them can go.
    fn revoked(&self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }

    /// One record that asks for all that these ask for, so that the long backlog of a key that fails waits as one. It waits in
    /// the lane of the newest of them that has one; if none has, it is appended to its topic. None: they wait one by one.
    fn merged(&self, records: &[(Lane, Record)]) -> Option<NewRecord> {
        let _ = records;
        None
    }

    /// Does one turn. Everything that it appends must be durable before it returns [`Outcome::Done`].
    /// Long computations belong on a blocking thread: turns share one task.
    async fn handle(&self, turn: Turn) -> Outcome;
}
