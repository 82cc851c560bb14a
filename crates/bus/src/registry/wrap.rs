use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{LogId, Offset, Position, TopicName, TopicSpec};
use tokio::time::Instant;

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

/// Records on their way in. They are kept here while the registry is asked, so that a dropped future loses none. A number that
/// only the registry knows is waited for (leaving the record out would lose it), but holds up its own partition alone.
struct Inwards {
    registry: Arc<Registry>,
    /// Just read, in order.
    read: VecDeque<Record>,
    /// Behind a number that is not known yet, in order; their partitions are paused below.
    stuck: VecDeque<Record>,
    /// When the registry is asked again.
    ask_at: Instant,
    done: Vec<Record>,
    /// What the caller has paused: it stays so when it is not stuck any more.
    paused: HashSet<TopicPartition>,
}

impl Inwards {
    fn new(registry: &Arc<Registry>) -> Self {
        Self {
            registry: registry.clone(),
            read: VecDeque::new(),
            stuck: VecDeque::new(),
            ask_at: Instant::now(),
            done: Vec::new(),
            paused: HashSet::new(),
        }
    }

    fn stuck_slots(&self) -> HashSet<TopicPartition> {
        self.stuck.iter().map(Record::slot).collect()
    }

    /// Turns what can be turned. Returns the partitions to be paused and to be resumed below.
    async fn turn(&mut self) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let before = self.stuck_slots();
        if !self.stuck.is_empty() && self.ask_at <= Instant::now() {
            // In front of what was read since: it is of no other partition that is stuck.
            while let Some(record) = self.stuck.pop_back() {
                self.read.push_front(record);
            }
        }
        let mut stuck = self.stuck_slots();
        while let Some(record) = self.read.front() {
            let slot = record.slot();
            let value = if stuck.contains(&slot) {
                Err(())
            } else {
                self.value_of(record).await
            };
            let Some(mut record) = self.read.pop_front() else {
                break;
            };
            match value {
                Ok(value) => {
                    record.value = value.or(record.value);
                    self.done.push(record);
                }
                Err(()) => {
                    self.ask_at = Instant::now() + ASK_EVERY;
                    stuck.insert(slot);
                    self.stuck.push_back(record);
                }
            }
        }
        let stuck = self.stuck_slots();
        (
            stuck.difference(&before).cloned().collect(),
            before
                .difference(&stuck)
                .filter(|slot| !self.paused.contains(slot))
                .cloned()
                .collect(),
        )
    }

    /// The value in single-object encoding; none: it is as it is. An error: the registry is needed and does not answer.
    async fn value_of(&self, record: &Record) -> Result<Option<Bytes>, ()> {
        let Some((id, datum)) = record.value.as_ref().and_then(confluent) else {
            return Ok(None);
        };
        match self.registry.meaning(id).await {
            Ok(Meaning::Ours(fingerprint)) => Ok(Some(as_single_object(fingerprint, &datum))),
            // The decoder tells which number it does not know.
            Ok(Meaning::Foreign) => Ok(None),
            Err(error) => {
                let slot = record.slot();
                tracing::warn!(%error, id, %slot, "the registry is needed for a schema's number, the partition waits");
                Err(())
            }
        }
    }

    /// What is held of partitions that were taken away is nobody's here.
    fn forget(&mut self, partitions: &[TopicPartition]) {
        let theirs = |record: &Record| partitions.contains(&record.slot());
        self.read.retain(|record| !theirs(record));
        self.stuck.retain(|record| !theirs(record));
        self.done.retain(|record| !theirs(record));
        self.paused.retain(|slot| !partitions.contains(slot));
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.paused.extend(partitions.iter().cloned());
    }

    /// Those that may go on.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let stuck = self.stuck_slots();
        self.paused.retain(|slot| !partitions.contains(slot));
        let free = partitions.iter().filter(|slot| !stuck.contains(slot));
        free.cloned().collect()
    }
}

/// Waits until the registry may be asked again; for ever if nothing is stuck.
async fn until_asked(inwards: &Inwards) {
    if inwards.stuck.is_empty() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep_until(inwards.ask_at).await;
}

struct ViewReader {
    inner: Box<dyn Reader>,
    inwards: Inwards,
}

#[async_trait]
impl Reader for ViewReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            let (pause, resume) = self.inwards.turn().await;
            self.inner.pause(&pause);
            self.inner.resume(&resume);
            if !self.inwards.done.is_empty() {
                return Ok(std::mem::take(&mut self.inwards.done));
            }
            tokio::select! {
                records = self.inner.next() => {
                    let records = records?;
                    // Nothing but holes was passed over.
                    if records.is_empty() {
                        return Ok(records);
                    }
                    self.inwards.read.extend(records);
                }
                () = until_asked(&self.inwards) => {}
            }
        }
    }

    fn positions(&self) -> Vec<Position> {
        let mut positions = self.inner.positions();
        // Records in hand were not given yet.
        let inwards = &self.inwards;
        for record in inwards.done.iter().chain(&inwards.read).chain(&inwards.stuck) {
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
        if self.inwards.stuck_slots().contains(&slot) && !self.inwards.paused.contains(&slot) {
            self.inner.resume(std::slice::from_ref(&slot));
        }
        let paused = self.inwards.paused.contains(&slot);
        self.inwards.forget(std::slice::from_ref(&slot));
        if paused {
            self.inwards.pause(&[slot]);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.inwards.pause(partitions);
        self.inner.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        let free = self.inwards.resume(partitions);
        self.inner.resume(&free);
    }
}

struct Member {
    inner: Box<dyn GroupConsumer>,
    inwards: Inwards,
}

#[async_trait]
impl GroupConsumer for Member {
    async fn next(&mut self) -> Result<GroupEvent, BusError> {
        loop {
            let (pause, resume) = self.inwards.turn().await;
            self.inner.pause(&pause);
            self.inner.resume(&resume);
            if !self.inwards.done.is_empty() {
                return Ok(GroupEvent::Records(std::mem::take(&mut self.inwards.done)));
            }
            tokio::select! {
                event = self.inner.next() => match event? {
                    GroupEvent::Records(records) => self.inwards.read.extend(records),
                    other => return Ok(other),
                },
                () = until_asked(&self.inwards) => {}
            }
        }
    }

    fn settle(&mut self, partition: &TopicPartition, offset: Offset) {
        self.inner.settle(partition, offset);
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.inwards.pause(partitions);
        self.inner.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        let free = self.inwards.resume(partitions);
        self.inner.resume(&free);
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
