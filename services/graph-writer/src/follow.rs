//! Reading on: facts and status, each with a reader of its own, never behind graphs.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, Reader, Record};
use events::Decoder;
use model::{Position, TopicName};
use runtime::metrics::{IntGaugeVec, level};
use runtime::{BoxError, Edges, Stop, failpoint};

use tokio::sync::watch;

use crate::metrics::Counters;
use crate::readiness::{Progress, Readiness};
use crate::work::{Batch, Item};
use crate::writing::{Lane, Order};

/// Waits between tries.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often a long catching up says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What every follower of a topic has.
pub(crate) struct Following {
    /// The word for logs, metrics and readiness.
    pub part: &'static str,
    pub topic: TopicName,
    pub bus: Arc<dyn Bus>,
    pub reader: Box<dyn Reader>,
    pub lane: Lane,
    pub progress: Progress,
    pub readiness: Arc<Readiness>,
    pub counters: Counters,
    pub edges: Edges,
    pub stop: Stop,
    /// When it began, and when it told last how far it is.
    pub began: Duration,
    pub told: Duration,
}

impl Following {
    /// What was read, or nothing yet because of a passing fault, which has been waited for.
    pub(crate) async fn outlast(
        &mut self,
        read: Result<Vec<Record>, BusError>,
        wait: &mut Duration,
    ) -> Result<Option<Vec<Record>>, BoxError> {
        match read {
            Ok(records) => {
                *wait = FIRST_WAIT;
                Ok(Some(records))
            }
            Err(error) if error.is_transient() => {
                self.readiness.not_ready(self.part, error.to_string());
                tracing::warn!(topic = %self.topic, %error, "log cannot be read, will retry");
                let _ = self.stop.or(self.edges.clock.sleep(*wait)).await;
                *wait = (*wait * 2).min(LONGEST_WAIT);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// These positions are applied.
    pub(crate) fn applied(&mut self, positions: &[Position]) {
        self.progress.note(positions);
        self.tell(None);
        let (left, now) = (self.progress.behind_start(), self.edges.clock.monotonic());
        let gauge = |gauges: &IntGaugeVec, value: u64| {
            gauges.with_label_values(&[self.part]).set(level(value));
        };
        gauge(&self.counters.catching_up, self.progress.total());
        gauge(&self.counters.catching_up_left, left);
        if left > 0 && now.saturating_sub(self.told) >= TELL_EVERY {
            self.told = now;
            let how_far = self.progress.told(now.saturating_sub(self.began));
            tracing::info!(topic = %self.topic, "view is {how_far}");
        }
    }

    /// Says whether this part works; `blocked`: why not.
    pub(crate) fn tell(&self, blocked: Option<String>) {
        let left = self.progress.behind_start();
        match blocked {
            Some(why) => self.readiness.not_ready(self.part, why),
            None if left > 0 => {
                let elapsed = self.edges.clock.monotonic().saturating_sub(self.began);
                self.readiness.not_ready(self.part, self.progress.told(elapsed));
            }
            None => self.readiness.ready(self.part),
        }
    }
}

/// Facts, or status: every record is an item.
pub(crate) struct Follower {
    pub following: Following,
    pub decoder: Decoder,
    pub item: fn(&Decoder, &Record) -> Option<Item>,
    /// Told when there is nothing left of what was there at start.
    pub caught_up: watch::Sender<bool>,
}

impl Follower {
    pub(crate) async fn run(mut self) -> Result<(), BoxError> {
        let mut wait = FIRST_WAIT;
        let following = &mut self.following;
        following.tell(None);
        let stop = following.stop.clone();
        let caught_up = &self.caught_up;
        caught_up.send_replace(following.progress.behind_start() == 0);
        while let Some(read) = stop.or(following.reader.next()).await {
            let Some(records) = following.outlast(read, &mut wait).await? else {
                continue;
            };
            let items: Vec<_> = records
                .iter()
                .filter_map(|record| (self.item)(&self.decoder, record))
                .collect();
            let dropped = records.len() - items.len();
            following
                .counters
                .records
                .with_label_values(&[following.part, "tombstone"])
                .inc_by(dropped as u64);
            let positions = following.progress.moved(following.reader.positions());
            let batch = Batch {
                items,
                positions: positions.clone(),
            };
            let asked = stop
                .or(following.lane.ask(|reply| Order::Commit(batch, reply)))
                .await;
            let Some(Ok(result)) = asked else { break };
            if let Err(error) = result {
                // A passing fault is outlasted by the writing task; here it means that it stops.
                if stop.is_requested() {
                    break;
                }
                return Err(error.into());
            }
            failpoint!("graph-writer.before-next-poll")?;
            following.applied(&positions);
            caught_up
                .send_if_modified(|up| !std::mem::replace(up, following.progress.behind_start() == 0) && *up);
        }
        Ok(())
    }
}
