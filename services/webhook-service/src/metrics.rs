use runtime::metrics::{HistogramVec, IntCounterVec, MetricError, SECONDS};
use runtime::{MetricKind, MetricSpec, Metrics};

const HOOKS: MetricSpec = MetricSpec {
    name: "renku_webhook_hooks_total",
    kind: MetricKind::Counter,
    help: "Hooks received, by kind (push, tag_push, system, other) and by what became of them.",
    labels: &["kind", "outcome"],
};

const ACCEPTED_SECONDS: MetricSpec = MetricSpec {
    name: "renku_webhook_accept_seconds",
    kind: MetricKind::Histogram(SECONDS),
    help: "From a hook's body being read to its record being durable.",
    labels: &[],
};

/// The catalogue of this role.
pub const METRICS: &[MetricSpec] = &[HOOKS, ACCEPTED_SECONDS];

/// The metrics in use.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub hooks: IntCounterVec,
    pub accepted_seconds: HistogramVec,
}

impl Counters {
    pub fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        Ok(Self {
            hooks: metrics.counter(&HOOKS)?,
            accepted_seconds: metrics.histogram(&ACCEPTED_SECONDS)?,
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
