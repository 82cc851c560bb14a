use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{LogId, Offset, Position, TopicName, TopicSpec};

use super::framing::{as_confluent, as_single_object, confluent, single_object};
use super::ids::{Meaning, Registry};
use crate::{
    Bus, BusError, Extent, GroupConsumer, GroupEvent, GroupOptions, NewRecord, ReadLimits, Reader, Record,
    TopicPartition,
};

/// How often the registry is asked again for a number that is needed, while it is down.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A bus whose records have Confluent's framing on the wire.
pub struct RegisteredBus {
    inner: Arc<dyn Bus>,
    registry: Arc<Registry>,
}

impl std::fmt::Debug for RegisteredBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegisteredBus")
    }
}

impl RegisteredBus {
    /// Wraps a bus.
    pub fn new(inner: Arc<dyn Bus>, registry: Arc<Registry>) -> Self {
        Self { inner, registry }
    }

    fn outwards(&self, mut record: NewRecord) -> NewRecord {
        let framed = record.value.as_ref().and_then(|value| {
            let (fingerprint, datum) = single_object(value)?;
            let id = self.registry.id(&subject(&record.topic), fingerprint)?;
            Some(as_confluent(id, &datum))
        });
        // What is not ours (a poison record that is parked) goes as it is.
        record.value = framed.or(record.value);
        record
    }
}

/// The subject of a topic's values; lanes hold the values of their source.
fn subject(topic: &TopicName) -> String {
    let name = topic.as_str();
    let source = name
        .strip_suffix(".retry")
        .or_else(|| name.strip_suffix(".parked"))
        .unwrap_or(name);
    format!("{source}-value")
}

#[async_trait]
impl Bus for RegisteredBus {
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError> {
        self.inner.log_id(topics).await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        self.inner.ensure_topics(topics).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        let records = records.into_iter().map(|record| self.outwards(record)).collect();
        self.inner.append(records).await
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        self.inner.extents(topic).await
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        self.inner.group_positions(group, topics).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        Ok(Box::new(Member {
            inner: self.inner.join(group, member, topics, options).await?,
            inwards: Inwards::new(&self.registry),
        }))
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(ViewReader {
            inner: self.inner.read(from, limits).await?,
            inwards: Inwards::new(&self.registry),
        }))
    }
}

/// Records on their way in. They are kept here while the registry is asked, so that a dropped future loses none.
struct Inwards {
    registry: Arc<Registry>,
    /// Not turned yet, in order.
    held: std::collections::VecDeque<Record>,
    done: Vec<Record>,
}

impl Inwards {
    fn new(registry: &Arc<Registry>) -> Self {
        Self {
            registry: registry.clone(),
            held: std::collections::VecDeque::new(),
            done: Vec::new(),
        }
    }

    fn is_busy(&self) -> bool {
        !self.held.is_empty() || !self.done.is_empty()
    }

    /// Turns what is held. A number that only the registry knows is waited for: leaving the record out would lose it.
    async fn turned(&mut self) -> Vec<Record> {
        while let Some(record) = self.held.front() {
            let framed = record.value.as_ref().and_then(confluent);
            let value = match framed {
                None => None,
                Some((id, datum)) => match self.registry.meaning(id).await {
                    Ok(Meaning::Ours(fingerprint)) => Some(as_single_object(fingerprint, &datum)),
                    // The decoder tells which number it does not know.
                    Ok(Meaning::Foreign) => None,
                    Err(error) => {
                        tracing::warn!(%error, id, "the registry is needed for a schema's number, waiting");
                        tokio::time::sleep(ASK_EVERY).await;
                        continue;
                    }
                },
            };
            if let Some(mut record) = self.held.pop_front() {
                record.value = value.or(record.value);
                self.done.push(record);
            }
        }
        std::mem::take(&mut self.done)
    }

    /// What is held of partitions that were taken away is nobody's here.
    fn forget(&mut self, partitions: &[TopicPartition]) {
        let theirs = |record: &Record| partitions.contains(&record.slot());
        self.held.retain(|record| !theirs(record));
        self.done.retain(|record| !theirs(record));
    }
}

struct ViewReader {
    inner: Box<dyn Reader>,
    inwards: Inwards,
}

#[async_trait]
impl Reader for ViewReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        if !self.inwards.is_busy() {
            let records = self.inner.next().await?;
            self.inwards.held.extend(records);
        }
        Ok(self.inwards.turned().await)
    }

    fn positions(&self) -> Vec<Position> {
        let mut positions = self.inner.positions();
        // Records in hand were not given yet.
        for record in self.inwards.done.iter().chain(&self.inwards.held) {
            let slot = record.slot();
            let standing = positions
                .iter_mut()
                .find(|position| position.topic == slot.topic && position.partition == slot.partition);
            if let Some(position) = standing {
                position.next = position.next.min(record.offset);
            }
        }
        positions
    }

    async fn seek(&mut self, to: Position) -> Result<(), BusError> {
        let slot = TopicPartition::from(&to);
        self.inner.seek(to).await?;
        self.inwards.forget(&[slot]);
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.inner.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.inner.resume(partitions);
    }
}

struct Member {
    inner: Box<dyn GroupConsumer>,
    inwards: Inwards,
}

#[async_trait]
impl GroupConsumer for Member {
    async fn next(&mut self) -> Result<GroupEvent, BusError> {
        while !self.inwards.is_busy() {
            match self.inner.next().await? {
                GroupEvent::Records(records) => self.inwards.held.extend(records),
                other => return Ok(other),
            }
        }
        Ok(GroupEvent::Records(self.inwards.turned().await))
    }

    fn settle(&mut self, partition: &TopicPartition, offset: Offset) {
        self.inner.settle(partition, offset);
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.inner.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.inner.resume(partitions);
    }

    fn release(&mut self, partitions: &[TopicPartition]) {
        self.inwards.forget(partitions);
        self.inner.release(partitions);
    }

    async fn flush(&mut self) -> Result<(), BusError> {
        self.inner.flush().await
    }

    async fn leave(self: Box<Self>) -> Result<(), BusError> {
        self.inner.leave().await
    }
}
