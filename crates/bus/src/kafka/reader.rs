use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Offset, Position, TopicName};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{Notify, watch};

use super::client::Context;
use super::errors::{Kind, bus_error};
use super::records::record_in;
use super::{Shared, slot_list};
use crate::{BusError, ReadLimits, Reader, Record, TopicPartition};

/// One partition and how far it was given.
struct Cursor {
    slot: TopicPartition,
    next: Offset,
    paused: bool,
    /// Records of it were passed over while it was paused: they have to be asked for again.
    passed_over: bool,
}

/// A view's reader: partitions by hand, at positions of its own, nothing stored on the cluster.
pub(super) struct KafkaReader {
    shared: Arc<Shared>,
    consumer: Option<BaseConsumer<Context>>,
    more: Arc<Notify>,
    cursors: Vec<Cursor>,
    limits: ReadLimits,
    ids: BTreeMap<TopicName, u128>,
    replaced: watch::Receiver<u64>,
}

impl KafkaReader {
    /// The positions must have been checked.
    pub(super) fn open(
        shared: Arc<Shared>,
        from: Vec<Position>,
        ids: BTreeMap<TopicName, u128>,
        limits: ReadLimits,
    ) -> Result<Self, BusError> {
        let mut consumer: BaseConsumer<Context> = shared
            .options
            .reader()
            .create_with_context(shared.context())
            .map_err(|error| BusError::Settings(error.to_string()))?;
        let more = Arc::new(Notify::new());
        let told = more.clone();
        consumer.set_nonempty_callback(move || told.notify_one());
        let cursors = from
            .iter()
            .map(|position| Cursor {
                slot: position.into(),
                next: position.next,
                paused: false,
                passed_over: false,
            })
            .collect();
        let replaced = shared.catalog.watch();
        let reader = Self {
            shared,
            consumer: Some(consumer),
            more,
            cursors,
            limits,
            ids,
            replaced,
        };
        reader.assign()?;
        Ok(reader)
    }

    fn consumer(&self) -> Result<&BaseConsumer<Context>, BusError> {
        self.consumer.as_ref().ok_or(BusError::Closed)
    }

    /// Tells the library to go on from the cursors, forgetting what it fetched ahead.
    fn assign(&self) -> Result<(), BusError> {
        let positions: Vec<_> = self
            .cursors
            .iter()
            .map(|cursor| cursor.slot.at(cursor.next))
            .collect();
        let list = self.shared.position_list(&positions)?;
        let consumer = self.consumer()?;
        consumer
            .assign(&list)
            .map_err(|error| bus_error("choosing partitions", &error))?;
        let paused: Vec<_> = self
            .cursors
            .iter()
            .filter(|cursor| cursor.paused)
            .map(|cursor| cursor.slot.clone())
            .collect();
        if !paused.is_empty() {
            let list = self.list(&paused);
            consumer
                .pause(&list)
                .map_err(|error| bus_error("pausing partitions", &error))?;
        }
        Ok(())
    }

    fn list(&self, slots: &[TopicPartition]) -> TopicPartitionList {
        slot_list(&self.shared.names, slots)
    }

