//! Bus and blobs as a process sees them: every answer waits for the driver.

use std::sync::Arc;

use async_trait::async_trait;
use blobs::{BlobError, Blobs};
use bus::{
    Bus, BusError, Extent, GroupConsumer, GroupEvent, GroupOptions, NewRecord, ReadLimits, Reader, Record,
    TopicPartition,
};
use bytes::Bytes;
use model::{BlobName, LogId, Offset, Position, Timestamp, TopicName, TopicSpec};

use crate::gates::{GatesOf, Verdict};

pub struct GatedBus {
    pub bus: Arc<dyn Bus>,
    pub gates: GatesOf,
}

fn broken() -> BusError {
    BusError::Unavailable("the simulation says so".into())
}

#[async_trait]
impl Bus for GatedBus {
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError> {
        self.bus.log_id(topics).await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        self.bus.ensure_topics(topics).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        let what = |when: &str| {
            let topics: Vec<&str> = records.iter().map(|record| record.topic.as_str()).collect();
            let key = records
                .first()
                .map(|record| String::from_utf8_lossy(&record.key).into_owned());
            format!(
                "append {} of {} {when}",
                topics.join("+"),
                key.unwrap_or_default()
            )
        };
        let (before, after) = (what("request"), what("answer"));
        match self.gates.pass_with(before, true, records.clone()).await {
            Verdict::FailBefore => return Err(broken()),
            Verdict::FailAfter => {
                self.bus.append(records).await?;
                return Err(broken());
            }
            Verdict::Go => {}
        }
        let positions = self.bus.append(records).await?;
        match self.gates.pass(after, true).await {
            Verdict::Go => Ok(positions),
            _ => Err(broken()),
        }
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        self.bus.extents(topic).await
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        self.bus.group_positions(group, topics).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        // Few at a time, so that turns meet half of a backlog.
        let limits = ReadLimits {
            records: 3,
            ..options.limits
        };
        let inner = self
            .bus
            .join(group, member, topics, GroupOptions { limits, ..options })
            .await?;
        Ok(Box::new(GatedConsumer {
            inner,
            gates: self.gates.clone(),
            held: None,
        }))
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        let name = from
            .first()
            .map(|position| position.topic.to_string())
            .unwrap_or_default();
        let inner = self.bus.read(from, ReadLimits { records: 4, ..limits }).await?;
        Ok(Box::new(GatedReader {
            inner,
            gates: self.gates.clone(),
            held: None,
            name,
        }))
    }
}

/// Dropping the future of `next` while it waits at the gate must lose nothing, so what was got is kept.
struct GatedConsumer {
    inner: Box<dyn GroupConsumer>,
    gates: GatesOf,
    held: Option<GroupEvent>,
}

#[async_trait]
impl GroupConsumer for GatedConsumer {
    async fn next(&mut self) -> Result<GroupEvent, BusError> {
        if self.held.is_none() {
            self.held = Some(self.inner.next().await?);
        }
        let what = match &self.held {
            Some(GroupEvent::Records(records)) => {
                let first = records.first().map(|record| record.slot().to_string());
                format!(
                    "deliver {} records of {}",
                    records.len(),
                    first.unwrap_or_default()
                )
            }
            Some(GroupEvent::Assigned(all)) => format!("assign {}", all.len()),
            Some(GroupEvent::Revoked { partitions, .. }) => format!("revoke {}", partitions.len()),
            None => String::new(),
        };
        self.gates.pass(what, false).await;
        self.held.take().ok_or(BusError::Closed)
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
        self.inner.release(partitions);
    }

    async fn flush(&mut self) -> Result<(), BusError> {
        self.inner.flush().await
    }

    async fn leave(self: Box<Self>) -> Result<(), BusError> {
        self.inner.leave().await
    }
}

struct GatedReader {
    inner: Box<dyn Reader>,
    gates: GatesOf,
    held: Option<Vec<Record>>,
    name: String,
}

#[async_trait]
impl Reader for GatedReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        if self.held.is_none() {
            self.held = Some(self.inner.next().await?);
        }
        let count = self.held.as_ref().map_or(0, Vec::len);
        match self
            .gates
            .pass(format!("read {count} records of {}", self.name), true)
            .await
        {
            Verdict::Go => self.held.take().ok_or(BusError::Closed),
            // What was got is given at the next try.
            _ => Err(broken()),
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.inner.positions()
    }

    async fn seek(&mut self, to: Position) -> Result<(), BusError> {
        let slot = TopicPartition::from(&to);
        self.inner.seek(to).await?;
        // What was got before of that partition is stale.
        if let Some(held) = &mut self.held {
            held.retain(|record| record.slot() != slot);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.inner.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.inner.resume(partitions);
    }
}

pub struct GatedBlobs {
    pub blobs: Arc<dyn Blobs>,
    pub gates: GatesOf,
}

impl GatedBlobs {
    async fn pass(&self, what: &str) -> Result<Verdict, BlobError> {
        match self.gates.pass(what, true).await {
            Verdict::FailBefore => Err(BlobError::Unavailable("the simulation says so".into())),
            verdict => Ok(verdict),
        }
    }
}

#[async_trait]
impl Blobs for GatedBlobs {
    async fn put_many(&self, values: Vec<(BlobName, Bytes)>) -> Result<(), BlobError> {
        let verdict = self.pass("put blobs").await?;
        self.blobs.put_many(values).await?;
        match verdict {
            Verdict::Go => Ok(()),
            _ => Err(BlobError::Unavailable("the simulation says so".into())),
        }
    }

    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError> {
        // Asked for from threads that the driver waits for: no gate.
        self.blobs.get_many(names).await
    }

    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.pass("touch blobs").await?;
        self.blobs.touch_many(names).await
    }

    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.blobs.contains_many(names).await
    }

    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        self.blobs.unused_since(before, limit).await
    }

    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        self.blobs.remove_unused(names, before).await
    }
}
