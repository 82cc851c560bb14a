use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use model::{Outcome, Owner, Partition, Reason};
use tokio::time::Instant;

use super::turns::{Taken, Turns};
use super::{Lane, Source, Turn, Worker, WorkerConfig, WorkerEdges, WorkerEvent, parked_record};
use crate::{BusError, GroupConsumer, GroupEvent, Record, TopicPartition};

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
    let topics: Vec<_> = config.sources.iter().map(|source| source.topic.clone()).collect();
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
        records: 0,
        bytes: 0,
        paused: false,
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
    turns: Turns<Record>,
    jobs: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Records being worked on, per partition.
    running: HashMap<TopicPartition, usize>,
    owned: HashSet<TopicPartition>,
    /// Revoked partitions that are not handed over yet, with the deadline.
    draining: HashMap<TopicPartition, Instant>,
    /// Waiting or running.
    records: usize,
    bytes: usize,
    paused: bool,
    consumer: Box<dyn GroupConsumer>,
    edges: WorkerEdges,
    config: Arc<WorkerConfig>,
    worker: Arc<W>,
}

/// A turn that ran, with what became of it and of its parking.
struct Ended {
    key: Bytes,
    records: Vec<(Lane, Record)>,
    attempt: u32,
    took: Duration,
    outcome: Outcome,
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
            for (_, record) in &taken.items {
                *self.running.entry(record.slot()).or_default() += 1;
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

    /// Pauses reading while too much is in hand, resumes at half of it.
    fn press_back(&mut self) {
        let full = self.bytes >= self.config.in_flight_bytes || self.records >= self.config.in_flight_records;
        let relieved = self.bytes <= self.config.in_flight_bytes / 2
            && self.records <= self.config.in_flight_records / 2;
        let owned: Vec<_> = self.owned.iter().cloned().collect();
        if full && !self.paused {
            self.consumer.pause(&owned);
            self.paused = true;
        } else if self.paused && relieved {
            self.consumer.resume(&owned);
            self.paused = false;
        }
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
                    self.records += 1;
                    self.bytes += record.bytes();
                    let lane = self.source_of(&record).map_or(Lane::Live, |source| source.lane);
                    self.turns.push(record.key.clone(), lane, record);
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
                if self.paused {
                    self.consumer.pause(&partitions);
                }
                self.owned.extend(partitions);
            }
            GroupEvent::Revoked { partitions, within } => self.revoke(&partitions, within),
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
        let (mut records, mut bytes) = (0, 0);
        self.turns.retain(|record| {
            let keep = !partitions.contains(&record.slot());
            if !keep {
                records += 1;
                bytes += record.bytes();
            }
            keep
        });
        self.records -= records;
        self.bytes -= bytes;
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
            records,
            attempt,
            took,
            outcome,
        } = ended;
        for (_, record) in &records {
            let partition = record.slot();
            if let Some(count) = self.running.get_mut(&partition) {
                *count -= 1;
                if *count == 0 {
                    self.running.remove(&partition);
                }
            }
        }
        match outcome {
            Outcome::Done | Outcome::Reject(_) => {
                for (_, record) in &records {
                    self.consumer.settle(&record.slot(), record.offset);
                }
                self.forget(&records);
                match &outcome {
                    Outcome::Reject(reason) => (self.edges.observe)(WorkerEvent::Parked {
                        key: &key,
                        reason,
                        records: records.len(),
                    }),
                    _ => (self.edges.observe)(WorkerEvent::Done {
                        records: records.len(),
                        took,
                    }),
                }
                self.turns.finish(&key);
            }
            Outcome::Retry { after, owner, why } => {
                let after = self.config.backoff.wait(attempt, after, (self.edges.spread)());
                (self.edges.observe)(WorkerEvent::Retried {
                    key: &key,
                    owner,
                    attempt,
                    after,
                    why: &why,
                });
                // What is not ours any more is somebody else's to try again.
                let (ours, gone): (Vec<_>, Vec<_>) = records
                    .into_iter()
                    .partition(|(_, record)| self.owned.contains(&record.slot()));
                self.forget(&gone);
                self.turns.retry(&key, ours, self.started.elapsed() + after);
            }
        }
        self.hand_over_drained();
        self.tell_in_flight();
    }

    fn forget(&mut self, records: &[(Lane, Record)]) {
        self.records -= records.len();
        self.bytes -= records.iter().map(|(_, record)| record.bytes()).sum::<usize>();
    }

    fn source_of(&self, record: &Record) -> Option<&Source> {
        source_of(&self.config, record)
    }

    fn tell_in_flight(&self) {
        (self.edges.observe)(WorkerEvent::InFlight {
            records: self.records,
            bytes: self.bytes,
        });
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

fn source_of<'a>(config: &'a WorkerConfig, record: &Record) -> Option<&'a Source> {
    config.sources.iter().find(|source| source.topic == record.topic)
}

async fn turn<W: Worker>(
    edges: WorkerEdges,
    worker: Arc<W>,
    config: Arc<WorkerConfig>,
    taken: Taken<Record>,
) -> Ended {
    let Taken {
        key,
        items: records,
        attempt,
    } = taken;
    let started = Instant::now();
    let work = worker.handle(Turn {
        key: key.clone(),
        records: records.clone(),
        attempt,
    });
    let mut outcome = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => panicked(attempt, config.panics),
    };
    if let Outcome::Reject(reason) = &outcome {
        let parked = records
            .iter()
            .filter_map(|(_, record)| {
                let topic = source_of(&config, record)?.parked.clone()?;
                Some(parked_record(
                    record,
                    topic,
                    &config.group,
                    reason,
                    attempt,
                    (edges.now)(),
                ))
            })
            .collect();
        if let Err(error) = edges.bus.append(parked).await {
            let why = format!("rejected record could not be parked: {error}");
            outcome = Outcome::Retry {
                after: None,
                owner: Owner::Us,
                why,
            };
        }
    }
    Ended {
        key,
        records,
        attempt,
        took: started.elapsed(),
        outcome,
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
