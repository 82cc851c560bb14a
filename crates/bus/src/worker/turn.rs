use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use model::{Outcome, Owner, Reason};
use tokio::time::Instant;

use super::retry::{Failure, Held, retry_record};
use super::turns::Taken;
use super::{Lane, Source, Turn, Worker, WorkerConfig, WorkerEdges, parked_record};
use crate::{NewRecord, Record};

/// A turn that ran, and what became of it.
pub(super) struct Ended {
    pub key: Bytes,
    pub items: Vec<(Lane, Held)>,
    pub attempt: u32,
    pub took: Duration,
    pub ending: Ending,
}

/// What became of a turn. What is parked or waits in a lane is durable there.
pub(super) enum Ending {
    Done,
    Parked(Reason),
    Waits {
        after: Duration,
        owner: Owner,
        why: String,
        in_lane: bool,
    },
}

/// Runs one turn to its end; also parks its records, or hands them on to the retry lane.
pub(super) async fn turn<W: Worker>(
    edges: WorkerEdges,
    worker: Arc<W>,
    config: Arc<WorkerConfig>,
    taken: Taken<Held>,
) -> Ended {
    let Taken {
        key,
        items,
        attempt: in_hand,
    } = taken;
    let tried = items.iter().map(|(_, held)| held.tried).max().unwrap_or_default();
    let attempt = in_hand.saturating_add(tried);
    let started = Instant::now();
    let records: Vec<(Lane, Record)> = items
        .iter()
        .map(|(lane, held)| (*lane, held.record.clone()))
        .collect();
    let work = worker.handle(Turn {
        key: key.clone(),
        records: records.clone(),
        attempt,
    });
    let outcome = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => panicked(in_hand, config.panics),
    };
    let took = started.elapsed();
    let turn = Failed {
        edges: &edges,
        config: &config,
        records: &records,
        attempt,
    };
    let ending = match outcome {
        Outcome::Done => Ending::Done,
        Outcome::Reject(reason) => turn.park(reason).await,
        Outcome::Retry { after, owner, why } => {
            let after = config.backoff.wait(attempt, after, (edges.spread)());
            turn.wait(&*worker, after, owner, why).await
        }
    };
    Ended {
        key,
        items,
        attempt,
        took,
        ending,
    }
}

/// A turn that did not end well.
struct Failed<'a> {
    edges: &'a WorkerEdges,
    config: &'a WorkerConfig,
    records: &'a [(Lane, Record)],
    attempt: u32,
}

impl Failed<'_> {
    async fn park(&self, reason: Reason) -> Ending {
        let now = (self.edges.now)();
        let parked = self.records.iter().filter_map(|(_, record)| {
            let topic = self.source_of(record)?.parked.clone()?;
            Some(parked_record(
                record,
                topic,
                &self.config.group,
                &reason,
                self.attempt,
                now,
            ))
        });
        match self.edges.bus.append(parked.collect()).await {
            Ok(_) => Ending::Parked(reason),
            Err(error) => Ending::Waits {
                after: self
                    .config
                    .backoff
                    .wait(self.attempt, None, (self.edges.spread)()),
                owner: Owner::Us,
                why: format!("rejected record could not be parked: {error}"),
                in_lane: false,
            },
        }
    }

    /// A short wait is spent in memory. For a long one the records go to their lane, so that their partition goes on;
    /// if that fails, they stay in memory: the partition's stored position stays behind them.
    async fn wait<W: Worker>(&self, worker: &W, after: Duration, owner: Owner, why: String) -> Ending {
        let long = after >= self.config.hand_on_after;
        let failure = Failure {
            attempt: self.attempt,
            owner,
            why: &why,
            now: (self.edges.now)(),
            after,
        };
        let in_lane = match long.then(|| self.handed_on(worker, failure)).flatten() {
            None => false,
            Some(records) => match self.edges.bus.append(records).await {
                Ok(_) => true,
                Err(error) => {
                    tracing::warn!(%error, "records that wait could not be handed on, they wait in memory");
                    false
                }
            },
        };
        Ending::Waits {
            after,
            owner,
            why,
            in_lane,
        }
    }

    /// None: not all of them have a lane, and the worker has no record that stands for all.
    fn handed_on<W: Worker>(&self, worker: &W, failure: Failure<'_>) -> Option<Vec<NewRecord>> {
        let lone = self.records.len() == 1 && self.records.iter().all(|(_, record)| self.has_lane(record));
        let merged = if lone { None } else { worker.merged(self.records) };
        let Some(merged) = merged else {
            let each = self.records.iter().map(|(_, record)| {
                let retry = self.source_of(record)?.retry.clone()?;
                Some(retry_record(record, retry, failure))
            });
            return each.collect();
        };
        // It stands for the newest of the most urgent, and is as old as the oldest of all.
        let with_lane = || self.records.iter().filter(|(_, record)| self.has_lane(record));
        let newest = with_lane().min_by_key(|(lane, record)| (*lane, std::cmp::Reverse(record.offset)));
        let oldest = with_lane().map(|(_, record)| record.timestamp).min();
        let Some(((_, newest), oldest)) = newest.zip(oldest) else {
            // Nothing of it may wait in a lane: it is new work of its own topic, which may.
            return Some(vec![merged]);
        };
        let record = Record {
            value: merged.value,
            headers: merged.headers,
            timestamp: oldest,
            ..newest.clone()
        };
        let retry = self.source_of(newest)?.retry.clone()?;
        Some(vec![retry_record(&record, retry, failure)])
    }

    fn has_lane(&self, record: &Record) -> bool {
        self.source_of(record)
            .is_some_and(|source| source.retry.is_some())
    }

    fn source_of(&self, record: &Record) -> Option<&Source> {
        let mut sources = self.config.sources.iter();
        sources.find(|source| source.topic == record.topic)
    }
}

/// A defect must neither stop the others nor be lost: a few tries, then the records are parked.
fn panicked(attempt: u32, most: u32) -> Outcome {
    if attempt < most {
        Outcome::Retry {
            after: None,
            owner: Owner::Us,
            why: "the turn panicked".to_owned(),
        }
    } else {
        Outcome::Reject(Reason {
            code: "defect",
            owner: Owner::Us,
            message: format!(
                "the turn panicked {attempt} times: report it with the record, then send it again"
            ),
        })
    }
}
