use serde::{Deserialize, Serialize};

use crate::kafka_settings::KafkaSettings;

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
        if !self.registry_url.is_empty() && !is_url(&self.registry_url) {
            return fault(
                "registry_url",
                "a URL that starts with http:// or https:// is needed",
            );
        }
        let servers: Vec<&str> = self.brokers.split(',').map(str::trim).collect();
        if !servers.iter().all(|server| is_address(server)) {
            return fault(
                "brokers",
                "host:port is needed, or several of these separated by commas",
            );
        }
        self.kafka.check(servers.iter().all(|server| is_loopback(server)))
    }
}

/// Does it look like an address of HTTP?
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
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

#[cfg(test)]
mod tests {
    use model::Secret;

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

    #[test]
    fn a_token_endpoint_is_whole_and_alone() {
        let endpoint = |k: &mut KafkaSettings| {
            k.tls = true;
            k.oauth_token_url = "https://id.example.org/token".to_owned();
            k.oauth_client_id = "commit-fetcher".to_owned();
            k.oauth_client_secret = Some(Secret::new("s"));
        };
        kafka(endpoint).unwrap();
        let key = |change: fn(&mut KafkaSettings)| {
            let told = kafka(|k| {
                endpoint(k);
                change(k);
            });
            told.unwrap_err().key
        };
        let url = "kafka.oauth_token_url";
        assert_eq!(key(|k| k.oauth_token_url = "id.example.org".to_owned()), url);
        assert_eq!(
            key(|k| k.oauth_token_url = "https://u:p@id.example.org/".to_owned()),
            url
        );
        assert_eq!(
            key(|k| k.oauth_token_url = "http://id.example.org/token".to_owned()),
            url
        );
        assert_eq!(key(|k| k.oauth_client_id.clear()), "kafka.oauth_client_id");
        assert_eq!(key(|k| k.oauth_client_secret = None), "kafka.oauth_client_secret");
        assert_eq!(key(|k| k.oauth_token_url.clear()), "kafka.oauth_client_id");
        assert_eq!(key(|k| k.tls = false), "kafka.tls");
        let both = |k: &mut KafkaSettings| {
            k.user = "u".to_owned();
            k.password = Some(Secret::new("p"));
        };
        assert_eq!(key(both), url);
        kafka(|k| {
            endpoint(k);
            k.oauth_token_url = "http://127.0.0.1:8180/token".to_owned();
        })
        .unwrap();
    }
}
