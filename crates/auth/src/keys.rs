//! The identity provider's keys, as they change.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use runtime::Clock;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::jwt::Keys;

/// Larger answers are no key sets.
const LARGEST: usize = 256 << 10;
/// For one answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Gives a JSON web key set.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The set as it is now. The error is for logs.
    async fn fetch(&self) -> Result<Vec<u8>, String>;
}

/// From the provider, over HTTP. Redirects are not followed.
pub struct HttpKeys {
    http: reqwest::Client,
    issuer: String,
    jwks_url: String,
}

impl HttpKeys {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(WITHIN)
            .timeout(WITHIN)
            .user_agent(concat!("renku-graph/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            issuer: config.issuer.trim_end_matches('/').to_owned(),
            jwks_url: config.jwks_url.clone(),
        })
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let mut response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("{url} answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            if body.len() + chunk.len() > LARGEST {
                return Err(format!("{url} gives more than {LARGEST} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[async_trait]
impl KeySource for HttpKeys {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        if !self.jwks_url.is_empty() {
            return self.get(&self.jwks_url).await;
        }
        let said = self
            .get(&format!("{}/.well-known/openid-configuration", self.issuer))
            .await?;
        let said: Discovery = serde_json::from_slice(&said).map_err(|error| error.to_string())?;
        // Who speaks for another issuer could hand out keys for it.
        if said.issuer.trim_end_matches('/') != self.issuer {
            return Err(format!("the provider says that it is {}", said.issuer));
        }
        self.get(&said.jwks_uri).await
    }
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    /// When they were fetched, and when that was last tried.
    fetched: Option<Duration>,
    tried: Option<Duration>,
}

/// Keys that are kept, and fetched again when they are old or one is missing. While the provider is down, known ones go on.
pub struct KeyCache {
    source: Box<dyn KeySource>,
    clock: Arc<dyn Clock>,
    min_refresh: Duration,
    max_age: Duration,
    known: RwLock<Known>,
    /// One fetches at a time, the others wait for what comes of it.
    fetching: Mutex<()>,
}

/// The keys were never to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoKeys;

impl KeyCache {
    /// Nothing is fetched yet.
    pub fn new(source: Box<dyn KeySource>, config: &Config, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            clock,
            min_refresh: Config::seconds(config.keys_min_refresh_seconds),
            max_age: Config::seconds(config.keys_max_age_seconds),
            known: RwLock::default(),
            fetching: Mutex::default(),
        }
    }

    /// Keys to check a token with that names this one. It need not be among them.
    pub(crate) async fn keys(&self, id: Option<&str>) -> Result<Arc<Keys>, NoKeys> {
        if !self.wants(id) {
            return self.now();
        }
        // Who has his key already need not wait for somebody else's question.
        let has = self.known.read().keys.as_ref().is_some_and(|keys| keys.has(id));
        let _only = match has {
            true => match self.fetching.try_lock() {
                Ok(only) => only,
                Err(_) => return self.now(),
            },
            false => self.fetching.lock().await,
        };
        // Somebody may have fetched meanwhile.
        if self.wants(id) {
            self.fetch().await;
        }
        self.now()
    }

    fn now(&self) -> Result<Arc<Keys>, NoKeys> {
        self.known.read().keys.clone().ok_or(NoKeys)
    }

    /// Whether to fetch: something is missing or old, and it was not tried just now.
    fn wants(&self, id: Option<&str>) -> bool {
        let now = self.clock.monotonic();
        let known = self.known.read();
        let since = |moment: Option<Duration>| moment.map(|moment| now.saturating_sub(moment));
        if since(known.tried).is_some_and(|tried| tried < self.min_refresh) {
            return false;
        }
        let missing = known.keys.as_ref().is_none_or(|keys| !keys.has(id));
        missing || since(known.fetched).is_none_or(|age| age >= self.max_age)
    }

    async fn fetch(&self) {
        let now = self.clock.monotonic();
        let answer = self.source.fetch().await;
        let keys = answer.and_then(|bytes| Keys::read(&bytes).ok_or_else(|| "no key can be read".to_owned()));
        let mut known = self.known.write();
        known.tried = Some(now);
        match keys {
            Ok(keys) => {
                known.keys = Some(Arc::new(keys));
                known.fetched = Some(now);
            }
            Err(why) => tracing::warn!(why, "the identity provider's keys cannot be fetched"),
        }
    }
}
