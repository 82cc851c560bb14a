use std::time::Duration;

use bus::worker::WorkerEvent;
use runtime::metrics::{
    BYTES, HistogramVec, IntCounterVec, IntGaugeVec, MetricError, MetricKind, MetricSpec, Metrics, SECONDS,
    level,
};

const GRAPHS: MetricSpec = MetricSpec {
    name: "renku_generator_graphs_total",
    kind: MetricKind::Counter,
    help: "Commits handled, by how they ended: graph, unchanged, gone, older, or the code of a rejection.",
    labels: &["how"],
};
const STEP_SECONDS: MetricSpec = MetricSpec {
    name: "renku_generator_step_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "How long the steps took: read (files from the blob store), make (pieces), blobs (claim check), log (append).",
    labels: &["step"],
};
const PIECES: MetricSpec = MetricSpec {
    name: "renku_generator_pieces_total",
    kind: MetricKind::Counter,
    help: "Pieces that were made new or changed.",
    labels: &[],
};
const WARNINGS: MetricSpec = MetricSpec {
    name: "renku_generator_warnings_total",
    kind: MetricKind::Counter,
    help: "Triples left out of graphs, for example because an IRI was none.",
    labels: &[],
};
const STORED_BYTES: MetricSpec = MetricSpec {
    name: "renku_generator_stored_bytes",
    kind: MetricKind::Histogram(BYTES),
    help: "Bytes that one graph newly put into the blob store.",
    labels: &[],
};
const RETRIES: MetricSpec = MetricSpec {
    name: "renku_generator_retries_total",
    kind: MetricKind::Counter,
    help: "Commits that will be tried again, by who has to get well first.",
    labels: &["owner"],
};
const PARKED: MetricSpec = MetricSpec {
    name: "renku_generator_parked_total",
    kind: MetricKind::Counter,
    help: "Commits parked, by code.",
    labels: &["code"],
};
const IN_FLIGHT: MetricSpec = MetricSpec {
    name: "renku_generator_in_flight",
    kind: MetricKind::Gauge,
    help: "Records that wait in this process or are worked on.",
    labels: &[],
};
const REGRESSIONS: MetricSpec = MetricSpec {
    name: "renku_generator_regressions_total",
    kind: MetricKind::Counter,
    help: "Times that the output fell behind: a process wrote that had lost its partition. The project is looked at again.",
    labels: &[],
};
const LOST: MetricSpec = MetricSpec {
    name: "renku_generator_lost_ranges_total",
    kind: MetricKind::Counter,
    help: "Times that retention had taken commits before they were read. Look at all projects again.",
    labels: &[],
};

/// The role's catalogue.
pub const METRICS: &[MetricSpec] = &[
    GRAPHS,
    STEP_SECONDS,
    PIECES,
    WARNINGS,
    STORED_BYTES,
    RETRIES,
    PARKED,
    IN_FLIGHT,
    REGRESSIONS,
    LOST,
];

/// The registered metrics.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    graphs: IntCounterVec,
    step_seconds: HistogramVec,
    pieces: IntCounterVec,
    warnings: IntCounterVec,
    stored_bytes: HistogramVec,
    retries: IntCounterVec,
    parked: IntCounterVec,
    in_flight: IntGaugeVec,
    regressions: IntCounterVec,
    lost: IntCounterVec,
}

impl Meters {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        Ok(Self {
            graphs: metrics.counter(&GRAPHS)?,
            step_seconds: metrics.histogram(&STEP_SECONDS)?,
            pieces: metrics.counter(&PIECES)?,
            warnings: metrics.counter(&WARNINGS)?,
            stored_bytes: metrics.histogram(&STORED_BYTES)?,
            retries: metrics.counter(&RETRIES)?,
            parked: metrics.counter(&PARKED)?,
            in_flight: metrics.gauge(&IN_FLIGHT)?,
            regressions: metrics.counter(&REGRESSIONS)?,
            lost: metrics.counter(&LOST)?,
        })
    }

    pub(crate) fn ended(&self, how: &str) {
        self.graphs.with_label_values(&[how]).inc();
    }

    pub(crate) fn step(&self, step: &str, took: Duration) {
        self.step_seconds
            .with_label_values(&[step])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn made(&self, pieces: usize, warnings: usize) {
        self.pieces.with_label_values::<&str>(&[]).inc_by(pieces as u64);
        self.warnings
            .with_label_values::<&str>(&[])
            .inc_by(warnings as u64);
    }

    pub(crate) fn stored(&self, bytes: usize) {
        self.stored_bytes
            .with_label_values::<&str>(&[])
            .observe(bytes as f64);
    }

    pub(crate) fn regressed(&self) {
        self.regressions.with_label_values::<&str>(&[]).inc();
    }

    /// Counts what the worker loop tells.
    pub(crate) fn observer(self) -> impl Fn(WorkerEvent<'_>) + Send + Sync + 'static {
        move |event| match event {
            WorkerEvent::Retried {
                owner,
                attempt,
                after,
                in_lane,
                why,
                ..
            } => {
                self.retries.with_label_values(&[owner.as_str()]).inc();
                tracing::warn!(attempt, after_ms = after.as_millis() as u64, owner = %owner, in_lane, why, "a graph was not made, will retry");
            }
            WorkerEvent::Parked { key, reason, records } => {
                self.parked
                    .with_label_values(&[reason.code])
                    .inc_by(records as u64);
                let project = String::from_utf8_lossy(key);
                tracing::warn!(project.id = %project, code = reason.code, reason = %reason.message, "a commit was parked");
            }
            WorkerEvent::InFlight(hand) => {
                self.in_flight
                    .with_label_values::<&str>(&[])
                    .set(level(hand.records()));
            }
            WorkerEvent::Lost(assignment) => {
                self.lost.with_label_values::<&str>(&[]).inc();
                tracing::error!(position = %assignment.position, "retention has taken commits that were not read: look at all projects again");
            }
            _ => {}
        }
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
