use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Partition, TopicName};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::errors::{Kind, Refusal, kind};
use super::names::Names;
use super::producer::Ticket;
use super::token::TokenKeeper;
use crate::{BusError, TopicPartition};

/// What the group coordinator wants of a member. Noted when it comes, done by the member's own thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Take these.
    Take(Vec<TopicPartition>),
    /// Give these back.
    Give(Vec<TopicPartition>),
}

/// What the library tells one client.
pub(super) struct Context {
    names: Names,
    tokens: Option<Arc<TokenKeeper>>,
    wanted: Mutex<VecDeque<Wanted>>,
    /// Outcomes of commits, oldest first.
    commits: Mutex<VecDeque<KafkaResult<()>>>,
    /// Why the brokers do not want us, if they said so.
    refusal: Mutex<Option<BusError>>,
    /// The member leaves: whatever is taken away is given back at once.
    pub(super) leaving: AtomicBool,
}

impl Context {
    pub(super) fn new(names: Names, tokens: Option<Arc<TokenKeeper>>) -> Self {
        Self {
            names,
            tokens,
            wanted: Mutex::default(),
            commits: Mutex::default(),
            refusal: Mutex::new(None),
            leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn next_wanted(&self) -> Option<Wanted> {
        self.wanted.lock().pop_front()
    }

    pub(super) fn next_commit(&self) -> Option<KafkaResult<()>> {
        self.commits.lock().pop_front()
    }

    /// Why the brokers do not want us, if they said so since it was asked last.
    pub(super) fn take_refusal(&self) -> Option<BusError> {
        self.refusal.lock().take()
    }

    fn slots(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        list.elements()
            .iter()
            .filter_map(|element| {
                let topic: TopicName = self.names.local(element.topic())?;
                let partition = Partition::new(u32::try_from(element.partition()).ok()?);
                Some(TopicPartition { topic, partition })
            })
            .collect()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, "kafka client: {message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, "kafka client: {message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "kafka client: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, "kafka client: {reason}");
        let code = error.rdkafka_error_code();
        if code.map(kind) == Some(Kind::Refused) {
            let refusal = Refusal {
                what: "connecting",
                why: reason.to_owned(),
                code,
            };
            *self.refusal.lock() = Some(refusal.into());
        }
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let keeper = self.tokens.as_ref().ok_or("no tokens are configured")?;
        let (token, left) = keeper.current()?;
        Ok(OAuthToken {
            token: token.token.expose().to_owned(),
            principal_name: token.principal,
            lifetime_ms: expiry(left),
        })
    }
}

/// The library wants the end of a token's life in milliseconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the library compares it with the system's clock itself"
)]
fn expiry(left: std::time::Duration) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from((now.unwrap_or_default() + left).as_millis()).unwrap_or(i64::MAX)
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let slots = self.slots(list);
        let takes = matches!(what, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
        if self.leaving.load(Ordering::Acquire) {
            // Nobody is there any more to answer later.
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "partitions were not given back while leaving");
            }
            return;
        }
        let wanted = if takes {
            Wanted::Take(slots)
        } else {
            Wanted::Give(slots)
        };
        self.wanted.lock().push_back(wanted);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.commits.lock().push_back(result);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.delivered(result);
    }
}
