use std::collections::HashMap;

use futures::future::select_all;
use model::{Offset, Partition, Position, TopicName, TopicSpec};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::tail::Tail;
use super::{Chunk, Placed};
use crate::{BusError, Extent, ReadLimits, TopicPartition};

/// The number of a partition among all partitions of all topics of this log.
pub(crate) type Pid = u32;

/// One partition.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) pid: Pid,
    pub(crate) topic: TopicName,
    pub(crate) partition: Partition,
}

impl Slot {
    pub(crate) fn at(&self, next: Offset) -> Position {
        Position {
            topic: self.topic.clone(),
            partition: self.partition,
            next,
        }
    }

    pub(crate) fn topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }
}

/// Topics, and what of them is durable. Changed by the storage only.
pub(crate) struct Catalog {
    inner: RwLock<Inner>,
}

struct Inner {
    topics: HashMap<TopicName, Topic>,
    partitions: Vec<State>,
    tail: Tail,
}

struct Topic {
    first: Pid,
    partitions: u32,
    changed: watch::Sender<u64>,
}

#[derive(Clone, Debug)]
struct State {
    partition: Partition,
    start: Offset,
    end: Offset,
}

impl Catalog {
    /// An empty one that keeps up to `tail_bytes` of the newest records in memory for readers that keep up.
    pub(crate) fn new(tail_bytes: usize) -> Self {
        let inner = Inner {
            topics: HashMap::new(),
            partitions: Vec::new(),
            tail: Tail::new(tail_bytes),
        };
        Self {
            inner: RwLock::new(inner),
        }
    }

    /// Adds the next topic; its partitions get the next pids, which must be `first` and so on.
    pub(crate) fn add_topic(&self, name: &TopicName, extents: &[(Offset, Offset)]) -> Pid {
        let mut inner = self.inner.write();
        let first = inner.partitions.len() as Pid;
        for (partition, (start, end)) in (0..).zip(extents) {
            let partition = Partition::new(partition);
            inner.partitions.push(State {
                partition,
                start: *start,
                end: *end,
            });
        }
        let topic = Topic {
            first,
            partitions: extents.len() as u32,
            changed: watch::Sender::new(0),
        };
        inner.topics.insert(name.clone(), topic);
        first
    }

    /// Makes durable records visible and wakes who waits for them.
    pub(crate) fn publish(&self, records: &[(Placed, Offset)]) {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let mut touched: Vec<&TopicName> = Vec::new();
        for (Placed { pid, record }, offset) in records {
            let Some(state) = inner.partitions.get_mut(*pid as usize) else {
                continue;
            };
            state.end = offset.next();
            inner.tail.push(*pid, state.partition, record, *offset);
            if touched.last() != Some(&&record.topic) {
                touched.push(&record.topic);
            }
        }
        for topic in touched {
            if let Some(topic) = inner.topics.get(topic) {
                topic.changed.send_modify(|version| *version += 1);
            }
        }
    }

    /// Retention took everything below.
    pub(crate) fn move_start(&self, pid: Pid, start: Offset) {
        let mut inner = self.inner.write();
        if let Some(state) = inner.partitions.get_mut(pid as usize) {
            state.start = start;
        }
        inner.tail.forget_below(pid, start);
    }

    pub(crate) fn check_partitions(&self, spec: &TopicSpec) -> Result<(), BusError> {
        match self.inner.read().topics.get(&spec.name) {
            Some(topic) if topic.partitions != spec.partitions => Err(BusError::PartitionsDiffer {
                topic: spec.name.clone(),
                have: topic.partitions,
                want: spec.partitions,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn has(&self, name: &TopicName) -> bool {
        self.inner.read().topics.contains_key(name)
    }

    /// First pid and number of partitions.
    pub(crate) fn topic(&self, name: &TopicName) -> Result<(Pid, u32), BusError> {
        let inner = self.inner.read();
        let topic = inner
            .topics
            .get(name)
            .ok_or_else(|| BusError::UnknownTopic(name.clone()))?;
        Ok((topic.first, topic.partitions))
    }

    pub(crate) fn slots(&self, name: &TopicName) -> Result<Vec<Slot>, BusError> {
        let (first, partitions) = self.topic(name)?;
        let slot = |n| Slot {
            pid: first + n,
            topic: name.clone(),
            partition: Partition::new(n),
        };
        Ok((0..partitions).map(slot).collect())
    }

    pub(crate) fn slot(&self, position: &Position) -> Result<Slot, BusError> {
        let (first, partitions) = self.topic(&position.topic)?;
        let partition = position.partition;
        if partition.get() >= partitions {
            return Err(BusError::UnknownPartition {
                position: position.clone(),
                partitions,
            });
        }
        Ok(Slot {
            pid: first + partition.get(),
            topic: position.topic.clone(),
            partition,
        })
    }

    /// Start and end of a partition.
    pub(crate) fn extent(&self, pid: Pid) -> (Offset, Offset) {
        let inner = self.inner.read();
        inner
            .partitions
            .get(pid as usize)
            .map_or_else(Default::default, |state| (state.start, state.end))
    }

    pub(crate) fn extents(&self, name: &TopicName) -> Result<Vec<Extent>, BusError> {
        let (first, partitions) = self.topic(name)?;
        let inner = self.inner.read();
        let states = inner
            .partitions
            .iter()
            .skip(first as usize)
            .take(partitions as usize);
        Ok(states
            .map(|state| Extent {
                partition: state.partition,
                start: state.start,
                end: state.end,
            })
            .collect())
    }

    /// Fails when the log does not have what a reader at `next` expects.
    pub(crate) fn check(&self, slot: &Slot, next: Offset) -> Result<(), BusError> {
        let (start, end) = self.extent(slot.pid);
        if next > end {
            Err(BusError::PastEnd {
                position: slot.at(next),
                end,
            })
        } else if next < start {
            Err(BusError::BeforeStart {
                position: slot.at(next),
                start,
            })
        } else {
            Ok(())
        }
    }

    /// From memory, if everything from `from` on is there.
    pub(crate) fn recent(&self, pid: Pid, from: Offset, to: Offset, limits: ReadLimits) -> Option<Chunk> {
        self.inner.read().tail.read(pid, from, to, limits)
    }

    pub(crate) fn watch(&self, topics: &[TopicName]) -> Result<Changes, BusError> {
        let inner = self.inner.read();
        let mut receivers = Vec::with_capacity(topics.len());
        for name in topics {
            let topic = inner
                .topics
                .get(name)
                .ok_or_else(|| BusError::UnknownTopic(name.clone()))?;
            receivers.push(topic.changed.subscribe());
        }
        Ok(Changes(receivers))
    }
}

/// Tells when one of some topics has new records.
pub(crate) struct Changes(Vec<watch::Receiver<u64>>);

impl Changes {
    /// Forgets what was told so far. To be called before looking, so that nothing is missed.
    pub(crate) fn mark(&mut self) {
        for receiver in &mut self.0 {
            receiver.mark_unchanged();
        }
    }

    /// Waits for what came after [`Changes::mark`].
    pub(crate) async fn wait(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let waits = self.0.iter_mut().map(|receiver| Box::pin(receiver.changed()));
        // An error means that the log is gone; nothing will come any more.
        if select_all(waits).await.0.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
