//! The stored positions of a group, as somebody sees them who is no member.
//!
//! Not by the library's administration: what it asks of a group's coordinator ends the whole process when that broker goes away
//! in the middle (librdkafka #4605, #5397).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Offset, Partition, Position, TopicName};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::Offset as RawOffset;

use super::client::Context;
use super::errors::bus_error;
use super::shared::Shared;
use crate::{BusError, TopicPartition};

/// Consumers that have a group's name and never join it.
#[derive(Default)]
pub(super) struct Watching(Mutex<BTreeMap<String, Arc<BaseConsumer<Context>>>>);

impl Watching {
    /// All of them, to let them do what they have to.
    pub(super) fn all(&self) -> Vec<Arc<BaseConsumer<Context>>> {
        self.0.lock().values().cloned().collect()
    }

    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }
}

impl Shared {
    /// Blocks. Partitions that were never settled are absent.
    pub(super) fn stored_positions(
        &self,
        group: &str,
        partitions: &BTreeMap<TopicName, u32>,
    ) -> Result<Vec<Position>, BusError> {
        const WHAT: &str = "asking for a group's positions";
        let slots: Vec<TopicPartition> = partitions
            .iter()
            .flat_map(|(topic, count)| {
                (0..*count).map(|number| TopicPartition {
                    topic: topic.clone(),
                    partition: Partition::new(number),
                })
            })
            .collect();
        let list = super::slot_list(&self.names, &slots);
        let stored = self
            .watcher(group)?
            .committed_offsets(list, self.options.deadline)
            .map_err(|error| bus_error(WHAT, &error))?;
        let mut positions = Vec::new();
        for element in stored.elements() {
            element.error().map_err(|error| bus_error(WHAT, &error))?;
            let (Some(topic), RawOffset::Offset(next)) =
                (self.names.local(element.topic()), element.offset())
            else {
                continue;
            };
            if let (Ok(partition), Ok(next)) = (u32::try_from(element.partition()), u64::try_from(next)) {
                positions.push(Position {
                    topic,
                    partition: Partition::new(partition),
                    next: Offset::new(next),
                });
            }
        }
        positions.sort_unstable();
        Ok(positions)
    }

    fn watcher(&self, group: &str) -> Result<Arc<BaseConsumer<Context>>, BusError> {
        // A bus that is closed asks nobody.
        self.asking()?;
        let mut watching = self.watching.0.lock();
        if let Some(known) = watching.get(group) {
            return Ok(known.clone());
        }
        let new: BaseConsumer<Context> = self
            .options
            .watcher(group)
            .create_with_context(self.context())
            .map_err(|error| BusError::Settings(error.to_string()))?;
        let new = Arc::new(new);
        watching.insert(group.to_owned(), new.clone());
        Ok(new)
    }
}
