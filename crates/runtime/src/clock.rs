use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A future that a clock gives.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and waits. Handed in, so that tests and the simulation decide what time it is.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process. It never goes back: durations are taken with it.
    fn monotonic(&self) -> Duration;

    /// Resolves once this much time has passed.
    fn sleep(&self, how_long: Duration) -> Sleep;
}

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The same, ready to be handed on.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's time of day"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, how_long: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(how_long))
    }
}

/// A clock that moves only when told to. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    shared: Arc<Mutex<ManualState>>,
}

#[derive(Debug)]
struct ManualState {
    start: Timestamp,
    elapsed: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            shared: Arc::new(Mutex::new(ManualState {
                start,
                elapsed: Duration::ZERO,
                sleepers: Vec::new(),
            })),
        }
    }

    /// Moves on and wakes who has slept long enough, in the order of their alarms.
    pub fn advance(&self, by: Duration) {
        let mut due = {
            let mut state = self.shared.lock();
            state.elapsed += by;
            let now = state.elapsed;
            let (due, left) = std::mem::take(&mut state.sleepers)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at <= now);
            state.sleepers = left;
            due
        };
        due.sort_by_key(|(at, _)| *at);
        for (_, wake) in due {
            // The sleeper may have been dropped meanwhile.
            let _ = wake.send(());
        }
    }

    /// Moves to the next alarm; says by how much, or `None` if nobody sleeps.
    pub fn advance_to_next_alarm(&self) -> Option<Duration> {
        let by = {
            let state = self.shared.lock();
            let at = state
                .sleepers
                .iter()
                .filter(|(_, wake)| !wake.is_closed())
                .map(|(at, _)| *at)
                .min()?;
            at.saturating_sub(state.elapsed)
        };
        self.advance(by);
        Some(by)
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        let state = self.shared.lock();
        state
            .sleepers
            .iter()
            .filter(|(_, wake)| !wake.is_closed())
            .count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let state = self.shared.lock();
        state.start.plus(state.elapsed)
    }

    fn monotonic(&self) -> Duration {
        self.shared.lock().elapsed
    }

    fn sleep(&self, how_long: Duration) -> Sleep {
        if how_long.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.shared.lock();
        let at = state.elapsed + how_long;
        state.sleepers.push((at, wake));
        Box::pin(async move {
            // An error means that the clock is gone: nobody is left to wake us.
            if woken.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_is_moved() {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
        let long = clock.sleep(Duration::from_secs(9));
        let short = clock.sleep(Duration::from_secs(2));
        assert_eq!(clock.sleepers(), 2);
        assert_eq!(clock.advance_to_next_alarm(), Some(Duration::from_secs(2)));
        short.await;
        assert_eq!(clock.now(), Timestamp::from_micros(3_000_000));
        clock.advance(Duration::from_secs(7));
        long.await;
        assert_eq!(clock.advance_to_next_alarm(), None);
    }

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now() > Timestamp::parse_rfc3339("2024-01-01T00:00:00Z").unwrap());
    }
}
