//! Tokens that only GitLab can tell about. Its answers are kept for a moment, by a hash that cannot be made without this
//! process: no token is.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gitlab::{Account, GitLabError, RestClient, TokenHeader};
use lru::LruCache;
use model::Secret;
use parking_lot::Mutex;
use runtime::{Clock, Edges};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::person::Person;

/// A "no" holds so long at most: a token that was just made is asked about soon again.
const NO_HOLDS: Duration = Duration::from_secs(10);
/// While GitLab is down a "yes" holds so much longer.
const STALE: Duration = Duration::from_secs(60);
/// GitLab makes none that are longer; such a header might be refused before GitLab sees it, which would look like a fault.
const LONGEST: usize = 1 << 10;
/// GitLab is given so long.
const WITHIN: Duration = Duration::from_secs(5);
/// So many questions at one time: anybody can make up tokens.
const AT_ONCE: usize = 32;
/// After GitLab did not answer it is left alone so long.
const REST: Duration = Duration::from_secs(1);

/// GitLab does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("GitLab does not tell whose token it is")]
pub struct Unreachable;

/// Tells whose token it is.
#[async_trait]
pub trait WhoIs: Send + Sync {
    /// None: nobody's, or one of somebody who may not sign in.
    async fn who_is(&self, token: &Secret, header: TokenHeader) -> Result<Option<Person>, Unreachable>;
}

#[async_trait]
impl WhoIs for RestClient {
    async fn who_is(&self, token: &Secret, header: TokenHeader) -> Result<Option<Person>, Unreachable> {
        match self.account(token, header).await {
            Ok(Account { id, active, external }) => Ok(active.then_some(Person { user: id, external })),
            Err(GitLabError::Refused(_)) => Ok(None),
            Err(error) => {
                tracing::warn!(%error, "GitLab does not tell whose token it is");
                Err(Unreachable)
            }
        }
    }
}

type Hash = [u8; 32];

type Asking = Mutex<HashMap<Hash, Arc<tokio::sync::Mutex<()>>>>;

/// Somebody who waits for a turn. The last one takes it out, also if his caller has gone away meanwhile.
struct Waiting<'a> {
    asking: &'a Asking,
    hash: Hash,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut asking = self.asking.lock();
        // The map's and ours.
        if Arc::strong_count(&self.turn) <= 2 {
            asking.remove(&self.hash);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    person: Option<Person>,
    at: Duration,
}

/// How an answer was come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Asked,
    Remembered,
    Stale,
}

/// See the module.
pub struct GitLabTokens {
    who_is: Arc<dyn WhoIs>,
    clock: Arc<dyn Clock>,
    key: [u8; 32],
    holds: Duration,
    answers: Mutex<LruCache<Hash, Answer>>,
    /// One asks about a token at a time, the others wait for what it hears.
    asking: Asking,
    /// Turns to ask.
    turns: tokio::sync::Semaphore,
    /// Not to be asked before.
    rests_until: Mutex<Duration>,
}

impl GitLabTokens {
    /// Nothing is known yet.
    pub fn new(who_is: Arc<dyn WhoIs>, config: &Config, edges: &Edges) -> Self {
        let mut key = [0; 32];
        edges.randomness.fill(&mut key);
        let entries = NonZero::new(config.token_cache_entries).unwrap_or(NonZero::<usize>::MIN);
        Self {
            who_is,
            clock: edges.clock.clone(),
            key,
            holds: Config::seconds(config.token_cache_seconds),
            answers: Mutex::new(LruCache::new(entries)),
            asking: Mutex::default(),
            turns: tokio::sync::Semaphore::new(AT_ONCE),
            rests_until: Mutex::default(),
        }
    }

    fn hash(&self, token: &Secret, header: TokenHeader) -> Hash {
        // What GitLab takes in one header it need not take in the other.
        let kind = match header {
            TokenHeader::Private => 0,
            TokenHeader::Bearer => 1,
        };
        let hasher = Sha256::new().chain_update(self.key).chain_update([kind]);
        hasher.chain_update(token.expose().as_bytes()).finalize().into()
    }

    /// An answer that is no older than it may be, with `more` added for a "yes".
    fn remembered(&self, hash: &Hash, more: Duration) -> Option<Option<Person>> {
        let answer = *self.answers.lock().get(hash)?;
        let age = self.clock.monotonic().saturating_sub(answer.at);
        let holds = match answer.person {
            Some(_) => self.holds + more,
            None => self.holds.min(NO_HOLDS),
        };
        (age < holds).then_some(answer.person)
    }

    pub(crate) async fn person(
        &self,
        token: &Secret,
        header: TokenHeader,
    ) -> Result<(Option<Person>, Source), Unreachable> {
        if token.expose().len() > LONGEST {
            return Ok((None, Source::Remembered));
        }
        let hash = self.hash(token, header);
        if let Some(person) = self.remembered(&hash, Duration::ZERO) {
            return Ok((person, Source::Remembered));
        }
        let waiting = self.wait_for_turn(hash);
        let _mine = waiting.turn.lock().await;
        match self.remembered(&hash, Duration::ZERO) {
            Some(person) => Ok((person, Source::Remembered)),
            None => self.ask(&hash, token, header).await,
        }
    }

    fn wait_for_turn(&self, hash: Hash) -> Waiting<'_> {
        let turn = self.asking.lock().entry(hash).or_default().clone();
        Waiting {
            asking: &self.asking,
            hash,
            turn,
        }
    }

    async fn ask(
        &self,
        hash: &Hash,
        token: &Secret,
        header: TokenHeader,
    ) -> Result<(Option<Person>, Source), Unreachable> {
        let began = self.clock.monotonic();
        let rests = began < *self.rests_until.lock();
        let answer = match rests {
            true => Err(Unreachable),
            false => {
                let asked = async {
                    let _turn = self.turns.acquire().await.map_err(|_| Unreachable)?;
                    self.who_is.who_is(token, header).await
                };
                tokio::time::timeout(WITHIN, asked)
                    .await
                    .unwrap_or(Err(Unreachable))
            }
        };
        match answer {
            Ok(person) => {
                // It was true when it was asked, not later.
                self.answers.lock().put(*hash, Answer { person, at: began });
                Ok((person, Source::Asked))
            }
            Err(down) => {
                if !rests {
                    *self.rests_until.lock() = self.clock.monotonic() + REST;
                }
                match self.remembered(hash, STALE) {
                    Some(person) => Ok((person, Source::Stale)),
                    None => Err(down),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "gitlab_tokens_tests.rs"]
mod tests;
