use std::sync::Arc;

use bus::Bus;
use bus::worker::{Worker, WorkerConfig, WorkerEdges, WorkerEvent};
use runtime::metrics::MetricError;
use runtime::upkeep::again_and_again;
use runtime::{Component, Edges, Tasks};

use crate::measuring::{EVERY, Measuring};
use crate::meters::{GroupMeters, read_by};
use crate::parked::ParkedTally;

/// One process's part in a group, ready to run. The group's name is the role's.
pub struct Membership {
    worker: WorkerConfig,
    bus: Arc<dyn Bus>,
    edges: Edges,
    meters: GroupMeters,
    health: Component,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// Nothing is started and nothing is asked.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(worker: WorkerConfig, bus: Arc<dyn Bus>, edges: &Edges) -> Result<Self, MetricError> {
        Ok(Self {
            meters: GroupMeters::register(&worker, edges)?,
            health: edges.health.component(&worker.group),
            worker,
            bus,
            edges: edges.clone(),
        })
    }

    /// Starts the worker, and what measures its group. Both end on the tasks' stop, the worker after the turns in hand.
    /// `observe` is told what happens, for the role's own counts and logs.
    pub fn run<W: Worker>(
        self,
        worker: Arc<W>,
        observe: impl Fn(WorkerEvent<'_>) + Send + Sync + 'static,
        tasks: &Tasks,
    ) {
        let Self {
            worker: config,
            bus,
            edges,
            meters,
            health,
        } = self;
        let parked = config.sources.iter().filter_map(|source| source.parked.clone());
        let measuring = Measuring {
            bus: bus.clone(),
            group: config.group.clone(),
            topics: read_by(&config),
            parked: parked.map(ParkedTally::new).collect(),
            meters: meters.clone(),
        };
        let name = config.group.clone();
        let measured = again_and_again(measuring, EVERY, edges.clock.clone(), tasks.stop().clone());
        tasks.spawn_service(&format!("{name}-lag"), measured);
        let stop = tasks.stop().clone();
        let (clock, randomness) = (edges.clock, edges.randomness);
        let edges = WorkerEdges {
            bus,
            now: Arc::new(move || clock.now()),
            spread: Arc::new(move || randomness.below(1 << 20) as f64 / (1u64 << 20) as f64),
            observe: Arc::new(move |event| {
                meters.observe(&event);
                observe(event);
            }),
        };
        tasks.spawn_service(&name, async move {
            health.ready();
            let stopped = async move { stop.requested().await };
            let ended = bus::worker::run(edges, config, worker, stopped).await;
            health.not_ready("stopped");
            ended
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use bus::worker::{Lane, Source, Turn};
    use bus::{MemoryBus, NewRecord};
    use model::{CleanUp, LogId, Outcome, Owner, Reason, Timestamp, TopicName, TopicSpec};

    use super::*;

    const T: TopicName = TopicName::from_static("t.v1");

    /// Does what the record's value says.
    struct Obedient;

    #[async_trait]
    impl Worker for Obedient {
        async fn handle(&self, turn: Turn) -> Outcome {
            let value = turn.records.first().and_then(|(_, record)| record.value.clone());
            match value.as_deref() {
                Some(b"park") => Outcome::Reject(Reason {
                    code: "bad",
                    owner: Owner::Caller,
                    message: "as it says".to_owned(),
                }),
                Some(b"wait") => Outcome::Retry {
                    after: Some(Duration::from_secs(3_600)),
                    owner: Owner::Us,
                    why: "as it says".to_owned(),
                },
                Some(b"hang") => std::future::pending().await,
                _ => Outcome::Done,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_group_has_not_done_is_told() {
        let (source, bus) = (Source::new(T, Lane::Live), Arc::new(MemoryBus::new(LogId(1))));
        let topics = [Some(T), source.parked.clone(), source.retry.clone()];
        let spec = |name| TopicSpec {
            name,
            partitions: 1,
            clean_up: CleanUp::Delete(Duration::from_secs(86_400)),
        };
        let specs: Vec<_> = topics.into_iter().flatten().map(spec).collect();
        bus.ensure_topics(&specs).await.unwrap();
        let edges = Edges::system();
        let made = Timestamp::from_micros(edges.clock.now().as_micros() - 90_000_000);
        for (key, value) in [
            ("1", "do"),
            ("2", "park"),
            ("3", "wait"),
            ("4", "hang"),
            ("5", "do"),
        ] {
            bus.append(vec![NewRecord::new(T, key, value, made)])
                .await
                .unwrap();
        }
        let config = WorkerConfig::new("g", "m", vec![source]);
        let tasks = Tasks::new();
        Membership::new(config, bus.clone(), &edges)
            .unwrap()
            .run(Arc::new(Obedient), |_| {}, &tasks);
        let wanted = [
            // The hanging one and what is behind it; the one that waits in the lane.
            "renku_group_lag_records{group=\"g\",topic=\"t.v1\"} 2",
            "renku_group_lag_records{group=\"g\",topic=\"t.v1.retry\"} 1",
            "renku_group_parked_records{group=\"g\",topic=\"t.v1.parked\"} 1",
            "renku_group_retrying_records{group=\"g\"} 1",
            "renku_group_partitions{group=\"g\"} 2",
            "renku_group_rebalances_total{change=\"assigned\",group=\"g\"} 1",
            "renku_group_rebalances_total{change=\"revoked\",group=\"g\"} 0",
        ];
        let told = || edges.metrics.exposition().unwrap();
        for _ in 0..100 {
            if wanted.iter().all(|line| told().contains(line)) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let told = told();
        for line in wanted {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        let oldest = told
            .lines()
            .find_map(|line| line.strip_prefix("renku_group_oldest_seconds{group=\"g\",topic=\"t.v1\"} "))
            .unwrap();
        assert!((90..150).contains(&oldest.parse::<u64>().unwrap()), "{oldest}");
        let _ = tasks.stop_and_drain(Duration::from_secs(60)).await;
    }
}
