use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Secret;
use rdkafka::ClientConfig;

use super::names::Names;
use super::token::TokenSource;
use crate::{BusError, GroupOptions, MAX_RECORD_BYTES};

/// A batch may be a little larger than the largest record: the frame around it.
const MAX_BATCH_BYTES: usize = MAX_RECORD_BYTES + 48_000;

/// What one client fetches ahead. The library counts it over all partitions of the client.
const FETCH_AHEAD_KIB: usize = 8 << 10;

/// How a cluster is reached.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Put before every topic and group.
    pub prefix: String,
    /// This process among its like, the same after a restart, e.g. a host name. With it, members of groups are static: a
    /// restart within [`KafkaOptions::session`] gets the same partitions back and moves nobody else's.
    pub instance: Option<String>,
    /// TLS, if the listener speaks it.
    pub tls: Option<KafkaTls>,
    /// Who we are, if the listener asks.
    pub sasl: Option<KafkaSasl>,
    /// Copies of each partition of topics that are made here; `None`: the cluster's default.
    pub replication: Option<u16>,
    /// Are missing topics made and changed rules taken over? If not, topics only have to be as declared.
    pub make_topics: bool,
    /// When a request, or the sending of a record, is given up.
    pub deadline: Duration,
    /// A member that is silent for so long has lost its partitions.
    pub session: Duration,
    /// How often topics are looked at: was one deleted and made anew?
    pub recheck: Duration,
}

impl KafkaOptions {
    /// Defaults for a cluster without TLS or login.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            prefix: String::new(),
            instance: None,
            tls: None,
            sasl: None,
            replication: None,
            make_topics: true,
            deadline: Duration::from_secs(15),
            session: Duration::from_secs(45),
            recheck: Duration::from_secs(10),
        }
    }

    /// A member must be able to hand over before the group thinks that it is dead.
    pub(super) fn check_group(&self, options: &GroupOptions) -> Result<(), BusError> {
        if options.drain + Duration::from_secs(1) > self.session {
            let why = format!(
                "a member may take {} s to hand over partitions, which must be at least a second less than its session of {} s",
                options.drain.as_secs(),
                self.session.as_secs()
            );
            return Err(BusError::Settings(why));
        }
        Ok(())
    }

    fn names(&self) -> Names {
        Names::new(&self.prefix)
    }

    /// What every client has.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", self.instance.as_deref().unwrap_or("renkud"))
            .set("socket.timeout.ms", millis(self.deadline))
            .set(
                "socket.connection.setup.timeout.ms",
                millis(self.deadline.min(Duration::from_secs(10))),
            )
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("allow.auto.create.topics", "false");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            let path = |path: &PathBuf| path.to_string_lossy().into_owned();
            if let Some(ca) = &tls.authorities {
                config.set("ssl.ca.location", path(ca));
            }
            if let Some((certificate, key)) = &tls.identity {
                config.set("ssl.certificate.location", path(certificate));
                config.set("ssl.key.location", path(key));
            }
        }
        match &self.sasl {
            None => {}
            Some(KafkaSasl::ScramSha512 { user, password }) => {
                config
                    .set("sasl.mechanism", "SCRAM-SHA-512")
                    .set("sasl.username", user)
                    .set("sasl.password", password.expose());
            }
            Some(KafkaSasl::OAuthBearer(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
        config
    }

    /// Every record once and in order, as long as the producer lives; acknowledged by all replicas in sync.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            .set("compression.level", "1")
            .set("linger.ms", "2")
            .set("batch.size", "262144")
            .set("message.max.bytes", MAX_BATCH_BYTES.to_string())
            .set("message.timeout.ms", millis(self.deadline))
            .set("request.timeout.ms", millis(self.deadline))
            .set("retry.backoff.ms", "50")
            .set("retry.backoff.max.ms", "1000")
            // Partitions are chosen here; this is what the library would choose for a key.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "65536");
        config
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", FETCH_AHEAD_KIB.to_string())
            .set("fetch.message.max.bytes", MAX_BATCH_BYTES.to_string())
            .set("fetch.max.bytes", (2 * MAX_BATCH_BYTES).to_string());
        config
    }

    /// A reader chooses its partitions and keeps its positions itself.
    pub(super) fn reader(&self) -> ClientConfig {
        self.consumer(&self.names().readers())
    }

    /// Sees a group's positions, and is no member.
    pub(super) fn watcher(&self, group: &str) -> ClientConfig {
        self.consumer(&self.names().group(group))
    }

    /// A member of a group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(&self.names().group(group));
        let session = millis(self.session);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", &session)
            .set("heartbeat.interval.ms", millis((self.session / 15).min(Duration::from_secs(1))))
            // The time that a rebalance waits for a member; the member hands over long before.
            .set("max.poll.interval.ms", millis(self.session.max(Duration::from_secs(60))));
        if let Some(instance) = &self.instance {
            // Nothing that changes with a restart may be in it, such as the member's name.
            config.set("group.instance.id", instance);
        }
        config
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

/// TLS towards the brokers. Their names are always checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KafkaTls {
    /// PEM file with the authorities to trust; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// PEM files with our own certificate and its key, if the brokers want one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How we log in.
#[derive(Clone)]
pub enum KafkaSasl {
    /// SCRAM-SHA-512.
    ScramSha512 {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// OAUTHBEARER with tokens from outside.
    OAuthBearer(Arc<dyn TokenSource>),
}

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScramSha512 { user, .. } => write!(f, "ScramSha512({user})"),
            Self::OAuthBearer(_) => f.write_str("OAuthBearer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handing_over_must_end_before_the_session() {
        let options = KafkaOptions::new("127.0.0.1:9092");
        options.check_group(&GroupOptions::default()).unwrap();
        let slow = GroupOptions {
            drain: Duration::from_secs(45),
            ..GroupOptions::default()
        };
        assert!(matches!(options.check_group(&slow), Err(BusError::Settings(why)) if why.contains("45 s")));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut options = KafkaOptions::new("127.0.0.1:9092");
        options.sasl = Some(KafkaSasl::ScramSha512 {
            user: "commit-fetcher".to_owned(),
            password: Secret::new("hush"),
        });
        assert!(!format!("{options:?}").contains("hush"));
        assert_eq!(options.producer().get("sasl.password"), Some("hush"));
        assert_eq!(
            options.producer().get("security.protocol"),
            Some("sasl_plaintext")
        );
    }
}
