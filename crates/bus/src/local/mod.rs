//! A log that lives in this process: everything of the seam but the storing, which is behind [`Storage`].

mod catalog;
mod group;
mod member;
mod reader;
mod storage;
mod tail;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{LogId, Position, TopicName, TopicSpec, partition_of};
use parking_lot::Mutex;

pub(crate) use catalog::{Catalog, Pid, Slot};
use group::Group;
use member::Member;
use reader::LocalReader;
pub(crate) use storage::{Chunk, Placed, Storage};

use crate::{Bus, BusError, Extent, GroupConsumer, GroupOptions, NewRecord, ReadLimits, Reader};

/// What the bus, its readers and its members share.
pub(crate) struct Shared {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) catalog: Arc<Catalog>,
    groups: Mutex<HashMap<Arc<str>, Arc<Group>>>,
}

/// The front of every log in this process.
#[derive(Clone)]
pub(crate) struct LocalBus {
    shared: Arc<Shared>,
    log_id: LogId,
}

impl LocalBus {
    pub(crate) fn new(storage: Box<dyn Storage>, catalog: Arc<Catalog>, log_id: LogId) -> Self {
        let groups = Mutex::new(HashMap::new());
        Self {
            shared: Arc::new(Shared {
                storage,
                catalog,
                groups,
            }),
            log_id,
        }
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.shared.storage
    }

    /// Stores positions of a group that has no member.
    pub(crate) async fn set_group_positions(
        &self,
        group: &str,
        positions: &[Position],
    ) -> Result<(), BusError> {
        let group = self.group(group).await?;
        let mut places = Vec::with_capacity(positions.len());
        for position in positions {
            let slot = self.shared.catalog.slot(position)?;
            self.shared.catalog.check(&slot, position.next)?;
            places.push((slot.pid, position.next));
        }
        if !group.take_positions(&places) {
            return Err(BusError::GroupInUse {
                group: group.name.to_string(),
            });
        }
        for (pid, next) in places {
            self.shared.storage.store_position(&group.name, pid, next);
        }
        self.shared.storage.flush().await
    }

    async fn group(&self, name: &str) -> Result<Arc<Group>, BusError> {
        if let Some(group) = self.shared.groups.lock().get(name) {
            return Ok(group.clone());
        }
        let name: Arc<str> = name.into();
        let stored = self.shared.storage.load_positions(&name).await?;
        let mut groups = self.shared.groups.lock();
        Ok(groups
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Group::new(name, stored)))
            .clone())
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn log_id(&self, _topics: &[TopicName]) -> Result<LogId, BusError> {
        Ok(self.log_id)
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        for spec in topics {
            self.shared.catalog.check_partitions(spec)?;
        }
        self.shared.storage.ensure_topics(topics.to_vec()).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        let mut placed = Vec::with_capacity(records.len());
        let mut slots = Vec::with_capacity(records.len());
        for record in records {
            let bytes = record.bytes();
            let limit = record.limit();
            if bytes > limit {
                return Err(BusError::TooLarge {
                    topic: record.topic,
                    bytes,
                    limit,
                });
            }
            let (first, partitions) = self.shared.catalog.topic(&record.topic)?;
            let partition = partition_of(record.partition_bytes(), partitions);
            slots.push((record.topic.clone(), partition));
            placed.push(Placed {
                pid: first + partition.get(),
                record,
            });
        }
        if placed.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = self.shared.storage.append(placed).await?;
        let positions = slots
            .into_iter()
            .zip(offsets)
            .map(|((topic, partition), offset)| Position {
                topic,
                partition,
                next: offset.next(),
            });
        Ok(positions.collect())
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        self.shared.catalog.extents(topic)
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        let group = self.group(group).await?;
        let mut positions = Vec::new();
        for topic in topics {
            for slot in self.shared.catalog.slots(topic)? {
                if let Some(next) = group.position(slot.pid) {
                    positions.push(slot.at(next));
                }
            }
        }
        Ok(positions)
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        let group = self.group(group).await?;
        Ok(Box::new(Member::join(
            self.shared.clone(),
            group,
            member,
            topics,
            options,
        )?))
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(LocalReader::open(self.shared.clone(), from, limits)?))
    }
}
