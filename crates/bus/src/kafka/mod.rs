//! The bus on Apache Kafka.
//!
//! * append: one idempotent producer, `acks=all`, partitions chosen here as Kafka's own clients would;
//! * readers ([`reader`]): partitions chosen by hand, positions kept by the reader, nothing stored on the cluster;
//! * groups ([`member`]): cooperative rebalancing, a settled prefix is all that is ever committed;
//! * a position out of range is an error, never a silent reset; a topic that was made anew is noticed by its id.

mod admin;
mod catalog;
mod client;
mod client_credentials;
mod errors;
mod grants;
mod member;
mod names;
mod options;
mod producer;
mod reader;
mod records;
mod shared;
mod token;
mod upkeep;
mod watching;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{LogId, Offset, Partition, Position, TopicName, TopicSpec, partition_of};
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};
use sha2::{Digest, Sha256};

pub use admin::{AccessRule, Change, Fact, Operation, PlannedTopic, Resource, plan, settings_of};
pub use client_credentials::{ClientCredentials, TokenEndpoint};
pub use grants::{Grant, Granted, grants};
use member::Member;
use names::Names;
pub use options::{KafkaOptions, KafkaSasl, KafkaTls};
use reader::KafkaReader;
use shared::Shared;
pub use token::{AccessToken, TokenSource};

use crate::{
    Bus, BusError, Extent, GroupConsumer, GroupOptions, NewRecord, ReadLimits, Reader, TopicPartition,
};

/// A bus on a Kafka cluster. Clones share one producer.
#[derive(Clone)]
pub struct KafkaBus {
    shared: Arc<Shared>,
}

