use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Secret;
use parking_lot::Mutex;

use crate::BusError;

/// A token for OAUTHBEARER.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token itself.
    pub token: Secret,
    /// Who it is for; brokers go by the token, not by this.
    pub principal: String,
    /// How long it is good from now on.
    pub good_for: Duration,
}

/// Where tokens come from. Called on a thread that may block.
pub trait TokenSource: Send + Sync {
    /// A token that is good for a while.
    ///
    /// # Errors
    /// Whatever stands in the way; once the bus is connected it is tried again.
    fn token(&self) -> Result<AccessToken, BusError>;
}

/// Keeps one good token for all clients of a bus: clients ask on threads that must not wait for the network.
pub(super) struct TokenKeeper {
    source: Arc<dyn TokenSource>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: AccessToken,
    got: Instant,
}

/// The first try after a failure; then the source is asked as often.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

impl TokenKeeper {
    pub(super) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self {
            source,
            kept: Mutex::new(None),
        }
    }

    /// Gets a new token. Says when to get the next: before clients ask for one, which they do at four fifths of its life.
    pub(super) fn renew(&self) -> Result<Duration, BusError> {
        let token = self.source.token()?;
        let next = token.good_for.mul_f64(0.6).max(Duration::from_secs(1));
        let got = Instant::now();
        *self.kept.lock() = Some(Kept { token, got });
        Ok(next)
    }

    /// As [`TokenKeeper::renew`], for a loop: a failure is logged, and tried again soon.
    pub(super) fn renew_or_wait(&self) -> Duration {
        self.renew().unwrap_or_else(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, why, "no new token for kafka, will ask again");
            AFTER_FAILURE
        })
    }

    /// The token, and how long it is still good.
    pub(super) fn current(&self) -> Result<(AccessToken, Duration), BusError> {
        let kept = self.kept.lock();
        let kept = kept
            .as_ref()
            .ok_or_else(|| BusError::Unavailable("there is no token for kafka yet".into()))?;
        match kept.token.good_for.checked_sub(kept.got.elapsed()) {
            Some(left) if !left.is_zero() => Ok((kept.token.clone(), left)),
            _ => Err(BusError::Unavailable("the token for kafka has run out".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Short;

    impl TokenSource for Short {
        fn token(&self) -> Result<AccessToken, BusError> {
            Ok(AccessToken {
                token: Secret::new("t"),
                principal: "p".to_owned(),
                good_for: Duration::from_secs(100),
            })
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_runs_out() {
        let keeper = TokenKeeper::new(Arc::new(Short));
        assert!(keeper.current().is_err());
        assert_eq!(keeper.renew().unwrap(), Duration::from_secs(60));
        let (token, left) = keeper.current().unwrap();
        assert_eq!(token.token.expose(), "t");
        assert!(left <= Duration::from_secs(100));
    }
}
