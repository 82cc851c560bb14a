use runtime::metrics::{HistogramVec, IntCounterVec, IntGaugeVec, MetricError, SECONDS, level};
use runtime::{MetricKind, MetricSpec, Metrics};

const QUERIES: MetricSpec = MetricSpec {
    name: "renku_query_sparql_total",
    kind: MetricKind::Counter,
    help: "SPARQL queries, by form and by what became of them: answered, refused, limited, busy, gone (the client), failed.",
    labels: &["form", "outcome"],
};

const SPARQL_SECONDS: MetricSpec = MetricSpec {
    name: "renku_query_sparql_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "From a query's turn to its answer being written.",
    labels: &["form"],
};

const RUNNING: MetricSpec = MetricSpec {
    name: "renku_query_running",
    kind: MetricKind::Gauge,
    help: "Queries being evaluated.",
    labels: &[],
};

const HEAP: MetricSpec = MetricSpec {
    name: "renku_query_heap_bytes",
    kind: MetricKind::Gauge,
    help: "Memory that the queries being evaluated have taken together, to a MiB each; `limits.queries` times `limits.query_memory_mib` at most.",
    labels: &[],
};

const READS: MetricSpec = MetricSpec {
    name: "renku_query_reads_total",
    kind: MetricKind::Counter,
    help: "Other reads, by route and HTTP status.",
    labels: &["route", "status"],
};

const WAITS: MetricSpec = MetricSpec {
    name: "renku_query_position_wait_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "Waits for the views to cover a Renku-Position, by outcome: covered, deadline.",
    labels: &["outcome"],
};

const CALLERS: MetricSpec = MetricSpec {
    name: "renku_auth_requests_total",
    kind: MetricKind::Counter,
    help: "Requests by the kind of their credentials and what came of them: ok, stale (an old answer, because GitLab is down), wrong, unavailable.",
    labels: &["kind", "outcome"],
};

const GITLAB_QUESTIONS: MetricSpec = MetricSpec {
    name: "renku_auth_gitlab_questions_total",
    kind: MetricKind::Counter,
    help: "How often GitLab was asked whose a token is.",
    labels: &[],
};

const WITHHELD: MetricSpec = MetricSpec {
    name: "renku_query_withheld_total",
    kind: MetricKind::Counter,
    help: "Answers that the guard withheld because they were made from what the caller may not see. Must stay 0.",
    labels: &[],
};

const CANARY_SEEN: MetricSpec = MetricSpec {
    name: "renku_canary_seen_total",
    kind: MetricKind::Counter,
    help: "Answers in which somebody was shown the canary, a private project of nobody, or would have been without the guard. Must stay 0.",
    labels: &[],
};

const CANARY_PROVED: MetricSpec = MetricSpec {
    name: "renku_canary_proved",
    kind: MetricKind::Gauge,
    help: "1 if the canary's prober saw it in its last round, so that others who see it would be noticed.",
    labels: &[],
};

/// The catalogue of this role.
pub const METRICS: &[MetricSpec] = &[
    QUERIES,
    SPARQL_SECONDS,
    RUNNING,
    HEAP,
    READS,
    WAITS,
    CALLERS,
    GITLAB_QUESTIONS,
    WITHHELD,
    CANARY_SEEN,
    CANARY_PROVED,
];

/// The metrics in use.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub queries: IntCounterVec,
    pub seconds: HistogramVec,
    pub running: IntGaugeVec,
    pub reads: IntCounterVec,
    pub waits: HistogramVec,
    pub callers: IntCounterVec,
    pub gitlab_questions: IntCounterVec,
    pub withheld: IntCounterVec,
    pub canary_seen: IntCounterVec,
    pub canary_proved: IntGaugeVec,
}

impl Counters {
    pub fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let heap = metrics.gauge(&HEAP)?.with_label_values::<&str>(&[]);
        metrics.before_exposition(move || {
            heap.set(level(store::query_heap_bytes()));
        });
        Ok(Self {
            queries: metrics.counter(&QUERIES)?,
            seconds: metrics.histogram(&SPARQL_SECONDS)?,
            running: metrics.gauge(&RUNNING)?,
            reads: metrics.counter(&READS)?,
            waits: metrics.histogram(&WAITS)?,
            callers: metrics.counter(&CALLERS)?,
            gitlab_questions: metrics.counter(&GITLAB_QUESTIONS)?,
            withheld: metrics.counter(&WITHHELD)?,
            canary_seen: metrics.counter(&CANARY_SEEN)?,
            canary_proved: metrics.gauge(&CANARY_PROVED)?,
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
