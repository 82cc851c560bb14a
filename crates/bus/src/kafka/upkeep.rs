use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::shared::{PASS_ON, Shared};
use crate::BusError;

/// A thread that looks at the topics now and then, and keeps the token fresh. It ends with the bus.
pub(super) struct Upkeep {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::default(),
        }
    }

    pub(super) fn start(&self, shared: &Arc<Shared>, next_token: Option<Duration>) -> Result<(), BusError> {
        let (shared, state) = (Arc::downgrade(shared), self.state.clone());
        std::thread::Builder::new()
            .name("kafka-upkeep".to_owned())
            .spawn(move || run(&shared, &state, next_token))
            .map_err(|error| BusError::Unavailable(error.into()))?;
        Ok(())
    }

    pub(super) fn stop(&self) {
        *self.state.0.lock() = true;
        self.state.1.notify_all();
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Weak<Shared>, state: &(Mutex<bool>, Condvar), next_token: Option<Duration>) {
    let Some(recheck) = shared.upgrade().map(|shared| shared.options.recheck) else {
        return;
    };
    let mut renewal = next_token.map(|wait| Instant::now() + wait);
    let mut look = Instant::now() + recheck;
    loop {
        let until = renewal.map_or(look, |renewal| renewal.min(look).min(Instant::now() + PASS_ON));
        let mut stopped = state.0.lock();
        if !*stopped {
            state.1.wait_until(&mut stopped, until);
        }
        if *stopped {
            return;
        }
        drop(stopped);
        let Some(shared) = shared.upgrade() else { return };
        let now = Instant::now();
        if let Some(tokens) = shared.tokens() {
            if renewal.is_some_and(|renewal| renewal <= now) {
                renewal = Some(now + tokens.renew_or_wait());
            }
            shared.pass_on_token();
        }
        if look <= now {
            let topics = shared.catalog.names();
            if let Err(error) = shared.look_at(&topics) {
                tracing::debug!(%error, "topics could not be looked at, will try again");
            }
            look = Instant::now() + recheck;
        }
    }
}
