use std::path::PathBuf;
use std::time::Duration;

use bus::{GroupOptions, KafkaOptions, KafkaSasl, KafkaTls};
use model::Secret;
use serde::{Deserialize, Serialize};

/// Which message bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// The durable log in the data folder; belongs to one process.
    #[default]
    Embedded,
    /// Apache Kafka; roles may be in several processes.
    Kafka,
}

/// Section `[bus]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BusSettings {
    /// `embedded` or `kafka`.
    pub kind: BusKind,
    /// Brokers to ask first: `host:port`, separated by commas.
    pub brokers: String,
    /// A schema registry with Confluent's API, e.g. `http://registry:8080/apis/ccompat/v7`. Empty: none.
    pub registry_url: String,
    /// Section `[bus.kafka]`.
    pub kafka: KafkaSettings,
}

/// Section `[bus.kafka]`. An empty text means that it is not set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaSettings {
    /// Put before every topic and group.
    pub prefix: String,
    /// This process among its like, the same after a restart.
    pub instance: String,
    /// Are missing topics made at the start?
    pub make_topics: bool,
    /// Copies of each partition of topics made here; 0: the cluster's default.
    pub replication: u16,
    /// When a request or the sending of a record is given up.
    pub deadline_seconds: u64,
    /// A member that is silent for so long has lost its partitions.
    pub session_seconds: u64,
    /// Does the listener speak TLS?
    pub tls: bool,
    /// PEM file with the authorities to trust.
    pub authorities: PathBuf,
    /// PEM file with our own certificate.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// Name for SCRAM-SHA-512.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            instance: String::new(),
            make_topics: true,
            replication: 0,
            deadline_seconds: 15,
            session_seconds: 45,
            tls: false,
            authorities: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            user: String::new(),
            password: None,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bus.{key}: {why}")]
pub struct BusFault {
    /// Below `bus.`.
    pub key: &'static str,
    /// What is needed.
    pub why: &'static str,
}

impl BusSettings {
    /// Are these settings fit?
    pub fn check(&self) -> Result<(), BusFault> {
        let fault = |key, why| Err(BusFault { key, why });
        if self.kind == BusKind::Embedded {
            // Nobody else reads the log in the data folder.
            return match (self.brokers.is_empty(), self.registry_url.is_empty()) {
                (false, _) => fault("brokers", "they are for bus.kind = \"kafka\" only"),
                (_, false) => fault("registry_url", "it is for bus.kind = \"kafka\" only"),
                _ => Ok(()),
            };
        }
        let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
        if !self.registry_url.is_empty() && !is_url(&self.registry_url) {
            return fault(
                "registry_url",
                "a URL that starts with http:// or https:// is needed",
            );
        }
        let kafka = &self.kafka;
        let servers: Vec<&str> = self.brokers.split(',').map(str::trim).collect();
        if !servers.iter().all(|server| is_address(server)) {
            return fault(
                "brokers",
                "host:port is needed, or several of these separated by commas",
            );
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if kafka.prefix.len() > 60 || !kafka.prefix.chars().all(fine) {
            return fault(
                "kafka.prefix",
                "at most 60 letters, digits, '.', '_' or '-' are needed",
            );
        }
        if !(1..=300).contains(&kafka.deadline_seconds) {
            return fault("kafka.deadline_seconds", "1 to 300 seconds are needed");
        }
        if kafka.session_seconds <= GroupOptions::default().drain.as_secs() || kafka.session_seconds > 1800 {
            return fault(
                "kafka.session_seconds",
                "more than the 20 seconds that a member may take to hand over, and at most 1800, are needed",
            );
        }
        let empty = |path: &PathBuf| path.as_os_str().is_empty();
        if empty(&kafka.certificate) != empty(&kafka.key) {
            return fault("kafka.key", "a certificate and its key are needed together");
        }
        let certificates = !empty(&kafka.authorities) || !empty(&kafka.certificate);
        if certificates && !kafka.tls {
            return fault("kafka.tls", "it must be true, or the certificates are of no use");
        }
        if kafka.user.is_empty() != kafka.password.is_none() {
            return fault("kafka.password", "a user and a password are needed together");
        }
        if !kafka.tls && !kafka.user.is_empty() && !servers.iter().all(|server| is_loopback(server)) {
            return fault(
                "kafka.tls",
                "it must be true when a password goes to another machine",
            );
        }
        Ok(())
    }
}

fn is_address(server: &str) -> bool {
    server
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_loopback(server: &str) -> bool {
    server
        .rsplit_once(':')
        .is_some_and(|(host, _)| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

impl KafkaSettings {
    /// As the bus wants it, for these brokers.
    pub fn options(&self, brokers: &str) -> KafkaOptions {
        let path = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let tls = self.tls.then(|| KafkaTls {
            authorities: path(&self.authorities),
            identity: path(&self.certificate).zip(path(&self.key)),
        });
        let sasl = text(&self.user)
            .zip(self.password.clone())
            .map(|(user, password)| KafkaSasl::ScramSha512 { user, password });
        KafkaOptions {
            prefix: self.prefix.clone(),
            instance: text(&self.instance),
            tls,
            sasl,
            replication: Some(self.replication).filter(|copies| *copies > 0),
            make_topics: self.make_topics,
            deadline: Duration::from_secs(self.deadline_seconds),
            session: Duration::from_secs(self.session_seconds),
            ..KafkaOptions::new(brokers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus(change: impl FnOnce(&mut BusSettings)) -> Result<(), BusFault> {
        let mut settings = BusSettings {
            kind: BusKind::Kafka,
            brokers: "kafka.example.org:9092".to_owned(),
            ..BusSettings::default()
        };
        change(&mut settings);
        settings.check()
    }

    fn kafka(change: impl FnOnce(&mut KafkaSettings)) -> Result<(), BusFault> {
        bus(|settings| change(&mut settings.kafka))
    }

    #[test]
    fn refusals_name_the_key() {
        kafka(|_| {}).unwrap();
        let key = |change: fn(&mut KafkaSettings)| kafka(change).unwrap_err().key;
        let of_bus = |change: fn(&mut BusSettings)| bus(change).unwrap_err().key;
        assert_eq!(of_bus(|bus| bus.brokers.clear()), "brokers");
        assert_eq!(of_bus(|bus| bus.kind = BusKind::Embedded), "brokers");
        assert_eq!(
            of_bus(|bus| bus.registry_url = "registry:8080".to_owned()),
            "registry_url"
        );
        assert_eq!(key(|k| k.prefix = "a/".to_owned()), "kafka.prefix");
        assert_eq!(key(|k| k.session_seconds = 20), "kafka.session_seconds");
        assert_eq!(key(|k| k.user = "u".to_owned()), "kafka.password");
        let login = |k: &mut KafkaSettings| {
            k.user = "u".to_owned();
            k.password = Some(Secret::new("p"));
        };
        assert_eq!(kafka(login).unwrap_err().key, "kafka.tls");
        kafka(|k| {
            login(k);
            k.tls = true;
        })
        .unwrap();
        bus(|bus| {
            login(&mut bus.kafka);
            bus.brokers = "127.0.0.1:9092,localhost:9093".to_owned();
        })
        .unwrap();
        BusSettings::default().check().unwrap();
    }
}
