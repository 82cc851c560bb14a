use std::sync::Arc;

use access::Caller;
use gitlab::TokenHeader;
use http::HeaderMap;
use runtime::{Clock, Edges};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::gateway::Gateway;
use crate::gitlab_tokens::{GitLabTokens, Source, WhoIs};
use crate::jwt::{Fault, Rules, key_id};
use crate::keys::{HttpKeys, KeyCache, KeySource};
use crate::person::Person;
use crate::services::Services;

/// Nobody can be told. Callers hear no more than this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthError {
    /// The credentials are no good: 401.
    #[error("the credentials are not valid")]
    Wrong,
    /// It cannot be told now whose they are: 503.
    #[error("it cannot be told at the moment whose credentials these are: ask again soon")]
    Unavailable,
}

/// What kind of credentials it was, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// None.
    None,
    /// A JSON web token.
    Jwt,
    /// A token of GitLab.
    GitLab,
    /// A program's.
    Service,
    /// The gateway's.
    Gateway,
    /// Such as were not understood.
    Unknown,
}

impl Kind {
    /// For labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Jwt => "jwt",
            Self::GitLab => "gitlab",
            Self::Service => "service",
            Self::Gateway => "gateway",
            Self::Unknown => "unknown",
        }
    }
}

/// Who asks, or why that cannot be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// The caller.
    pub caller: Result<Caller, AuthError>,
    /// By what.
    pub kind: Kind,
    /// GitLab was asked, which takes time.
    pub asked: bool,
    /// The answer is old, because GitLab is down.
    pub stale: bool,
}

/// A request, as far as it tells who it is from.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, with the query.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// Whose word is taken for who somebody is.
pub struct Identities {
    jwt: Option<(Rules, KeyCache)>,
    gitlab: Option<GitLabTokens>,
    services: Services,
    gateway: Option<Gateway>,
    clock: Arc<dyn Clock>,
}

impl Identities {
    /// By the settings. `who_is`: GitLab, if its address is known.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: &Config, who_is: Option<Arc<dyn WhoIs>>, edges: &Edges) -> Result<Self, String> {
        let keys = match config.issuer.is_empty() {
            true => None,
            false => Some(Box::new(HttpKeys::new(config)?) as Box<dyn KeySource>),
        };
        Ok(Self::with(config, keys, who_is, edges))
    }

    /// The same with other keys.
    pub fn with(
        config: &Config,
        keys: Option<Box<dyn KeySource>>,
        who_is: Option<Arc<dyn WhoIs>>,
        edges: &Edges,
    ) -> Self {
        let cache = keys.map(|keys| KeyCache::new(keys, config, edges.clock.clone()));
        let who_is = who_is.filter(|_| config.gitlab_tokens);
        Self {
            jwt: Rules::new(config).zip(cache),
            gitlab: who_is.map(|who_is| GitLabTokens::new(who_is, config, edges)),
            services: Services::new(config),
            gateway: Gateway::new(config),
            clock: edges.clock.clone(),
        }
    }

    /// Who asks.
    pub async fn resolve(&self, asking: Asking<'_>) -> Resolved {
        let told = |kind, caller| Resolved {
            caller,
            kind,
            asked: false,
            stale: false,
        };
        match Credentials::of(asking.headers) {
            Err(error) => told(Kind::Unknown, Err(error)),
            Ok(None) => told(Kind::None, Ok(Caller::Anonymous)),
            Ok(Some(Credentials::Gateway(token))) => {
                let caller = match &self.gateway {
                    Some(gateway) => gateway.caller(&token, (asking.method, asking.path), self.clock.now()),
                    None => Err(Fault::UnknownKey),
                };
                told(Kind::Gateway, caller.map_err(wrong))
            }
            Ok(Some(Credentials::Jwt(token))) => told(Kind::Jwt, self.by_jwt(token.expose()).await),
            Ok(Some(Credentials::Bearer(token))) => match self.services.find(&token) {
                Some(service) => told(Kind::Service, Ok(service)),
                None => self.by_gitlab(&token, TokenHeader::Bearer).await,
            },
            Ok(Some(Credentials::PrivateToken(token))) => self.by_gitlab(&token, TokenHeader::Private).await,
        }
    }

    async fn by_jwt(&self, token: &str) -> Result<Caller, AuthError> {
        let Some((rules, cache)) = &self.jwt else {
            return Err(AuthError::Wrong);
        };
        let id = key_id(token).map_err(wrong)?;
        let Ok(keys) = cache.keys(id.as_deref()).await else {
            return Err(AuthError::Unavailable);
        };
        let person = rules.person(token, &keys, self.clock.now());
        person.map(Person::caller).map_err(wrong)
    }

    async fn by_gitlab(&self, token: &model::Secret, header: TokenHeader) -> Resolved {
        let (caller, source) = match &self.gitlab {
            None => (Err(AuthError::Wrong), Source::Remembered),
            Some(gitlab) => match gitlab.person(token, header).await {
                Ok((Some(person), source)) => (Ok(person.caller()), source),
                Ok((None, source)) => (Err(AuthError::Wrong), source),
                Err(_) => (Err(AuthError::Unavailable), Source::Asked),
            },
        };
        Resolved {
            caller,
            kind: Kind::GitLab,
            asked: source == Source::Asked,
            stale: source == Source::Stale,
        }
    }
}

fn wrong(fault: Fault) -> AuthError {
    tracing::debug!(%fault, "a token is refused");
    AuthError::Wrong
}

#[cfg(test)]
#[path = "identities_tests.rs"]
mod tests;
