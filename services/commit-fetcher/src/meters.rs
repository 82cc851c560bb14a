use std::time::Duration;

use bus::worker::WorkerEvent;
use runtime::metrics::{
    BYTES, HistogramVec, IntCounterVec, IntGaugeVec, MetricError, MetricKind, MetricSpec, Metrics, SECONDS,
    level,
};

use crate::own_output::is_output;

const LOOKS: MetricSpec = MetricSpec {
    name: "renku_fetcher_looks_total",
    kind: MetricKind::Counter,
    help: "Looks at projects, by how they ended: content, nothing-new, nothing-to-read, gone, rejected, or the code of a failure that is tried again.",
    labels: &["how"],
};
const LOOK_SECONDS: MetricSpec = MetricSpec {
    name: "renku_fetcher_look_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "How long looks took, from taking the generation until all is written.",
    labels: &["how"],
};
const STEP_SECONDS: MetricSpec = MetricSpec {
    name: "renku_fetcher_step_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "How long the steps of looks took: facts (GitLab's API), fetch (git), blobs (claim check), log (append).",
    labels: &["step"],
};
const EVENTS: MetricSpec = MetricSpec {
    name: "renku_fetcher_events_total",
    kind: MetricKind::Counter,
    help: "Push events answered for, by lane; several of one project are answered by one look.",
    labels: &["lane"],
};
const UNREADABLE: MetricSpec = MetricSpec {
    name: "renku_fetcher_unreadable_events_total",
    kind: MetricKind::Counter,
    help: "Push events that could not be decoded; their project was looked at all the same.",
    labels: &[],
};
const DOUBTED: MetricSpec = MetricSpec {
    name: "renku_fetcher_foreign_records_total",
    kind: MetricKind::Counter,
    help: "Records of facts or commits that another process wrote: one that had lost its partition, or the one before this at its end. The project is looked at again.",
    labels: &[],
};
const RETRIES: MetricSpec = MetricSpec {
    name: "renku_fetcher_retries_total",
    kind: MetricKind::Counter,
    help: "Looks that will be tried again, by who has to get well first.",
    labels: &["owner"],
};
const PARKED: MetricSpec = MetricSpec {
    name: "renku_fetcher_parked_total",
    kind: MetricKind::Counter,
    help: "Push events parked, by code.",
    labels: &["code"],
};
const IN_FLIGHT: MetricSpec = MetricSpec {
    name: "renku_fetcher_in_flight",
    kind: MetricKind::Gauge,
    help: "Records in hand: push events that wait in this process or are worked on, and the role's own output while it is read back.",
    labels: &[],
};
const PROJECTS: MetricSpec = MetricSpec {
    name: "renku_fetcher_known_projects",
    kind: MetricKind::Gauge,
    help: "Projects whose facts are remembered.",
    labels: &[],
};
const FETCHED_BYTES: MetricSpec = MetricSpec {
    name: "renku_fetcher_fetched_bytes",
    kind: MetricKind::Histogram(BYTES),
    help: "Bytes that one fetch brought over the network.",
    labels: &[],
};
const STORED_BLOBS: MetricSpec = MetricSpec {
    name: "renku_fetcher_stored_blobs_total",
    kind: MetricKind::Counter,
    help: "Values newly put into the blob store.",
    labels: &[],
};
const STORED_BYTES: MetricSpec = MetricSpec {
    name: "renku_fetcher_stored_bytes_total",
    kind: MetricKind::Counter,
    help: "Bytes newly put into the blob store.",
    labels: &[],
};
const LOST: MetricSpec = MetricSpec {
    name: "renku_fetcher_lost_ranges_total",
    kind: MetricKind::Counter,
    help: "Times that retention had taken push events before they were read. Look at all projects again.",
    labels: &[],
};

/// The role's catalogue.
pub const METRICS: &[MetricSpec] = &[
    LOOKS,
    LOOK_SECONDS,
    STEP_SECONDS,
    EVENTS,
    UNREADABLE,
    DOUBTED,
    RETRIES,
    PARKED,
    IN_FLIGHT,
    PROJECTS,
    FETCHED_BYTES,
    STORED_BLOBS,
    STORED_BYTES,
    LOST,
];

/// The registered metrics.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    looks: IntCounterVec,
    look_seconds: HistogramVec,
    step_seconds: HistogramVec,
    events: IntCounterVec,
    unreadable: IntCounterVec,
    doubted: IntCounterVec,
    retries: IntCounterVec,
    parked: IntCounterVec,
    in_flight: IntGaugeVec,
    projects: IntGaugeVec,
    fetched_bytes: HistogramVec,
    stored_blobs: IntCounterVec,
    stored_bytes: IntCounterVec,
    lost: IntCounterVec,
}

