use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use model::Partition;
use tokio::time::Instant;

use super::in_hand::InHand;
use super::retry::Held;
use super::turn::{Ended, Ending, turn};
use super::turns::Turns;
use super::{Lane, Worker, WorkerConfig, WorkerEdges, WorkerEvent};
use crate::{BusError, GroupConsumer, GroupEvent, Record, TopicPartition};

/// A clock that jumped must not make a record wait for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Runs a worker until `stop` resolves; then finishes what runs, stores positions and leaves the group.
///
/// # Errors
/// What the bus answered and trying again cannot help. Nothing that was settled is lost.
pub async fn run<W: Worker>(
    edges: WorkerEdges,
    config: WorkerConfig,
    worker: Arc<W>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), BusError> {
    let sources = config.sources.iter();
    let topics: Vec<_> = sources
        .flat_map(|source| [Some(source.topic.clone()), source.retry.clone()])
        .flatten()
        .collect();
    let consumer = edges
        .bus
        .join(&config.group, &config.member, &topics, config.options)
        .await?;
    let mut run = Run {
        started: Instant::now(),
        turns: Turns::default(),
        jobs: FuturesUnordered::new(),
        running: HashMap::new(),
        owned: HashSet::new(),
        draining: HashMap::new(),
        in_hand: InHand::default(),
        consumer,
        edges,
        config: Arc::new(config),
        worker,
    };
    let mut stop = pin!(stop);
    loop {
        run.start_turns();
        run.press_back();
        let due = run.next_due();
        tokio::select! {
            // What ends makes room, so it goes before what comes.
            biased;
            () = &mut stop => break,
            Some(ended) = run.jobs.next(), if !run.jobs.is_empty() => run.ended(ended),
            () = sleep_until(due), if due.is_some() => run.give_up_late_partitions(),
            event = run.consumer.next() => run.event(event?).await?,
        }
    }
    run.finish().await
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

struct Run<W> {
    started: Instant,
    turns: Turns<Held>,
    jobs: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Records being worked on, per partition.
    running: HashMap<TopicPartition, usize>,
    owned: HashSet<TopicPartition>,
    /// Revoked partitions that are not handed over yet, with the deadline.
    draining: HashMap<TopicPartition, Instant>,
    in_hand: InHand,
    consumer: Box<dyn GroupConsumer>,
    edges: WorkerEdges,
    config: Arc<WorkerConfig>,
    worker: Arc<W>,
}

impl<W: Worker> Run<W> {
    fn start_turns(&mut self) {
        while self.jobs.len() < self.config.concurrency.max(1) {
            let Some(taken) = self
                .turns
                .take(self.started.elapsed(), self.config.records_per_turn)
            else {
                return;
            };
            for (_, held) in &taken.items {
                *self.running.entry(held.slot.clone()).or_default() += 1;
            }
            let job = turn(
                self.edges.clone(),
                self.worker.clone(),
                self.config.clone(),
                taken,
            );
            self.jobs.push(job.boxed());
        }
    }

    /// Pauses reading while too much is in hand, resumes at half of it; sources and retry lanes each for themselves.
    fn press_back(&mut self) {
        for lanes in [false, true] {
            let load = if lanes {
                &mut self.in_hand.tried
            } else {
                &mut self.in_hand.fresh
            };
            let Some(pause) = load.turn_tap(&self.config) else {
                continue;
            };
            let owned = self.owned.iter();
            let slots: Vec<_> = owned
                .filter(|slot| self.is_retry_lane(slot) == lanes)
                .cloned()
                .collect();
            if pause {
                self.consumer.pause(&slots);
            } else {
                self.consumer.resume(&slots);
            }
        }
    }

    fn is_retry_lane(&self, slot: &TopicPartition) -> bool {
        let mut sources = self.config.sources.iter();
        sources.any(|source| source.retry.as_ref() == Some(&slot.topic))
    }

    /// Takes a record in hand.
    fn hold(&mut self, record: Record) {
        let mut sources = self.config.sources.iter();
        let source = sources
            .find(|source| source.topic == record.topic || source.retry.as_ref() == Some(&record.topic));
        let lane = source.map_or(Lane::Live, |source| source.lane);
        let held = match source {
            Some(source) if source.topic != record.topic => Held::again(record, &source.topic),
            _ => Held::first(record),
        };
        let wait = held.not_before.map(|at| at.since((self.edges.now)()));
        let due = wait
            .filter(|wait| !wait.is_zero())
            .map(|wait| self.started.elapsed() + wait.min(LONGEST_WAIT));
        self.in_hand.add(&held);
        self.turns.push(held.key().clone(), lane, held, due);
    }

    fn next_due(&self) -> Option<Instant> {
        let retry = self.turns.next_due().map(|due| self.started + due);
        let retry = retry.filter(|_| self.jobs.len() < self.config.concurrency.max(1));
        retry.into_iter().chain(self.draining.values().copied()).min()
    }

    async fn event(&mut self, event: GroupEvent) -> Result<(), BusError> {
        match event {
            GroupEvent::Records(records) => {
                for record in records {
                    self.hold(record);
                }
                self.tell_in_flight();
            }
            GroupEvent::Assigned(assignments) => {
                let partitions: Vec<_> = assignments
                    .iter()
                    .map(|a| TopicPartition::from(&a.position))
                    .collect();
                for lost in assignments.iter().filter(|a| a.lost_from.is_some()) {
                    (self.edges.observe)(WorkerEvent::Lost(lost));
                }
                // What comes back while its last turns still run is not to be handed over when they end.
                let back: Vec<_> = partitions
                    .iter()
                    .filter(|slot| self.draining.remove(*slot).is_some())
                    .cloned()
                    .collect();
                if !back.is_empty() {
                    self.worker.revoked(&back);
                }
                self.restore(&partitions).await?;
                let (lanes, sources): (Vec<_>, Vec<_>) = partitions
                    .iter()
                    .cloned()
                    .partition(|slot| self.is_retry_lane(slot));
                if self.in_hand.fresh.paused {
                    self.consumer.pause(&sources);
                }
                if self.in_hand.tried.paused {
                    self.consumer.pause(&lanes);
                }
                self.owned.extend(partitions);
                (self.edges.observe)(WorkerEvent::Assigned {
                    owned: self.owned.len(),
                });
            }
            GroupEvent::Revoked { partitions, within } => {
                self.revoke(&partitions, within);
                (self.edges.observe)(WorkerEvent::Revoked {
                    owned: self.owned.len(),
                });
            }
        }
        Ok(())
    }

    async fn restore(&mut self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        let mut attempt = 0;
        while let Err(error) = self.worker.assigned(partitions).await {
            if !error.is_transient() {
                return Err(error);
            }
            attempt += 1;
            let wait = self.config.backoff.wait(attempt, None, (self.edges.spread)());
            tracing::warn!(%error, attempt, wait_ms = wait.as_millis() as u64, "state not restored, will retry");
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn revoke(&mut self, partitions: &[TopicPartition], within: Duration) {
        let in_hand = &mut self.in_hand;
        self.turns.retain(|held| {
            let keep = !partitions.contains(&held.slot);
            if !keep {
                in_hand.take(held);
            }
            keep
        });
        let deadline = Instant::now() + within;
        for partition in partitions {
            self.owned.remove(partition);
            self.draining.insert(partition.clone(), deadline);
        }
        self.hand_over_drained();
        self.tell_in_flight();
    }

    fn give_up_late_partitions(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self
            .draining
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(partition, _)| partition.clone())
            .collect();
        self.hand_over(&late);
    }

    /// Hands over what has no turn running any more. Partitions of one number go together: who gets them restores one
    /// state for all of them.
    fn hand_over_drained(&mut self) {
        let busy: HashSet<Partition> = self.running.keys().map(|slot| slot.partition).collect();
        let drained: Vec<_> = self
            .draining
            .keys()
            .filter(|slot| !busy.contains(&slot.partition))
            .cloned()
            .collect();
        self.hand_over(&drained);
    }

    fn hand_over(&mut self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        for partition in partitions {
            self.draining.remove(partition);
        }
        self.worker.revoked(partitions);
        self.consumer.release(partitions);
    }

    fn ended(&mut self, ended: Ended) {
        let Ended {
            key,
            items,
            attempt,
            took,
            ending,
        } = ended;
        for (_, held) in &items {
            if let Some(count) = self.running.get_mut(&held.slot) {
                *count -= 1;
                if *count == 0 {
                    self.running.remove(&held.slot);
                }
            }
        }
        let records = items.len();
        match ending {
            Ending::Done => {
                (self.edges.observe)(WorkerEvent::Done { records, took });
                self.settle(&key, &items);
            }
            Ending::Parked(reason) => {
                let reason = &reason;
                (self.edges.observe)(WorkerEvent::Parked {
                    key: &key,
                    reason,
                    records,
                });
                self.settle(&key, &items);
            }
            Ending::Waits {
                after,
                owner,
                why,
                in_lane,
            } => {
                (self.edges.observe)(WorkerEvent::Retried {
                    key: &key,
                    owner,
                    attempt,
                    after,
                    in_lane,
                    why: &why,
                });
                if in_lane {
                    self.settle(&key, &items);
                } else {
                    // What is not ours any more is somebody else's to try again.
                    let (mut ours, gone): (Vec<_>, Vec<_>) = items
                        .into_iter()
                        .partition(|(_, held)| self.owned.contains(&held.slot));
                    self.forget(&gone);
                    ours.iter_mut().for_each(|(_, held)| self.in_hand.fail(held));
                    self.turns.retry(&key, ours, self.started.elapsed() + after);
                }
            }
        }
        self.hand_over_drained();
        self.tell_in_flight();
    }

    fn settle(&mut self, key: &Bytes, items: &[(Lane, Held)]) {
        for (_, held) in items {
            self.consumer.settle(&held.slot, held.offset);
        }
        self.forget(items);
        self.turns.finish(key);
    }

    fn forget(&mut self, items: &[(Lane, Held)]) {
        for (_, held) in items {
            self.in_hand.take(held);
        }
    }

    fn tell_in_flight(&self) {
        (self.edges.observe)(WorkerEvent::InFlight(&self.in_hand));
    }

    async fn finish(mut self) -> Result<(), BusError> {
        let deadline = Instant::now() + self.config.grace;
        while !self.jobs.is_empty() {
            match tokio::time::timeout_at(deadline, self.jobs.next()).await {
                Ok(Some(ended)) => self.ended(ended),
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!(
                        turns = self.jobs.len(),
                        "turns still running at the deadline, left for the next start"
                    );
                    break;
                }
            }
        }
        self.consumer.leave().await
    }
}
