//! The worker loop, on the log in memory with a clock that is stopped.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::worker::{
    Lane, ParkedHeaders, RetryHeaders, Source, Turn, Worker, WorkerConfig, WorkerEdges, run, was_tried,
};
use bus::{Bus, BusError, MemoryBus, ReadLimits, TopicPartition};
use model::{LogId, Outcome, Owner, Partition, Reason, Timestamp, TopicName};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::harness::*;

type Answer = Box<dyn Fn(&Turn) -> Outcome + Send + Sync>;

struct Script {
    answer: Answer,
    pause: Duration,
    done: Mutex<Vec<String>>,
    running: Mutex<HashMap<Vec<u8>, usize>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    settled: AtomicUsize,
    idle: Notify,
    assigned: Mutex<Vec<TopicPartition>>,
    restore_failures: AtomicUsize,
}

impl Script {
    fn new(answer: impl Fn(&Turn) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            pause: Duration::from_millis(10),
            done: Mutex::default(),
            running: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            idle: Notify::new(),
            assigned: Mutex::default(),
            restore_failures: AtomicUsize::new(0),
        })
    }

    /// Resolves when so many records are done or parked.
    async fn settled(&self, count: usize) {
        loop {
            let told = self.idle.notified();
            if self.settled.load(Ordering::SeqCst) >= count {
                return;
            }
            told.await;
        }
    }

    fn settle(&self, records: usize) {
        self.settled.fetch_add(records, Ordering::SeqCst);
        self.idle.notify_one();
    }
}

#[async_trait]
impl Worker for Script {
    async fn assigned(&self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        if self.restore_failures.load(Ordering::SeqCst) > 0 {
            self.restore_failures.fetch_sub(1, Ordering::SeqCst);
            return Err(BusError::Unavailable("not yet".into()));
        }
        let numbers = |topic: &TopicName| -> BTreeSet<Partition> {
            partitions
                .iter()
                .filter(|slot| slot.topic == *topic)
                .map(|slot| slot.partition)
                .collect()
        };
        assert_eq!(numbers(&T), numbers(&U), "partitions of one number come together");
        self.assigned.lock().extend(partitions.iter().cloned());
        Ok(())
    }

    async fn handle(&self, turn: Turn) -> Outcome {
        assert!(
            !self.assigned.lock().is_empty(),
            "records before the state was restored"
        );
        let busy = {
            let mut running = self.running.lock();
            let busy = running.entry(turn.key.to_vec()).or_default();
            *busy += 1;
            *busy
        };
        assert_eq!(busy, 1, "two turns of one key at once");
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.pause).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.running.lock().remove(&turn.key.to_vec());
        let outcome = (self.answer)(&turn);
        if outcome == Outcome::Done {
            self.done
                .lock()
                .extend(turn.records.iter().map(|(_, r)| value(r)));
        }
        outcome
    }
}

fn config() -> WorkerConfig {
    let sources = vec![
        Source {
            topic: T,
            lane: Lane::Live,
            parked: Some(PARKED),
            retry: None,
        },
        Source {
            topic: U,
            lane: Lane::Backfill,
            parked: Some(PARKED),
            retry: None,
        },
    ];
    WorkerConfig::new("g", "m", sources)
}

/// A wall clock that goes as the stopped clock of the test does.
fn now() -> impl Fn() -> Timestamp + Send + Sync {
    let started = tokio::time::Instant::now();
    move || at(1).plus(started.elapsed())
}

/// With a retry lane for T.
fn config_with_lane() -> WorkerConfig {
    let mut config = config();
    config.sources[0].retry = Some(RETRY);
    config
}

async fn lane(bus: &MemoryBus) -> Vec<bus::Record> {
    let mut records = Vec::new();
    bus::restore(bus, &RETRY, None, ReadLimits::default(), |r| records.push(r))
        .await
        .unwrap();
    records
}

fn down(after: u64) -> Outcome {
    Outcome::Retry {
        after: Some(Duration::from_secs(after)),
        owner: Owner::Upstream,
        why: "down".to_owned(),
    }
}

fn edges(bus: &MemoryBus, script: &Arc<Script>) -> WorkerEdges {
    let script = script.clone();
    WorkerEdges {
        bus: Arc::new(bus.clone()),
        now: Arc::new(now()),
        spread: Arc::new(|| 0.5),
        observe: Arc::new(move |event| match event {
            bus::worker::WorkerEvent::Done { records, .. }
            | bus::worker::WorkerEvent::Parked { records, .. } => {
                script.settle(records);
            }
            _ => {}
        }),
    }
}

