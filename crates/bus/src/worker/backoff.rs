use std::time::Duration;

/// How long a failed turn waits: twice as long each time, within bounds, spread so that a herd does not come back at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer than this.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            most: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait after failure number `attempt` (from 1). `spread` is a random number from 0 to 1; `least` is what the
    /// failure itself asked for and is never undercut.
    pub fn wait(&self, attempt: u32, least: Option<Duration>, spread: f64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1u32.checked_shl(attempt.saturating_sub(1).min(20)).unwrap_or(1));
        let wait = doubled.min(self.most).mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0);
        wait.max(least.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_within_bounds() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            most: Duration::from_secs(10),
        };
        let waits: Vec<_> = (1..6).map(|n| backoff.wait(n, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10]);
        assert_eq!(backoff.wait(u32::MAX, None, 0.0), Duration::from_secs(5));
        assert_eq!(
            backoff.wait(1, Some(Duration::from_secs(30)), 0.5),
            Duration::from_secs(30)
        );
    }
}
