use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Offset, Partition, Position, TopicName};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};
use tokio::sync::Semaphore;

use super::admin::Admin;
use super::catalog::{Catalog, Known};
use super::client::Context;
use super::errors::{Kind, bus_error, kind};
use super::names::Names;
use super::options::{KafkaOptions, KafkaSasl};
use super::producer::Producer;
use super::token::TokenKeeper;
use super::upkeep::Upkeep;
use super::watching::Watching;
use crate::{BusError, Extent, NewRecord, TopicPartition};

/// Records that wait for their acknowledgement may have this many bytes together; further ones wait outside.
const WAITING_BYTES: usize = 32 << 20;

/// A small record costs more than its bytes.
const RECORD_COST: usize = 256;

/// How soon a client takes a new token over.
pub(super) const PASS_ON: Duration = Duration::from_millis(250);

/// How often the logs and errors of a silent client are looked at.
const SERVE: Duration = Duration::from_secs(5);

/// After a partition had no leader.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BusError::Unavailable(error.into()))?
}

/// What the bus, its readers and its members share.
pub(super) struct Shared {
    pub(super) options: KafkaOptions,
    pub(super) names: Names,
    pub(super) catalog: Catalog,
    /// The cluster's own id.
    pub(super) cluster: String,
    tokens: Option<Arc<TokenKeeper>>,
    /// `None` after the bus was closed.
    producer: Mutex<Option<Arc<Producer>>>,
    /// Asks where partitions begin and end. It has no partitions of its own.
    asking: Mutex<Option<Arc<BaseConsumer<Context>>>>,
    pub(super) watching: Watching,
    room: Arc<Semaphore>,
    upkeep: Upkeep,
}

impl Shared {
    pub(super) fn connect(options: KafkaOptions) -> Result<Arc<Self>, BusError> {
        let names = Names::new(&options.prefix);
        let tokens = match &options.sasl {
            Some(KafkaSasl::OAuthBearer(source)) => Some(Arc::new(TokenKeeper::new(source.clone()))),
            _ => None,
        };
        let next_token = match &tokens {
            Some(keeper) => Some(keeper.renew()?),
            None => None,
        };
        let producer = Producer::start(&options, Context::new(names.clone(), tokens.clone()))?;
        let cluster = producer.client().client().fetch_cluster_id(options.deadline);
        let Some(cluster) = cluster else {
            let refused = producer.client().context().take_refusal();
            // Nothing waits in it yet.
            let _ = producer.close(Duration::ZERO);
            return Err(refused.unwrap_or_else(|| {
                let why = format!(
                    "no broker of {} answered within {} s: is it the right address, and does the listener speak what bus.kafka says",
                    options.bootstrap_servers,
                    options.deadline.as_secs()
                );
                BusError::Unavailable(why.into())
            }));
        };
        let asking: BaseConsumer<Context> = options
            .reader()
            .create_with_context(Context::new(names.clone(), tokens.clone()))
            .map_err(|error| BusError::Settings(error.to_string()))?;
        let shared = Arc::new(Self {
            names,
            catalog: Catalog::new(),
            cluster,
            tokens,
            producer: Mutex::new(Some(Arc::new(producer))),
            asking: Mutex::new(Some(Arc::new(asking))),
            watching: Watching::default(),
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            upkeep: Upkeep::new(),
            options,
        });
        shared.upkeep.start(&shared, next_token)?;
        Ok(shared)
    }

    pub(super) fn context(&self) -> Context {
        Context::new(self.names.clone(), self.tokens.clone())
    }

    pub(super) fn tokens(&self) -> Option<&TokenKeeper> {
        self.tokens.as_deref()
    }

    pub(super) fn producer(&self) -> Result<Arc<Producer>, BusError> {
        self.producer.lock().clone().ok_or(BusError::Closed)
    }

    pub(super) fn asking(&self) -> Result<Arc<BaseConsumer<Context>>, BusError> {
        self.asking.lock().clone().ok_or(BusError::Closed)
    }

    /// Can waiting help? A login with a token that has run out comes right when there is a new one: the server of tokens may
    /// be away for a while, and no reader should end for it.
    pub(super) fn kind(&self, code: RDKafkaErrorCode) -> Kind {
        let login = matches!(
            code,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed
        );
        if login && self.tokens.is_some() {
            return Kind::Passing;
        }
        kind(code)
    }

