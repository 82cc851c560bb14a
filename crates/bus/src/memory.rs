//! A log in memory: what the embedded log does, without a disk. For tests and the simulation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{CleanUp, LogId, Offset, Position, Timestamp, TopicName, TopicSpec};
use parking_lot::Mutex;

use crate::local::{Catalog, Chunk, LocalBus, Pid, Placed, Slot, Storage};
use crate::{Bus, BusError, Extent, GroupConsumer, GroupOptions, NewRecord, ReadLimits, Reader, Record};

/// A bus whose log is gone with its last clone. Never touches a thread or a clock.
#[derive(Clone)]
pub struct MemoryBus {
    front: LocalBus,
    storage: Arc<Memory>,
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus").finish_non_exhaustive()
    }
}

impl MemoryBus {
    /// An empty log.
    pub fn new(log_id: LogId) -> Self {
        // Everything is in memory already: no second copy of the newest records.
        let catalog = Arc::new(Catalog::new(0));
        let storage = Arc::new(Memory {
            catalog: catalog.clone(),
            state: Mutex::default(),
        });
        Self {
            front: LocalBus::new(Box::new(storage.clone()), catalog, log_id),
            storage,
        }
    }

    /// Stores positions of a group that has no member, as a copy of a topic needs it.
    ///
    /// # Errors
    /// [`BusError::GroupInUse`], or as [`Bus::read`] when the log does not have a position.
    pub async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.front.set_group_positions(group, positions).await
    }

    /// Applies clean-up rules: what is superseded, and what is too old at `now`, goes. As with a compaction lag, nothing
    /// goes while a clock that is ahead may still say that it is not written yet.
    pub fn clean_up(&self, now: Timestamp) {
        self.storage.clean_up(now);
    }
}

#[derive(Default)]
struct State {
    rules: Vec<(Pid, u32, CleanUp)>,
    partitions: Vec<Stored>,
    positions: HashMap<(Arc<str>, Pid), Offset>,
}

#[derive(Default)]
struct Stored {
    records: BTreeMap<Offset, NewRecord>,
    end: Offset,
}

struct Memory {
    catalog: Arc<Catalog>,
    state: Mutex<State>,
}

impl Memory {
    fn clean_up(&self, now: Timestamp) {
        let mut state = self.state.lock();
        let State {
            rules, partitions, ..
        } = &mut *state;
        for (first, count, rule) in rules {
            for pid in *first..*first + *count {
                let Some(stored) = partitions.get_mut(pid as usize) else {
                    continue;
                };
                if matches!(rule, CleanUp::Compact | CleanUp::CompactAndDelete(_)) {
                    let mut newest: HashMap<Bytes, Offset> = HashMap::new();
                    for (offset, record) in &stored.records {
                        newest.insert(record.key.clone(), *offset);
                    }
                    stored.records.retain(|offset, record| {
                        newest.get(&record.key) == Some(offset) || record.timestamp > now
                    });
                }
                if let CleanUp::Delete(age) | CleanUp::CompactAndDelete(age) = rule {
                    while let Some(first) = stored.records.first_entry()
                        && now.since(first.get().timestamp) > *age
                    {
                        first.remove();
                    }
                    let start = stored
                        .records
                        .first_key_value()
                        .map_or(stored.end, |(offset, _)| *offset);
                    let (have, _) = self.catalog.extent(pid);
                    self.catalog.move_start(pid, start.max(have));
                }
            }
        }
    }
}

#[async_trait]
impl Storage for Arc<Memory> {
    async fn ensure_topics(&self, topics: Vec<TopicSpec>) -> Result<(), BusError> {
        let mut state = self.state.lock();
        for spec in topics {
            if self.catalog.has(&spec.name) {
                let (first, count) = self.catalog.topic(&spec.name)?;
                state.rules.retain(|(pid, ..)| *pid != first);
                state.rules.push((first, count, spec.clean_up));
            } else {
                let none = vec![(Offset::default(), Offset::default()); spec.partitions as usize];
                let first = self.catalog.add_topic(&spec.name, &none);
                state.rules.push((first, spec.partitions, spec.clean_up));
                let count = state.partitions.len() + spec.partitions as usize;
                state.partitions.resize_with(count, Stored::default);
            }
        }
        Ok(())
    }

    async fn append(&self, records: Vec<Placed>) -> Result<Vec<Offset>, BusError> {
        let mut state = self.state.lock();
        let mut written = Vec::with_capacity(records.len());
        for placed in records {
            let Some(stored) = state.partitions.get_mut(placed.pid as usize) else {
                continue;
            };
            let offset = stored.end;
            stored.end = offset.next();
            stored.records.insert(offset, placed.record.clone());
            written.push((placed, offset));
        }
        self.catalog.publish(&written);
        Ok(written.into_iter().map(|(_, offset)| offset).collect())
    }

    async fn read(
        &self,
        slot: &Slot,
        from: Offset,
        to: Offset,
        limits: ReadLimits,
    ) -> Result<Chunk, BusError> {
        let state = self.state.lock();
        let mut chunk = Chunk {
            records: Vec::new(),
            next: to,
        };
        let Some(stored) = state.partitions.get(slot.pid as usize) else {
            return Ok(chunk);
        };
        let mut bytes = 0;
        for (offset, record) in stored.records.range(from..to) {
            bytes += record.bytes();
            if !chunk.records.is_empty() && (bytes > limits.bytes || chunk.records.len() >= limits.records) {
                chunk.next = *offset;
                break;
            }
            chunk.records.push(Record {
                topic: slot.topic.clone(),
                partition: slot.partition,
                offset: *offset,
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
                timestamp: record.timestamp,
            });
        }
        Ok(chunk)
    }

    async fn load_positions(&self, group: &Arc<str>) -> Result<Vec<(Pid, Offset)>, BusError> {
        let state = self.state.lock();
        let of_group = state.positions.iter().filter(|((name, _), _)| name == group);
        Ok(of_group.map(|((_, pid), next)| (*pid, *next)).collect())
    }

    fn store_position(&self, group: &Arc<str>, pid: Pid, next: Offset) {
        self.state.lock().positions.insert((group.clone(), pid), next);
    }

    async fn flush(&self) -> Result<(), BusError> {
        Ok(())
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError> {
        self.front.log_id(topics).await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        self.front.ensure_topics(topics).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        self.front.append(records).await
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        self.front.extents(topic).await
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        self.front.group_positions(group, topics).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        self.front.join(group, member, topics, options).await
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        self.front.read(from, limits).await
    }
}