    /// Takes what is there, up to the limits. Never waits. The flag says whether the library has nothing more.
    fn gather(&mut self) -> Result<(Vec<Record>, bool), BusError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while !full(&records, bytes, self.limits) {
            let Some(consumer) = &self.consumer else {
                return Err(BusError::Closed);
            };
            let message = match consumer.poll(std::time::Duration::ZERO) {
                None => return Ok((records, true)),
                Some(Ok(message)) => message,
                Some(Err(error)) => match self.fault(&error) {
                    // What was taken has to be given first; the fault comes again if it is still there.
                    Some(_) if !records.is_empty() => return Ok((records, false)),
                    Some(fault) => return Err(fault),
                    None => continue,
                },
            };
            let Some(record) = record_in(&self.shared.names, &message) else {
                continue;
            };
            let cursor = self.cursors.iter_mut().find(|cursor| {
                cursor.slot.partition == record.partition && cursor.slot.topic == record.topic
            });
            let Some(cursor) = cursor.filter(|cursor| record.offset >= cursor.next) else {
                continue;
            };
            if cursor.paused {
                cursor.passed_over = true;
                continue;
            }
            bytes += record.bytes();
            cursor.next = record.offset.next();
            records.push(record);
        }
        Ok((records, false))
    }

    /// What the library mends by itself is `None`.
    fn fault(&self, error: &KafkaError) -> Option<BusError> {
        let code = error.rdkafka_error_code()?;
        if matches!(error, KafkaError::PartitionEOF(_)) {
            return None;
        }
        if matches!(
            code,
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
        ) {
            return Some(BusError::Unavailable("a position is out of range".into()));
        }
        match self.shared.kind(code) {
            Kind::Refused => Some(bus_error("reading", error)),
            _ => {
                tracing::debug!(%error, "kafka reader: will go on");
                None
            }
        }
    }

    /// Which position is out of range, and how. A topic that was made anew is the likelier reason.
    async fn out_of_range(&self) -> Result<(), BusError> {
        let (shared, topics) = (self.shared.clone(), self.ids.keys().cloned().collect::<Vec<_>>());
        super::shared::blocking(move || shared.look_at(&topics)).await?;
        self.check_topics()?;
        let positions: Vec<_> = self
            .cursors
            .iter()
            .map(|cursor| cursor.slot.at(cursor.next))
            .collect();
        self.shared.check_positions(&positions).await
    }

    fn check_topics(&self) -> Result<(), BusError> {
        match self.shared.catalog.replaced(&self.ids) {
            Some(topic) => Err(BusError::Replaced { topic }),
            None => Ok(()),
        }
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for cursor in &mut self.cursors {
            if partitions.contains(&cursor.slot) {
                cursor.paused = paused;
            }
        }
        let again = self
            .cursors
            .iter()
            .any(|cursor| cursor.passed_over && !cursor.paused);
        if again {
            match self.assign() {
                Ok(()) => self
                    .cursors
                    .iter_mut()
                    .filter(|c| !c.paused)
                    .for_each(|c| c.passed_over = false),
                Err(error) => tracing::warn!(%error, "passed over records were not asked for again"),
            }
        }
        let list = self.list(partitions);
        let Some(consumer) = &self.consumer else { return };
        let told = if paused {
            consumer.pause(&list)
        } else {
            consumer.resume(&list)
        };
        if let Err(error) = told {
            // Only an unknown partition is refused, and then there is nothing to pause.
            tracing::debug!(%error, paused, "partitions were not paused or resumed");
        }
        self.more.notify_one();
    }
}

/// One record is always given, whatever its size.
fn full(records: &[Record], bytes: usize, limits: ReadLimits) -> bool {
    !records.is_empty() && (records.len() >= limits.records || bytes >= limits.bytes)
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            self.check_topics()?;
            match self.gather() {
                Ok((records, _)) if !records.is_empty() => return Ok(records),
                Ok((_, true)) => {}
                Ok((_, false)) => continue,
                Err(BusError::Unavailable(why)) => {
                    tracing::debug!(%why, "kafka reader looks where the log begins and ends");
                    self.out_of_range().await?;
                    // It is in range by now: ask again from there.
                    self.assign()?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = self.more.notified() => {}
                _ = self.replaced.changed() => {}
                // Logs and errors of the client are served by polling, and new tokens are taken over.
                () = tokio::time::sleep(self.shared.poll_every()) => {}
            }
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.cursors
            .iter()
            .map(|cursor| cursor.slot.at(cursor.next))
            .collect()
    }

    async fn seek(&mut self, to: Position) -> Result<(), BusError> {
        self.shared.check_positions(std::slice::from_ref(&to)).await?;
        let slot = TopicPartition::from(&to);
        let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.slot == slot) else {
            return Err(BusError::Fenced);
        };
        cursor.next = to.next;
        self.assign()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.shared.dispose(consumer);
        }
    }
}
