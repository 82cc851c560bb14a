use runtime::metrics::{HistogramVec, IntCounterVec, IntGaugeVec, MetricError, SECONDS};
use runtime::{MetricKind, MetricSpec, Metrics};

const RECORDS: MetricSpec = MetricSpec {
    name: "renku_view_records_total",
    kind: MetricKind::Counter,
    help: "Records read, by topic and outcome: applied, held (its facts have not come), ignored (something newer is known), left-out, tombstone.",
    labels: &["topic", "outcome"],
};

const LAG: MetricSpec = MetricSpec {
    name: "renku_view_lag_records",
    kind: MetricKind::Gauge,
    help: "Offsets between the end of the log and what the view has applied, all partitions of a topic together.",
    labels: &["topic"],
};

const CATCHING_UP: MetricSpec = MetricSpec {
    name: "renku_view_catch_up_records",
    kind: MetricKind::Gauge,
    help: "Offsets that there were to catch up with when reading began: all of the log for a view that is built anew.",
    labels: &["topic"],
};

const CATCHING_UP_LEFT: MetricSpec = MetricSpec {
    name: "renku_view_catch_up_left_records",
    kind: MetricKind::Gauge,
    help: "How many of renku_view_catch_up_records are left.",
    labels: &["topic"],
};

const COMMIT: MetricSpec = MetricSpec {
    name: "renku_view_commit_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "Time of one transaction of the view, from its begin to its being durable.",
    labels: &[],
};

const QUADS: MetricSpec = MetricSpec {
    name: "renku_view_quads",
    kind: MetricKind::Gauge,
    help: "Quads in the view.",
    labels: &[],
};

const PIECES: MetricSpec = MetricSpec {
    name: "renku_view_pieces_total",
    kind: MetricKind::Counter,
    help: "Pieces of graphs, by what was done with them: written, removed.",
    labels: &["change"],
};

const REJECTS: MetricSpec = MetricSpec {
    name: "renku_view_rejects_total",
    kind: MetricKind::Counter,
    help: "Records that cannot be applied as they are, by reason; the old graph stays.",
    labels: &["code"],
};

const HIDDEN: MetricSpec = MetricSpec {
    name: "renku_view_projects_hidden_total",
    kind: MetricKind::Counter,
    help: "Projects made invisible because their facts could not be read. Alarm on any increase.",
    labels: &[],
};

const DENIALS: MetricSpec = MetricSpec {
    name: "renku_view_denials",
    kind: MetricKind::Gauge,
    help: "Denials in force: access taken away on the word of a hook, until all projects concerned have later facts. Counted once a minute.",
    labels: &[],
};

const REBUILDS: MetricSpec = MetricSpec {
    name: "renku_view_rebuilds_total",
    kind: MetricKind::Counter,
    help: "Times that the view was emptied and built anew, by reason.",
    labels: &["reason"],
};

const BLOCKED: MetricSpec = MetricSpec {
    name: "renku_view_blocked_partitions",
    kind: MetricKind::Gauge,
    help: "Partitions that wait for a passing fault to end.",
    labels: &["topic"],
};

const QUERYABLE: MetricSpec = MetricSpec {
    name: "renku_view_push_to_queryable_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "From the begin of the look that a push asked for to its graph answering queries.",
    labels: &[],
};

/// The catalogue of this role.
pub const METRICS: &[MetricSpec] = &[
    RECORDS,
    LAG,
    CATCHING_UP,
    CATCHING_UP_LEFT,
    COMMIT,
    QUADS,
    PIECES,
    REJECTS,
    HIDDEN,
    REBUILDS,
    BLOCKED,
    DENIALS,
    QUERYABLE,
];

/// The metrics in use.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub records: IntCounterVec,
    pub lag: IntGaugeVec,
    pub catching_up: IntGaugeVec,
    pub catching_up_left: IntGaugeVec,
    pub commit: HistogramVec,
    pub quads: IntGaugeVec,
    pub pieces: IntCounterVec,
    pub rejects: IntCounterVec,
    pub hidden: IntCounterVec,
    pub rebuilds: IntCounterVec,
    pub blocked: IntGaugeVec,
    pub denials: IntGaugeVec,
    pub queryable: HistogramVec,
}

impl Counters {
    pub fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        Ok(Self {
            records: metrics.counter(&RECORDS)?,
            lag: metrics.gauge(&LAG)?,
            catching_up: metrics.gauge(&CATCHING_UP)?,
            catching_up_left: metrics.gauge(&CATCHING_UP_LEFT)?,
            commit: metrics.histogram(&COMMIT)?,
            quads: metrics.gauge(&QUADS)?,
            pieces: metrics.counter(&PIECES)?,
            rejects: metrics.counter(&REJECTS)?,
            hidden: metrics.counter(&HIDDEN)?,
            rebuilds: metrics.counter(&REBUILDS)?,
            blocked: metrics.gauge(&BLOCKED)?,
            denials: metrics.gauge(&DENIALS)?,
            queryable: metrics.histogram(&QUERYABLE)?,
        })
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
