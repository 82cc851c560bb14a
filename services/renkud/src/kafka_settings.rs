use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, ClientCredentials, GroupOptions, KafkaOptions, KafkaSasl, KafkaTls, TokenEndpoint};
use model::Secret;
use serde::{Deserialize, Serialize};

use crate::bus_settings::{BusFault, is_url};

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
    /// Log in with OAUTHBEARER, with tokens from this endpoint.
    pub oauth_token_url: String,
    /// The client that it is asked as.
    pub oauth_client_id: String,
    /// That client's secret.
    pub oauth_client_secret: Option<Secret>,
    /// Asked for: words separated by spaces.
    pub oauth_scope: String,
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
            oauth_token_url: String::new(),
            oauth_client_id: String::new(),
            oauth_client_secret: None,
            oauth_scope: String::new(),
        }
    }
}

impl KafkaSettings {
    /// As the bus wants it, for these brokers.
    ///
    /// # Errors
    /// [`BusError::Settings`]: the token endpoint's address is none.
    pub fn options(&self, brokers: &str) -> Result<KafkaOptions, BusError> {
        let path = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let tls = self.tls.then(|| KafkaTls {
            authorities: path(&self.authorities),
            identity: path(&self.certificate).zip(path(&self.key)),
        });
        let scram = text(&self.user)
            .zip(self.password.clone())
            .map(|(user, password)| KafkaSasl::ScramSha512 { user, password });
        let sasl = match scram {
            None => self
                .oauth()?
                .map(|source| KafkaSasl::OAuthBearer(Arc::new(source))),
            scram => scram,
        };
        Ok(KafkaOptions {
            prefix: self.prefix.clone(),
            instance: text(&self.instance),
            tls,
            sasl,
            replication: Some(self.replication).filter(|copies| *copies > 0),
            make_topics: self.make_topics,
            deadline: Duration::from_secs(self.deadline_seconds),
            session: Duration::from_secs(self.session_seconds),
            ..KafkaOptions::new(brokers)
        })
    }

    fn oauth(&self) -> Result<Option<ClientCredentials>, BusError> {
        let Some(client_secret) = self.oauth_client_secret.clone() else {
            return Ok(None);
        };
        let endpoint = TokenEndpoint {
            url: self.oauth_token_url.clone(),
            client_id: self.oauth_client_id.clone(),
            client_secret,
            scope: Some(self.oauth_scope.clone()).filter(|scope| !scope.is_empty()),
        };
        ClientCredentials::new(endpoint).map(Some)
    }

    fn logs_in(&self) -> bool {
        !self.user.is_empty() || !self.oauth_token_url.is_empty()
    }

    /// `loopback`: all brokers are on this machine.
    pub(crate) fn check(&self, loopback: bool) -> Result<(), BusFault> {
        let fault = |key, why| Err(BusFault { key, why });
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.prefix.len() > 60 || !self.prefix.chars().all(fine) {
            return fault(
                "kafka.prefix",
                "at most 60 letters, digits, '.', '_' or '-' are needed",
            );
        }
        if !(1..=300).contains(&self.deadline_seconds) {
            return fault("kafka.deadline_seconds", "1 to 300 seconds are needed");
        }
        if self.session_seconds <= GroupOptions::default().drain.as_secs() || self.session_seconds > 1800 {
            return fault(
                "kafka.session_seconds",
                "more than the 20 seconds that a member may take to hand over, and at most 1800, are needed",
            );
        }
        let empty = |path: &PathBuf| path.as_os_str().is_empty();
        if empty(&self.certificate) != empty(&self.key) {
            return fault("kafka.key", "a certificate and its key are needed together");
        }
        let certificates = !empty(&self.authorities) || !empty(&self.certificate);
        if certificates && !self.tls {
            return fault("kafka.tls", "it must be true, or the certificates are of no use");
        }
        if self.user.is_empty() != self.password.is_none() {
            return fault("kafka.password", "a user and a password are needed together");
        }
        self.check_oauth()?;
        if !self.tls && self.logs_in() && !loopback {
            return fault(
                "kafka.tls",
                "it must be true when a password or a token goes to another machine",
            );
        }
        Ok(())
    }

    fn check_oauth(&self) -> Result<(), BusFault> {
        let fault = |key, why| Err(BusFault { key, why });
        if self.oauth_token_url.is_empty() {
            for (key, set) in [
                ("kafka.oauth_client_id", !self.oauth_client_id.is_empty()),
                ("kafka.oauth_client_secret", self.oauth_client_secret.is_some()),
                ("kafka.oauth_scope", !self.oauth_scope.is_empty()),
            ] {
                if set {
                    return fault(key, "it is of no use without bus.kafka.oauth_token_url");
                }
            }
            return Ok(());
        }
        if !self.user.is_empty() {
            return fault(
                "kafka.oauth_token_url",
                "a user and a token endpoint exclude each other",
            );
        }
        let well_formed = is_url(&self.oauth_token_url) && self.oauth().is_ok();
        if !well_formed {
            return fault(
                "kafka.oauth_token_url",
                "a URL that starts with https:// is needed, without user and password",
            );
        }
        if !self.oauth_token_url.starts_with("https://") && !is_on_this_machine(&self.oauth_token_url) {
            return fault(
                "kafka.oauth_token_url",
                "it must start with https:// when the secret goes to another machine",
            );
        }
        if self.oauth_client_id.is_empty() {
            return fault(
                "kafka.oauth_client_id",
                "the client that asks for tokens is needed",
            );
        }
        if self.oauth_client_secret.is_none() {
            return fault("kafka.oauth_client_secret", "the client's secret is needed");
        }
        Ok(())
    }
}

/// Is the host of an `http` URL loopback?
fn is_on_this_machine(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "[::1]")
        || host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback())
}
