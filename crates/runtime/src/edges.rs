use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::randomness::{OsRandomness, Randomness};
use crate::traces::Traces;

/// What a process hands to every role it runs. Nothing else of the outside is taken for granted.
///
/// A role is a library that exposes `Config` (its section), `METRICS` (its catalogue) and a service that is made by
/// `build(config, …, &Edges)`: it checks and connects, without starting anything. `run(self, &Tasks)` then starts the
/// role's tasks in the group that it is given; they end on that group's [`Stop`](crate::Stop) after settling what they
/// have in hand.
#[derive(Debug, Clone)]
pub struct Edges {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes and new ids.
    pub randomness: Arc<dyn Randomness>,
    /// Where to count.
    pub metrics: Metrics,
    /// Where to say "ready".
    pub health: Health,
    /// Where spans begin.
    pub traces: Traces,
}

impl Edges {
    /// The machine's. Spans are not told.
    pub fn system() -> Self {
        Self::with(SystemClock::shared(), OsRandomness::shared())
    }

    /// The same time and randomness, with metrics and health of their own: for a second stack in one process.
    #[must_use]
    pub fn with(clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        Self {
            traces: Traces::off(clock.clone(), randomness.clone()),
            clock,
            randomness,
            metrics: Metrics::new(),
            health: Health::new(),
        }
    }
}
