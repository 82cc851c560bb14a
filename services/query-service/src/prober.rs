//! Asks for the canary, again and again: somebody who sees it is shown what nobody may see.

use std::time::Duration;

use runtime::{BoxError, Stop};

use crate::service::QueryService;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

impl QueryService {
    /// The task that looks after the canary. It ends on `stop`.
    ///
    /// # Errors
    /// None; what goes wrong is logged and counted.
    pub async fn probe(self, stop: Stop) -> Result<(), BoxError> {
        let inner = self.inner().clone();
        loop {
            let asked = inner.clone();
            let look = tokio::task::spawn_blocking(move || {
                let snapshot = asked.reader.snapshot()?;
                snapshot.look_for_canary(asked.today())
            });
            match look.await? {
                Ok(look) => {
                    let counters = &inner.counters;
                    counters
                        .canary_seen
                        .with_label_values::<&str>(&[])
                        .inc_by(look.seen);
                    counters
                        .canary_proved
                        .with_label_values::<&str>(&[])
                        .set(look.proved.into());
                    if look.seen > 0 {
                        tracing::error!(
                            seen = look.seen,
                            "the canary was seen: callers are shown what is not theirs"
                        );
                    }
                }
                Err(error) => {
                    inner.counters.canary_proved.with_label_values::<&str>(&[]).set(0);
                    tracing::warn!(%error, "the canary could not be asked for");
                }
            }
            if stop.or(inner.clock.sleep(EVERY)).await.is_none() {
                return Ok(());
            }
        }
    }
}