impl Meters {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        Ok(Self {
            looks: metrics.counter(&LOOKS)?,
            look_seconds: metrics.histogram(&LOOK_SECONDS)?,
            step_seconds: metrics.histogram(&STEP_SECONDS)?,
            events: metrics.counter(&EVENTS)?,
            unreadable: metrics.counter(&UNREADABLE)?,
            doubted: metrics.counter(&DOUBTED)?,
            retries: metrics.counter(&RETRIES)?,
            parked: metrics.counter(&PARKED)?,
            in_flight: metrics.gauge(&IN_FLIGHT)?,
            projects: metrics.gauge(&PROJECTS)?,
            fetched_bytes: metrics.histogram(&FETCHED_BYTES)?,
            stored_blobs: metrics.counter(&STORED_BLOBS)?,
            stored_bytes: metrics.counter(&STORED_BYTES)?,
            lost: metrics.counter(&LOST)?,
        })
    }

    pub(crate) fn looked(&self, how: &str, took: Duration) {
        self.looks.with_label_values(&[how]).inc();
        self.look_seconds
            .with_label_values(&[how])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn step(&self, step: &str, took: Duration) {
        self.step_seconds
            .with_label_values(&[step])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn events(&self, live: usize, backfill: usize, unreadable: usize) {
        for (lane, count) in [("live", live), ("backfill", backfill)] {
            if count > 0 {
                self.events.with_label_values(&[lane]).inc_by(count as u64);
            }
        }
        if unreadable > 0 {
            self.unreadable
                .with_label_values::<&str>(&[])
                .inc_by(unreadable as u64);
        }
    }

    pub(crate) fn doubted(&self) {
        self.doubted.with_label_values::<&str>(&[]).inc();
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.fetched_bytes
            .with_label_values::<&str>(&[])
            .observe(bytes as f64);
    }

    pub(crate) fn stored(&self, (values, bytes): (usize, u64)) {
        self.stored_blobs
            .with_label_values::<&str>(&[])
            .inc_by(values as u64);
        self.stored_bytes.with_label_values::<&str>(&[]).inc_by(bytes);
    }

    pub(crate) fn known_projects(&self, count: usize) {
        self.projects.with_label_values::<&str>(&[]).set(level(count));
    }

    /// What the worker loop tells: counted, and logged where an operator should see it.
    pub(crate) fn observer(self) -> impl Fn(WorkerEvent<'_>) + Send + Sync + 'static {
        move |event| match event {
            WorkerEvent::Retried {
                key,
                owner,
                attempt,
                after,
                in_lane,
                why,
            } => {
                self.retries.with_label_values(&[owner.as_str()]).inc();
                tracing::warn!(
                    project.id = %String::from_utf8_lossy(key),
                    %owner,
                    attempt,
                    delay_ms = after.as_millis() as u64,
                    in_lane,
                    why,
                    "look failed, will be tried again"
                );
            }
            WorkerEvent::Parked { key, reason, records } => {
                self.parked
                    .with_label_values(&[reason.code])
                    .inc_by(records as u64);
                tracing::warn!(
                    project.id = %String::from_utf8_lossy(&key[..key.len().min(40)]),
                    records,
                    %reason,
                    "push events parked"
                );
            }
            WorkerEvent::InFlight(hand) => {
                self.in_flight
                    .with_label_values::<&str>(&[])
                    .set(level(hand.records()));
            }
            // What was lost of the output is triple-generator's to miss.
            WorkerEvent::Lost(assignment) if !is_output(&assignment.position.topic) => {
                self.lost.with_label_values::<&str>(&[]).inc();
                tracing::error!(
                    position = %assignment.position,
                    from = assignment.lost_from.map(|offset| offset.get()),
                    "push events were deleted before they were read, look at all projects again"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_keeps_the_rules() {
        assert_eq!(runtime::metrics::catalogue_faults(METRICS), Vec::<String>::new());
        Meters::register(&Metrics::new()).unwrap();
    }
}