impl fmt::Debug for KafkaBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBus")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl KafkaBus {
    /// Connects, and says so if nobody answers within the deadline.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when no broker answers, [`BusError::Refused`] when the login is refused,
    /// [`BusError::Settings`] when the client library does not take the settings.
    pub async fn connect(options: KafkaOptions) -> Result<Self, BusError> {
        let shared = shared::blocking(move || Shared::connect(options)).await?;
        Ok(Self { shared })
    }

    /// What would have to change so that the cluster has these topics and rules. Topics are named as here.
    ///
    /// # Errors
    /// What the cluster answered.
    pub async fn plan(
        &self,
        specs: &[TopicSpec],
        rules: Vec<AccessRule>,
        delete: &[TopicName],
        confirmed: &[TopicName],
    ) -> Result<Vec<Change>, BusError> {
        let shared = self.shared.clone();
        let wanted = admin::planned(specs, |name| shared.names.topic(name), shared.options.replication);
        let named = |topics: &[TopicName]| topics.iter().map(|name| shared.names.topic(name)).collect();
        let (delete, confirmed): (Vec<_>, Vec<_>) = (named(delete), named(confirmed));
        shared::blocking(move || {
            let names: Vec<_> = wanted
                .iter()
                .map(|topic| topic.name.clone())
                .chain(delete.clone())
                .collect();
            let producer = shared.producer()?;
            let admin = shared.admin(&producer);
            let facts = admin.facts(&names)?;
            let mut allowed = if rules.is_empty() {
                Vec::new()
            } else {
                admin.rules()?
            };
            // Other installations on the cluster have rules of their own.
            allowed.retain(|rule| rule.resource.name().starts_with(&shared.options.prefix));
            Ok(plan(&wanted, &facts, &rules, &allowed, &delete, &confirmed))
        })
        .await
    }

    /// Does what was planned, in order.
    ///
    /// # Errors
    /// What the cluster answered to the first that failed; those before it are done.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<(), BusError> {
        let shared = self.shared.clone();
        shared::blocking(move || {
            let producer = shared.producer()?;
            let admin = shared.admin(&producer);
            for change in &changes {
                admin.apply(change)?;
            }
            Ok(())
        })
        .await
    }

    /// The rules that one installation needs: who writes what, who reads what, and each group for its own role.
    pub fn access_rules(&self, grants: &[Grant]) -> Vec<AccessRule> {
        let names = &self.shared.names;
        let mut rules = Vec::new();
        for grant in grants {
            let resource = match &grant.on {
                Granted::Topic(topic) => Resource::Topic(names.topic(topic)),
                Granted::Group(group) => Resource::Group(names.group(group)),
                Granted::Readers => Resource::Group(names.readers()),
            };
            rules.push(AccessRule {
                principal: format!("User:{}", grant.role),
                resource,
                operation: grant.operation,
            });
        }
        rules.sort();
        rules.dedup();
        rules
    }

    /// Stores positions of a group that has no member, as a copy of a topic needs it.
    ///
    /// # Errors
    /// [`BusError::GroupInUse`], or as [`Bus::read`] when the log does not have a position.
    pub async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.shared.check_positions(positions).await?;
        let (shared, name) = (self.shared.clone(), self.shared.names.group(group));
        let list = shared.position_list(positions)?;
        shared::blocking(move || {
            let producer = shared.producer()?;
            match shared.admin(&producer).set_group_offsets(&name, &list) {
                Err(refusal) if refusal.is_group_in_use() => Err(BusError::GroupInUse { group: name }),
                done => Ok(done?),
            }
        })
        .await
    }

    /// Sends what waits and closes the connections. Later appends answer [`BusError::Closed`].
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when something could not be sent in time.
    pub async fn close(&self) -> Result<(), BusError> {
        let shared = self.shared.clone();
        shared::blocking(move || shared.close()).await
    }

    /// A topic that was just made is not known to every broker at once.
    async fn wait_for_topics(&self, specs: &[TopicSpec]) -> Result<(), BusError> {
        let deadline = tokio::time::Instant::now() + self.shared.options.deadline;
        loop {
            match self.check_topics(specs).await {
                Err(BusError::UnknownTopic(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Looks at the topics and fails if one of them has too few or too many partitions or is not there.
    async fn check_topics(&self, specs: &[TopicSpec]) -> Result<(), BusError> {
        for spec in specs {
            let known = self.shared.known(&spec.name).await?;
            if known.partitions != spec.partitions {
                return Err(BusError::PartitionsDiffer {
                    topic: spec.name.clone(),
                    have: known.partitions,
                    want: spec.partitions,
                });
            }
        }
        Ok(())
    }
}

/// An offset as the library counts it.
fn raw(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}

fn raw_partition(partition: Partition) -> i32 {
    i32::try_from(partition.get()).unwrap_or(i32::MAX)
}

fn slot_list(names: &Names, slots: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(slots.len());
    for slot in slots {
        list.add_partition(&names.topic(&slot.topic), raw_partition(slot.partition));
    }
    list
}

fn position_list(names: &Names, positions: &[Position]) -> Result<TopicPartitionList, BusError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        list.add_partition_offset(
            &names.topic(&position.topic),
            raw_partition(position.partition),
            RawOffset::Offset(raw(position.next)),
        )
        .map_err(|error| errors::bus_error("choosing positions", &error))?;
    }
    Ok(list)
}

#[async_trait]
impl Bus for KafkaBus {
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError> {
        let (shared, mut topics) = (self.shared.clone(), topics.to_vec());
        topics.sort_unstable();
        topics.dedup();
        shared::blocking(move || {
            let known = shared.look_at(&topics)?;
            let mut digest = Sha256::new();
            digest.update(shared.cluster.as_bytes());
            for topic in &topics {
                let known = known
                    .get(topic)
                    .ok_or_else(|| BusError::UnknownTopic(topic.clone()))?;
                digest.update([0]);
                digest.update(topic.as_str().as_bytes());
                digest.update(known.id.to_be_bytes());
            }
            let digest: [u8; 32] = digest.finalize().into();
            let mut id = [0; 16];
            id.copy_from_slice(&digest[..16]);
            Ok(LogId(u128::from_be_bytes(id)))
        })
        .await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        if !self.shared.options.make_topics {
            return self.check_topics(topics).await;
        }
        let changes = self.plan(topics, Vec::new(), &[], &[]).await?;
        for change in &changes {
            if let Change::Grow { topic, have, want } = change {
                let topic = self.shared.names.local(topic);
                return Err(BusError::PartitionsDiffer {
                    topic: topic.unwrap_or(TopicName::from_static("unknown")),
                    have: *have,
                    want: *want,
                });
            }
        }
        if changes.is_empty() {
            return self.check_topics(topics).await;
        }
        self.apply(changes).await?;
        self.wait_for_topics(topics).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        let mut placed = Vec::with_capacity(records.len());
        let mut slots = Vec::with_capacity(records.len());
        let mut bytes = 0;
        for record in records {
            let size = record.bytes();
            let limit = record.limit();
            if size > limit {
                return Err(BusError::TooLarge {
                    topic: record.topic,
                    bytes: size,
                    limit,
                });
            }
            bytes += size;
            let known = self.shared.known(&record.topic).await?;
            let partition = partition_of(record.partition_bytes(), known.partitions);
            slots.push(TopicPartition {
                topic: record.topic.clone(),
                partition,
            });
            placed.push((self.shared.names.topic(&record.topic), partition, record));
        }
        if placed.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = self.shared.send(placed, bytes).await?;
        let positions = slots
            .iter()
            .zip(offsets)
            .map(|(slot, offset)| slot.at(offset.next()));
        Ok(positions.collect())
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        let known = self.shared.known(topic).await?;
        let slots: Vec<_> = (0..known.partitions)
            .map(|number| TopicPartition {
                topic: topic.clone(),
                partition: Partition::new(number),
            })
            .collect();
        let extents = self.shared.extents_of(slots).await?;
        Ok(extents.into_values().collect())
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        let mut partitions = BTreeMap::new();
        for topic in topics {
            let known = self.shared.known(topic).await?;
            partitions.insert(topic.clone(), known.partitions);
        }
        let (shared, group) = (self.shared.clone(), group.to_owned());
        shared::blocking(move || shared.stored_positions(&group, &partitions)).await
    }

    async fn join(
        &self,
        group: &str,
        _member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        self.shared.options.check_group(&options)?;
        let mut partitions = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for topic in topics {
            let known = self.shared.known(topic).await?;
            partitions.insert(topic.clone(), known.partitions);
            ids.insert(topic.clone(), known.id);
        }
        let member = Member::join(self.shared.clone(), group, &partitions, ids, options)?;
        Ok(Box::new(member))
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        let mut ids = BTreeMap::new();
        for position in &from {
            let known = self.shared.known(&position.topic).await?;
            if position.partition.get() >= known.partitions {
                return Err(BusError::UnknownPartition {
                    position: position.clone(),
                    partitions: known.partitions,
                });
            }
            ids.insert(position.topic.clone(), known.id);
        }
        self.shared.check_positions(&from).await?;
        let shared = self.shared.clone();
        let reader = shared::blocking(move || KafkaReader::open(shared, from, ids, limits)).await?;
        Ok(Box::new(reader))
    }
}