async fn fresh() -> MemoryBus {
    let bus = MemoryBus::new(LogId(1));
    declare(&bus).await;
    bus
}

/// Runs until so many records are settled, then stops and checks that all of them were stored as settled.
async fn work(bus: &MemoryBus, script: &Arc<Script>, config: WorkerConfig, count: usize) {
    soon(run(
        edges(bus, script),
        config,
        script.clone(),
        script.settled(count),
    ))
    .await
    .unwrap();
    let stored = bus.group_positions("g", &[T, U]).await.unwrap();
    assert_eq!(stored.iter().map(|p| p.next.get()).sum::<u64>(), count as u64);
}

async fn parked(bus: &MemoryBus) -> Vec<bus::Record> {
    let mut records = Vec::new();
    bus::restore(bus, &PARKED, None, ReadLimits::default(), |r| records.push(r))
        .await
        .unwrap();
    records
}

#[tokio::test(start_paused = true)]
async fn keys_run_side_by_side_and_each_in_order() {
    let bus = fresh().await;
    let script = Script::new(|_| Outcome::Done);
    let records = (0..60).map(|n| record(T, &format!("k{}", n % 6), &format!("k{}:{n:02}", n % 6)));
    bus.append(records.collect()).await.unwrap();
    work(&bus, &script, config(), 60).await;
    assert_eq!(script.most_at_once.load(Ordering::SeqCst), 4);
    let done = script.done.lock();
    for key in 0..6 {
        let of_key: Vec<_> = done
            .iter()
            .filter(|v| v.starts_with(&format!("k{key}:")))
            .collect();
        assert_eq!(of_key.len(), 10);
        assert!(of_key.is_sorted());
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_a_key_is_one_turn_where_wanted() {
    let bus = fresh().await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counter = turns.clone();
    let script = Script::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Outcome::Done
    });
    bus.append((0..100).map(|n| record(T, "k", &n.to_string())).collect())
        .await
        .unwrap();
    work(
        &bus,
        &script,
        WorkerConfig {
            records_per_turn: 1000,
            ..config()
        },
        100,
    )
    .await;
    assert_eq!(turns.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_waits_and_holds_up_nobody() {
    let bus = fresh().await;
    let script = Script::new(|turn| {
        if &turn.key[..] == b"bad" && turn.attempt < 5 {
            Outcome::Retry {
                after: None,
                owner: Owner::Upstream,
                why: "down".to_owned(),
            }
        } else {
            Outcome::Done
        }
    });
    bus.append(vec![record(T, "bad", "bad1"), record(T, "bad", "bad2")])
        .await
        .unwrap();
    bus.append((0..20).map(|n| record(T, &n.to_string(), "good")).collect())
        .await
        .unwrap();
    let started = tokio::time::Instant::now();
    work(&bus, &script, config(), 22).await;
    assert_eq!(
        script.done.lock()[20..],
        ["bad1", "bad2"],
        "the others did not wait"
    );
    // 0.5 + 1 + 2 + 4 s, spread by 0.75.
    assert!(
        started.elapsed() >= Duration::from_millis(5_600),
        "{:?}",
        started.elapsed()
    );
    assert!(parked(&bus).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_is_parked_as_it_was_with_the_reason() {
    let bus = fresh().await;
    let script = Script::new(|turn| {
        if &turn.key[..] == b"poison" {
            Outcome::Reject(Reason {
                code: "bad-object",
                owner: Owner::Caller,
                message: "a/b is no object".into(),
            })
        } else {
            Outcome::Done
        }
    });
    let mut poison = record(T, "poison", "bytes");
    poison.headers.push("ce_id", "7");
    bus.append(vec![poison.clone(), record(T, "poison2", "v")])
        .await
        .unwrap();
    work(&bus, &script, config(), 2).await;
    let parked = parked(&bus).await;
    assert_eq!(parked.len(), 1);
    let headers = &parked[0].headers;
    assert_eq!((&parked[0].key, &parked[0].value), (&poison.key, &poison.value));
    assert_eq!(headers.text("ce_id"), Some("7"));
    assert_eq!(headers.text(ParkedHeaders::CODE), Some("bad-object"));
    assert_eq!(headers.text(ParkedHeaders::OWNER), Some("caller"));
    assert_eq!(headers.text(ParkedHeaders::MESSAGE), Some("a/b is no object"));
    assert!(headers.text(ParkedHeaders::SOURCE).unwrap().starts_with("t/"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_tried_again_then_parked() {
    let bus = fresh().await;
    let script = Script::new(|turn| {
        assert!(&turn.key[..] != b"defect", "on purpose");
        Outcome::Done
    });
    bus.append(vec![record(T, "defect", "v"), record(T, "fine", "v")])
        .await
        .unwrap();
    work(&bus, &script, config(), 2).await;
    let parked = parked(&bus).await;
    assert_eq!(parked[0].headers.text(ParkedHeaders::CODE), Some("defect"));
    assert_eq!(parked[0].headers.text(ParkedHeaders::ATTEMPT), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_while_nothing_gets_done() {
    let bus = fresh().await;
    let stuck = Script::new(|_| Outcome::Retry {
        after: None,
        owner: Owner::Us,
        why: "stuck".to_owned(),
    });
    for _ in 0..50 {
        bus.append(
            (0..20)
                .map(|n| record(T, &n.to_string(), &"x".repeat(1000)))
                .collect(),
        )
        .await
        .unwrap();
    }
    let most = Arc::new(Mutex::new((0, 0)));
    let seen = most.clone();
    let mut edges = edges(&bus, &stuck);
    edges.observe = Arc::new(move |event| {
        if let bus::worker::WorkerEvent::InFlight(hand) = event {
            let mut seen = seen.lock();
            *seen = (seen.0.max(hand.records()), seen.1.max(hand.bytes()));
        }
    });
    let mut config = config();
    config.in_flight_bytes = 100_000;
    config.options.limits = ReadLimits {
        records: 10,
        bytes: 20_000,
    };
    let stop = tokio::time::sleep(Duration::from_secs(600));
    run(edges, config, stuck.clone(), stop).await.unwrap();
    let (records, bytes) = *most.lock();
    assert!(
        (100_000..=130_000).contains(&bytes),
        "{records} records, {bytes} bytes"
    );
    assert!(bus.group_positions("g", &[T]).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failing_restore_is_tried_again_before_any_record() {
    let bus = fresh().await;
    let script = Script::new(|_| Outcome::Done);
    script.restore_failures.store(3, Ordering::SeqCst);
    bus.append(vec![record(T, "k", "v")]).await.unwrap();
    work(&bus, &script, config(), 1).await;
    assert_eq!(script.assigned.lock().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_second_worker_takes_its_share_and_nothing_is_lost() {
    let bus = fresh().await;
    let (a, b) = (Script::new(|_| Outcome::Done), Script::new(|_| Outcome::Done));
    let both = Arc::new(Notify::new());
    bus.append(
        (0..100)
            .map(|n| record(T, &n.to_string(), &n.to_string()))
            .collect(),
    )
    .await
    .unwrap();
    let later = async {
        tokio::time::sleep(Duration::from_millis(25)).await;
        run(
            edges(&bus, &b),
            WorkerConfig {
                member: "m2".to_owned(),
                ..config()
            },
            b.clone(),
            both.notified(),
        )
        .await
    };
    let watch = async {
        loop {
            let stored = bus.group_positions("g", &[T]).await.unwrap();
            if stored.iter().map(|p| p.next.get()).sum::<u64>() == 100 {
                both.notify_waiters();
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (first, second, ()) = soon(Box::pin(async {
        tokio::join!(
            run(edges(&bus, &a), config(), a.clone(), both.notified()),
            later,
            watch
        )
    }))
    .await;
    first.unwrap();
    second.unwrap();
    let mut done: Vec<String> = a.done.lock().clone();
    assert!(!b.done.lock().is_empty());
    done.extend(b.done.lock().iter().cloned());
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_waits_long_lets_its_partition_go_on_and_comes_back_in_time() {
    let bus = fresh().await;
    let tries = Arc::new(Mutex::new(Vec::new()));
    let started = tokio::time::Instant::now();
    let seen = tries.clone();
    let script = Script::new(move |turn| {
        let (_, first) = &turn.records[0];
        if &turn.key[..] != b"bad" {
            return Outcome::Done;
        }
        let place = (
            first.topic.clone(),
            first.partition,
            first.offset,
            first.timestamp,
        );
        let mut tries = seen.lock();
        tries.push((turn.attempt, started.elapsed().as_secs(), place, was_tried(first)));
        if tries.len() < 4 { down(60) } else { Outcome::Done }
    });
    bus.append(vec![record(T, "bad", "bad"), record(T, "good", "good")])
        .await
        .unwrap();
    run(
        edges(&bus, &script),
        config_with_lane(),
        script.clone(),
        script.settled(2),
    )
    .await
    .unwrap();
    let tries = tries.lock().clone();
    let attempts: Vec<_> = tries.iter().map(|(attempt, at, _, _)| (*attempt, *at)).collect();
    assert_eq!(attempts, [(1, 0), (2, 60), (3, 120), (4, 180)]);
    let marks: Vec<_> = tries.iter().map(|(.., tried)| *tried).collect();
    assert_eq!(marks, [false, true, true, true]);
    assert!(
        tries.iter().all(|(_, _, place, _)| *place == tries[0].2),
        "the worker sees it where it was first"
    );
    let stored = bus.group_positions("g", &[T, RETRY]).await.unwrap();
    assert_eq!(
        stored.iter().map(|p| p.next.get()).sum::<u64>(),
        2 + 3,
        "all of the source and of the lane is settled"
    );
    let lane = lane(&bus).await;
    assert_eq!(lane[2].headers.text(RetryHeaders::ATTEMPT), Some("3"));
    assert_eq!(lane[2].headers.text(RetryHeaders::OWNER), Some("upstream"));
    assert_eq!(lane[2].headers.text(RetryHeaders::WHY), Some("down"));
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_wait_and_new_work_of_the_key_takes_the_old_along() {
    let bus = fresh().await;
    let failing = Script::new(|_| down(600));
    bus.append(vec![record(T, "k", "old")]).await.unwrap();
    let stop = tokio::time::sleep(Duration::from_secs(5));
    run(edges(&bus, &failing), config_with_lane(), failing.clone(), stop)
        .await
        .unwrap();
    assert_eq!(lane(&bus).await.len(), 1);
    let well = Script::new(|_| Outcome::Done);
    let mut config = config_with_lane();
    config.records_per_turn = usize::MAX;
    let new_work = async {
        // The wait is not over, and nothing happens by itself.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(well.done.lock().is_empty());
        bus.append(vec![record(T, "k", "new")]).await.unwrap();
        well.settled(2).await;
    };
    run(edges(&bus, &well), config, well.clone(), new_work)
        .await
        .unwrap();
    assert_eq!(*well.done.lock(), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_does_not_hold_up_what_is_new() {
    let bus = fresh().await;
    let script = Script::new(|turn| {
        if turn.key.starts_with(b"bad") {
            down(3_000)
        } else {
            Outcome::Done
        }
    });
    let mut config = config_with_lane();
    config.in_flight_records = 10;
    config.options.limits = ReadLimits {
        records: 5,
        bytes: 20_000,
    };
    bus.append((0..50).map(|n| record(T, &format!("bad{n}"), "v")).collect())
        .await
        .unwrap();
    bus.append((0..50).map(|n| record(T, &format!("good{n}"), "v")).collect())
        .await
        .unwrap();
    soon(run(
        edges(&bus, &script),
        config,
        script.clone(),
        script.settled(50),
    ))
    .await
    .unwrap();
    assert_eq!(script.done.lock().len(), 50);
    assert_eq!(lane(&bus).await.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_that_just_fits_its_topic_is_parked() {
    let bus = fresh().await;
    let script = Script::new(|_| {
        Outcome::Reject(Reason {
            code: "bad-object",
            owner: Owner::Caller,
            message: "ü".repeat(5_000),
        })
    });
    let big = "x".repeat(bus::MAX_RECORD_BYTES - 1);
    bus.append(vec![record(T, "k", &big)]).await.unwrap();
    work(&bus, &script, config(), 1).await;
    assert_eq!(parked(&bus).await.len(), 1);
}

/// A worker that has one record for all: what its inner one says, and new work of T.
struct Merging(Arc<Script>);

#[async_trait]
impl Worker for Merging {
    fn merged(&self, records: &[(Lane, bus::Record)]) -> Option<bus::NewRecord> {
        Some(record(T, "k", &format!("all {}", records.len())))
    }

    async fn assigned(&self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        self.0.assigned(partitions).await
    }

    async fn handle(&self, turn: Turn) -> Outcome {
        self.0.handle(turn).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_lane_waits_with_what_has_one_or_as_new_work() {
    for with_event in [true, false] {
        let bus = fresh().await;
        let script = Script::new(|_| down(10));
        let mut config = config_with_lane();
        config.records_per_turn = usize::MAX;
        bus.append(vec![record(U, "k", "output")]).await.unwrap();
        if with_event {
            bus.append(vec![record(T, "k", "event")]).await.unwrap();
        }
        let stop = tokio::time::sleep(Duration::from_secs(60));
        run(
            edges(&bus, &script),
            config,
            Arc::new(Merging(script.clone())),
            stop,
        )
        .await
        .unwrap();
        assert!(!lane(&bus).await.is_empty(), "with event: {with_event}");
        let stored = bus.group_positions("g", &[T, U]).await.unwrap();
        assert_eq!(stored.iter().map(|p| p.next.get()).sum::<u64>(), 2);
    }
}
