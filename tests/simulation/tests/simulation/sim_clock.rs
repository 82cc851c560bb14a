use std::time::Duration;

use model::Timestamp;
use runtime::clock::{Clock, Sleep};
use tokio::time::Instant;

/// The clock of one process: the runtime's stopped time, started at a moment of the world's and a little wrong.
#[derive(Debug)]
pub struct SimClock {
    began: Instant,
    at: Timestamp,
}

impl SimClock {
    /// To be made inside the process's runtime.
    pub fn new(at: Timestamp) -> Self {
        Self {
            began: Instant::now(),
            at,
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.at.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, how_long: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(how_long))
    }
}