    /// How often a client is polled that has nothing to give: without tokens it could wait for long.
    pub(super) fn poll_every(&self) -> Duration {
        if self.tokens.is_some() { PASS_ON } else { SERVE }
    }

    /// A client takes a new token over when it is polled, and nothing else polls these.
    pub(super) fn pass_on_token(&self) {
        for client in self.asking().into_iter().chain(self.watching.all()) {
            if let Some(Err(error)) = client.poll(Duration::ZERO) {
                tracing::debug!(%error, "kafka client that asks for offsets");
            }
        }
    }

    pub(super) fn admin<'a>(&self, producer: &'a Producer) -> Admin<'a> {
        Admin::new(producer, self.options.deadline)
    }

    pub(super) fn position_list(&self, positions: &[Position]) -> Result<TopicPartitionList, BusError> {
        super::position_list(&self.names, positions)
    }

    /// Asks for topics and remembers the answer. Blocks.
    pub(super) fn look_at(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, Known>, BusError> {
        let names: Vec<_> = topics.iter().map(|topic| self.names.topic(topic)).collect();
        let producer = self.producer()?;
        let seen: HashMap<TopicName, Known> = self
            .admin(&producer)
            .describe(&names)?
            .into_iter()
            .filter_map(|state| {
                let known = Known {
                    id: state.id,
                    partitions: state.partitions,
                };
                Some((self.names.local(&state.name)?, known))
            })
            .collect();
        self.catalog
            .take(seen.iter().map(|(topic, known)| (topic.clone(), *known)));
        Ok(seen)
    }

    /// What is known of a topic; asks if nothing is.
    pub(super) async fn known(self: &Arc<Self>, topic: &TopicName) -> Result<Known, BusError> {
        if let Some(known) = self.catalog.get(topic) {
            return Ok(known);
        }
        let (shared, name) = (self.clone(), topic.clone());
        let seen = blocking(move || shared.look_at(&[name])).await?;
        seen.get(topic)
            .copied()
            .ok_or_else(|| BusError::UnknownTopic(topic.clone()))
    }

    /// Sends records, in order, within the bounds of memory. A producer that is beyond repair is replaced.
    pub(super) async fn send(
        &self,
        records: Vec<(String, Partition, NewRecord)>,
        bytes: usize,
    ) -> Result<Vec<Offset>, BusError> {
        let cost = (bytes + records.len() * RECORD_COST).min(WAITING_BYTES);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let room = self
            .room
            .clone()
            .acquire_many_owned(cost)
            .await
            .map_err(|_| BusError::Closed)?;
        let producer = self.producer()?;
        let sent = producer.send(&records, room).await;
        if sent.is_err() {
            for (_, _, record) in &records {
                // It may have been deleted: look before the next record is sent.
                self.catalog.forget(&record.topic);
            }
            if producer.is_broken() {
                self.replace(&producer)?;
            }
        }
        sent
    }

    fn replace(&self, broken: &Arc<Producer>) -> Result<(), BusError> {
        let mut current = self.producer.lock();
        if current
            .as_ref()
            .is_some_and(|producer| Arc::ptr_eq(producer, broken))
        {
            tracing::warn!("the kafka producer is beyond repair and is replaced");
            *current = Some(Arc::new(Producer::start(&self.options, self.context())?));
        }
        Ok(())
    }

    /// Where partitions begin and end.
    pub(super) async fn extents_of(
        self: &Arc<Self>,
        slots: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Extent>, BusError> {
        let shared = self.clone();
        blocking(move || shared.extents_now(&slots)).await
    }

    /// As [`Shared::extents_of`]; blocks.
    pub(super) fn extents_now(
        &self,
        slots: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Extent>, BusError> {
        let asking = self.asking()?;
        let starts = self.offsets_soon(&asking, slots, RawOffset::Beginning)?;
        let ends = self.offsets_soon(&asking, slots, RawOffset::End)?;
        let mut extents = BTreeMap::new();
        for (slot, start) in starts {
            if let Some(end) = ends.get(&slot) {
                let extent = Extent {
                    partition: slot.partition,
                    start,
                    // Asked for later, so it cannot be before the start.
                    end: (*end).max(start),
                };
                extents.insert(slot, extent);
            }
        }
        Ok(extents)
    }

    /// A partition that was just made, or whose leader went, has none for a moment.
    fn offsets_soon(
        &self,
        asking: &BaseConsumer<Context>,
        slots: &[TopicPartition],
        which: RawOffset,
    ) -> Result<BTreeMap<TopicPartition, Offset>, BusError> {
        let deadline = Instant::now() + self.options.deadline;
        loop {
            match self.offsets(asking, slots, which) {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tracing::debug!(%error, "no answer where partitions begin and end, will ask again");
                    std::thread::sleep(ASK_AGAIN);
                    self.learn_anew(asking, slots);
                }
                outcome => return outcome,
            }
        }
    }

    /// Has the library ask for the topics: what it heard of one that was just made, from a broker that did not know all of
    /// it yet, it would hold to be true for minutes.
    fn learn_anew(&self, asking: &BaseConsumer<Context>, slots: &[TopicPartition]) {
        let mut topics: Vec<_> = slots.iter().map(|slot| &slot.topic).collect();
        topics.dedup();
        for topic in topics {
            if let Err(error) = asking.fetch_metadata(Some(&self.names.topic(topic)), self.options.deadline) {
                tracing::debug!(%error, %topic, "nothing new about a topic");
            }
        }
    }

    fn offsets(
        &self,
        asking: &BaseConsumer<Context>,
        slots: &[TopicPartition],
        which: RawOffset,
    ) -> Result<BTreeMap<TopicPartition, Offset>, BusError> {
        const WHAT: &str = "asking where partitions begin and end";
        if slots.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut list = super::slot_list(&self.names, slots);
        list.set_all_offsets(which)
            .map_err(|error| bus_error(WHAT, &error))?;
        let found = asking
            .offsets_for_times(list, self.options.deadline)
            .map_err(|error| bus_error(WHAT, &error))?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(|error| bus_error(WHAT, &error))?;
            let (Some(topic), RawOffset::Offset(offset)) =
                (self.names.local(element.topic()), element.offset())
            else {
                continue;
            };
            let (Ok(partition), Ok(offset)) = (u32::try_from(element.partition()), u64::try_from(offset))
            else {
                continue;
            };
            let slot = TopicPartition {
                topic,
                partition: Partition::new(partition),
            };
            offsets.insert(slot, Offset::new(offset));
        }
        Ok(offsets)
    }

    /// Fails when the log does not have what a reader at these positions expects.
    pub(super) async fn check_positions(self: &Arc<Self>, positions: &[Position]) -> Result<(), BusError> {
        let extents = self
            .extents_of(positions.iter().map(TopicPartition::from).collect())
            .await?;
        for position in positions {
            let extent = extents.get(&TopicPartition::from(position)).ok_or_else(|| {
                BusError::Unavailable(format!("the broker does not say where {position} lies").into())
            })?;
            check_position(position, extent)?;
        }
        Ok(())
    }

    /// Closing a consumer waits for threads and brokers: not here.
    pub(super) fn dispose(&self, consumer: BaseConsumer<Context>) {
        match tokio::runtime::Handle::try_current() {
            // Nobody waits for it: the consumer is of no more use to anybody.
            Ok(handle) => drop(handle.spawn_blocking(move || drop(consumer))),
            Err(_) => drop(consumer),
        }
    }

    pub(super) fn close(&self) -> Result<(), BusError> {
        self.upkeep.stop();
        let producer = self.producer.lock().take();
        drop(self.asking.lock().take());
        self.watching.close();
        producer.map_or(Ok(()), |producer| producer.close(self.options.deadline))
    }
}

/// Is the position within the extent?
pub(super) fn check_position(position: &Position, extent: &Extent) -> Result<(), BusError> {
    if position.next > extent.end {
        return Err(BusError::PastEnd {
            position: position.clone(),
            end: extent.end,
        });
    }
    if position.next < extent.start {
        return Err(BusError::BeforeStart {
            position: position.clone(),
            start: extent.start,
        });
    }
    Ok(())
}
