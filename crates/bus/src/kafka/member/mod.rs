//! A member of a consumer group: a desk that the worker sits at, and a keeper thread that talks to the cluster.
//!
//! The keeper polls whether the worker does or not, so a worker that is stuck loses its partitions in time instead of
//! holding up the group.

mod desk;
mod keeper;
mod shares;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use model::{Offset, TopicName};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::admin::wake;
use super::client::Context;
use super::shared::Shared;
use crate::{BusError, GroupConsumer, GroupEvent, GroupOptions, TopicPartition};
use desk::Desk;
use keeper::Keeper;
use shares::Companions;

pub(super) struct Member {
    desk: Arc<Desk>,
    /// The keeper holds it, and closes it.
    consumer: Weak<BaseConsumer<Context>>,
    deadline: Duration,
}

impl Member {
    pub(super) fn join(
        shared: Arc<Shared>,
        group: &str,
        partitions: &BTreeMap<TopicName, u32>,
        ids: BTreeMap<TopicName, u128>,
        options: GroupOptions,
    ) -> Result<Self, BusError> {
        let consumer: BaseConsumer<Context> = shared
            .options
            .member(group)
            .create_with_context(shared.context())
            .map_err(|error| BusError::Settings(error.to_string()))?;
        let consumer = Arc::new(consumer);
        let companions = Companions::new(partitions);
        let leads: Vec<_> = companions
            .leads()
            .map(|topic| shared.names.topic(topic))
            .collect();
        let leads: Vec<_> = leads.iter().map(String::as_str).collect();
        consumer
            .subscribe(&leads)
            .map_err(|error| super::errors::bus_error("joining the group", &error))?;
        let desk = Arc::new(Desk::new(options.limits));
        let deadline = shared.options.deadline;
        let waking = Arc::downgrade(&consumer);
        let keeper = Keeper::new(shared, consumer, desk.clone(), companions, ids, options.drain);
        std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || keeper.run())
            .map_err(|error| BusError::Unavailable(error.into()))?;
        Ok(Self {
            desk,
            consumer: waking,
            deadline,
        })
    }

    fn wake(&self) {
        if let Some(consumer) = self.consumer.upgrade() {
            wake(consumer.client());
        }
    }
}

#[async_trait]
impl GroupConsumer for Member {
    async fn next(&mut self) -> Result<GroupEvent, BusError> {
        loop {
            let told = self.desk.told.notified();
            let (event, made_room) = self.desk.next_event()?;
            if made_room {
                self.wake();
            }
            if let Some(event) = event {
                return Ok(event);
            }
            told.await;
        }
    }

    fn settle(&mut self, partition: &TopicPartition, offset: Offset) {
        self.desk.settle(partition, offset);
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.desk.pause(partitions);
        self.wake();
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.desk.resume(partitions);
        self.wake();
    }

    fn release(&mut self, partitions: &[TopicPartition]) {
        self.desk.release(partitions);
        self.wake();
    }

    async fn flush(&mut self) -> Result<(), BusError> {
        self.desk.save_now();
        self.wake();
        let saved = self.desk.wait_until(Desk::is_saved);
        match tokio::time::timeout(self.deadline, saved).await {
            Ok(saved) => saved,
            Err(_) => Err(BusError::Unavailable("positions were not stored in time".into())),
        }
    }

    async fn leave(mut self: Box<Self>) -> Result<(), BusError> {
        let stored = self.flush().await;
        self.desk.leave();
        self.wake();
        // Without an answer the group finds out by itself; what matters is stored.
        if tokio::time::timeout(self.deadline, self.desk.wait_until(Desk::is_gone))
            .await
            .is_err()
        {
            tracing::warn!("the group did not answer while leaving");
        }
        stored
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.desk.leave();
        self.wake();
    }
}
