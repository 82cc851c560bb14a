use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bus::worker::{Source, WorkerConfig, WorkerEvent};
use model::{Timestamp, TopicName};
use runtime::metrics::{IntCounterVec, IntGaugeVec, MetricError, level};
use runtime::{Edges, MetricKind, MetricSpec};

const LAG: MetricSpec = MetricSpec {
    name: "renku_group_lag_records",
    kind: MetricKind::Gauge,
    help: "Offsets between what the whole group has settled and the end of the log, all partitions of a topic or retry lane together. Every member tells the same: take the maximum.",
    labels: &["group", "topic"],
};
const OLDEST: MetricSpec = MetricSpec {
    name: "renku_group_oldest_seconds",
    kind: MetricKind::Gauge,
    help: "Age of the oldest record that this process has in hand and has not settled, by the topic or retry lane that it was read from; 0 when it has none.",
    labels: &["group", "topic"],
};
const RETRYING: MetricSpec = MetricSpec {
    name: "renku_group_retrying_records",
    kind: MetricKind::Gauge,
    help: "Records in hand of this process that failed before and wait for another try, or have it now. Those that it has not read again yet are the lag of the retry lane.",
    labels: &["group"],
};
const PARKED: MetricSpec = MetricSpec {
    name: "renku_group_parked_records",
    kind: MetricKind::Gauge,
    help: "Records in the parked lane of a topic that nobody has dealt with, up to 100000. Every member tells the same: take the maximum.",
    labels: &["group", "topic"],
};
const PARTITIONS: MetricSpec = MetricSpec {
    name: "renku_group_partitions",
    kind: MetricKind::Gauge,
    help: "Partitions that this process has, of all topics and retry lanes of the group together.",
    labels: &["group"],
};
const REBALANCES: MetricSpec = MetricSpec {
    name: "renku_group_rebalances_total",
    kind: MetricKind::Counter,
    help: "Times that partitions were given to this process or taken from it: assigned, revoked.",
    labels: &["group", "change"],
};

/// The catalogue of every group.
pub const METRICS: &[MetricSpec] = &[LAG, OLDEST, RETRYING, PARKED, PARTITIONS, REBALANCES];

/// No record of the topic is in hand.
const NONE: i64 = i64::MIN;

/// The metrics of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupMeters {
    group: Arc<str>,
    lag: IntGaugeVec,
    parked: IntGaugeVec,
    retrying: IntGaugeVec,
    partitions: IntGaugeVec,
    rebalances: IntCounterVec,
    /// When the oldest record in hand was made, of each topic that is read.
    oldest: Arc<[(TopicName, AtomicI64)]>,
}

/// What a worker reads: its topics, and their retry lanes.
pub(crate) fn read_by(config: &WorkerConfig) -> Vec<TopicName> {
    let lanes = |source: &Source| [Some(source.topic.clone()), source.retry.clone()];
    config.sources.iter().flat_map(lanes).flatten().collect()
}

impl GroupMeters {
    pub(crate) fn register(config: &WorkerConfig, edges: &Edges) -> Result<Self, MetricError> {
        let metrics = &edges.metrics;
        let topics = read_by(config).into_iter();
        let meters = Self {
            group: config.group.as_str().into(),
            lag: metrics.gauge(&LAG)?,
            parked: metrics.gauge(&PARKED)?,
            retrying: metrics.gauge(&RETRYING)?,
            partitions: metrics.gauge(&PARTITIONS)?,
            rebalances: metrics.counter(&REBALANCES)?,
            oldest: topics.map(|topic| (topic, AtomicI64::new(NONE))).collect(),
        };
        // All there from the start: nothing has happened yet, which is not the same as not knowing.
        for change in ["assigned", "revoked"] {
            meters.rebalances.with_label_values(&[&*meters.group, change]);
        }
        meters.retrying.with_label_values(&[&*meters.group]).set(0);
        meters.owns(0);
        let (oldest, clock) = (metrics.gauge(&OLDEST)?, edges.clock.clone());
        let told = meters.clone();
        metrics.before_exposition(move || told.tell_oldest(&oldest, clock.now()));
        Ok(meters)
    }

    /// What the worker's loop tells.
    pub(crate) fn observe(&self, event: &WorkerEvent<'_>) {
        match event {
            WorkerEvent::InFlight(hand) => {
                self.retrying
                    .with_label_values(&[&*self.group])
                    .set(level(hand.retrying()));
                for (topic, oldest) in self.oldest.iter() {
                    let made = hand.oldest_of(topic).map_or(NONE, Timestamp::as_micros);
                    oldest.store(made, Ordering::Relaxed);
                }
            }
            WorkerEvent::Assigned { owned } => self.rebalanced("assigned", *owned),
            WorkerEvent::Revoked { owned } => self.rebalanced("revoked", *owned),
            _ => {}
        }
    }

    fn rebalanced(&self, change: &str, owned: usize) {
        self.rebalances.with_label_values(&[&*self.group, change]).inc();
        self.owns(owned);
    }

    fn owns(&self, partitions: usize) {
        self.partitions
            .with_label_values(&[&*self.group])
            .set(level(partitions));
    }

    fn tell_oldest(&self, gauge: &IntGaugeVec, now: Timestamp) {
        for (topic, oldest) in self.oldest.iter() {
            let age = match oldest.load(Ordering::Relaxed) {
                NONE => 0,
                made => now.since(Timestamp::from_micros(made)).as_secs(),
            };
            gauge
                .with_label_values(&[&*self.group, topic.as_str()])
                .set(level(age));
        }
    }

    pub(crate) fn lag(&self, topic: &TopicName, records: u64) {
        self.lag
            .with_label_values(&[&*self.group, topic.as_str()])
            .set(level(records));
    }

    pub(crate) fn parked(&self, lane: &TopicName, records: usize) {
        self.parked
            .with_label_values(&[&*self.group, lane.as_str()])
            .set(level(records));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_catalogue_keeps_the_rules() {
        assert_eq!(
            runtime::metrics::catalogue_faults(super::METRICS),
            Vec::<String>::new()
        );
    }
}
