//! Metrics from a catalogue: each role declares its metrics once, as [`MetricSpec`]s; names, help and labels in the
//! exposition and in `docs/metrics.md` both come from there.
//!
//! Rules: names start with `renku_` (or `process_`, for what every Prometheus client tells), seconds and bytes are the
//! units, counters end in `_total`, labels have few values and never a slug, a name or a token. Counters and histograms
//! without labels are there from the start, as 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::Collector;
pub use prometheus::{CounterVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

/// One metric of a role.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// `renku_…`.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// One sentence for operators.
    pub help: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution with these upper bounds.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// The word for documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A count as a gauge takes it; one that is too large for that is the largest.
pub fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Bounds for durations in seconds, 0.5 ms to a minute.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Bounds for sizes in bytes, 256 B to 256 MiB.
pub const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
];

/// A metric cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// A spec is malformed, or the name is taken by another kind or other labels.
    #[error("metric {name} cannot be registered")]
    Refused {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: prometheus::Error,
    },
    /// A spec was used as something else.
    #[error("metric {name} is declared as {declared}, not as {wanted}")]
    WrongKind {
        /// Its name.
        name: &'static str,
        /// What the spec says.
        declared: &'static str,
        /// What the code wanted.
        wanted: &'static str,
    },
}

/// A process's metrics. Clones are the same; registering a spec again gives the same metric.
#[derive(Clone, Default)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    registry: Registry,
    known: Mutex<BTreeMap<&'static str, Known>>,
    /// Run before each exposition.
    settings: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Clone)]
enum Known {
    Counter(IntCounterVec),
    Fractions(CounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.shared.known.lock().keys()).finish()
    }
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of the spec, by label values.
    pub fn counter(&self, spec: &MetricSpec) -> Result<IntCounterVec, MetricError> {
        match self.register(spec)? {
            Known::Counter(counter) => Ok(counter),
            _ => Err(wrong_kind(spec, "counter")),
        }
    }

    /// The counter of the spec, by label values, when it does not count whole things.
    pub fn fraction_counter(&self, spec: &MetricSpec) -> Result<CounterVec, MetricError> {
        let of_spec = || CounterVec::new(Opts::new(spec.name, spec.help), spec.labels);
        match self.register_as(spec, |_| of_spec().map(Known::Fractions))? {
            Known::Fractions(counter) => Ok(counter),
            _ => Err(wrong_kind(spec, "counter")),
        }
    }

    /// The gauge of the spec, by label values.
    pub fn gauge(&self, spec: &MetricSpec) -> Result<IntGaugeVec, MetricError> {
        match self.register(spec)? {
            Known::Gauge(gauge) => Ok(gauge),
            _ => Err(wrong_kind(spec, "gauge")),
        }
    }

    /// The histogram of the spec, by label values.
    pub fn histogram(&self, spec: &MetricSpec) -> Result<HistogramVec, MetricError> {
        match self.register(spec)? {
            Known::Histogram(histogram) => Ok(histogram),
            _ => Err(wrong_kind(spec, "histogram")),
        }
    }

    fn register(&self, spec: &MetricSpec) -> Result<Known, MetricError> {
        self.register_as(spec, Known::of)
    }

    fn register_as(
        &self,
        spec: &MetricSpec,
        make: impl FnOnce(&MetricSpec) -> Result<Known, prometheus::Error>,
    ) -> Result<Known, MetricError> {
        let mut known = self.shared.known.lock();
        if let Some(metric) = known.get(spec.name) {
            return Ok(metric.clone());
        }
        let refused = |source| MetricError::Refused {
            name: spec.name,
            source,
        };
        let metric = make(spec).map_err(refused)?;
        let registered = self.shared.registry.register(metric.collector());
        registered.map_err(refused)?;
        if spec.labels.is_empty() {
            metric.appear();
        }
        known.insert(spec.name, metric.clone());
        Ok(metric)
    }

    /// Has `set` run before each exposition: for gauges that are looked up rather than kept. It must be quick, and must not
    /// hold these metrics, which hold it.
    pub fn before_exposition(&self, set: impl Fn() + Send + Sync + 'static) {
        self.shared.settings.lock().push(Box::new(set));
    }

    /// The exposition in Prometheus's text format.
    pub fn exposition(&self) -> Result<String, prometheus::Error> {
        // Under the lock, so that no two of them run at once.
        self.shared.settings.lock().iter().for_each(|set| set());
        TextEncoder::new().encode_to_string(&self.shared.registry.gather())
    }
}

impl Known {
    fn of(spec: &MetricSpec) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(spec.name, spec.help);
        match spec.kind {
            MetricKind::Counter => IntCounterVec::new(opts, spec.labels).map(Self::Counter),
            MetricKind::Gauge => IntGaugeVec::new(opts, spec.labels).map(Self::Gauge),
            MetricKind::Histogram(buckets) => {
                let opts = HistogramOpts::new(spec.name, spec.help).buckets(buckets.to_vec());
                HistogramVec::new(opts, spec.labels).map(Self::Histogram)
            }
        }
    }

    fn collector(&self) -> Box<dyn Collector> {
        match self {
            Self::Counter(counter) => Box::new(counter.clone()),
            Self::Fractions(counter) => Box::new(counter.clone()),
            Self::Gauge(gauge) => Box::new(gauge.clone()),
            Self::Histogram(histogram) => Box::new(histogram.clone()),
        }
    }

    /// Makes the one series of a metric without labels, but for a gauge: nobody knows yet what it stands at.
    fn appear(&self) {
        match self {
            Self::Counter(counter) => drop(counter.with_label_values::<&str>(&[])),
            Self::Fractions(counter) => drop(counter.with_label_values::<&str>(&[])),
            Self::Histogram(histogram) => drop(histogram.with_label_values::<&str>(&[])),
            Self::Gauge(_) => {}
        }
    }
}

fn wrong_kind(spec: &MetricSpec, wanted: &'static str) -> MetricError {
    MetricError::WrongKind {
        name: spec.name,
        declared: spec.kind.as_str(),
        wanted,
    }
}

/// The catalogue as a Markdown table, sorted by name: what `docs/metrics.md` holds for a role.
pub fn markdown(specs: &[MetricSpec]) -> String {
    let mut sorted: Vec<_> = specs.iter().collect();
    sorted.sort_by_key(|spec| spec.name);
    let mut out = String::from("| name | kind | labels | meaning |\n|---|---|---|---|\n");
    for spec in sorted {
        let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = spec.kind.as_str();
        out.push_str(&format!(
            "| `{}` | {kind} | {} | {} |\n",
            spec.name,
            labels.join(", "),
            spec.help
        ));
    }
    out
}

/// What is wrong with a catalogue by the rules above; a role's test asserts that nothing is.
pub fn catalogue_faults(specs: &[MetricSpec]) -> Vec<String> {
    const FORBIDDEN: &[&str] = &["slug", "name", "token", "user", "path", "sha", "project"];
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for spec in specs {
        let counts = matches!(spec.kind, MetricKind::Counter);
        if !["renku_", "process_"]
            .iter()
            .any(|prefix| spec.name.starts_with(prefix))
        {
            faults.push(format!("{} does not start with renku_", spec.name));
        }
        if counts != spec.name.ends_with("_total") {
            faults.push(format!("{}: counters, and only they, end in _total", spec.name));
        }
        if matches!(spec.kind, MetricKind::Histogram(_))
            && !["_seconds", "_bytes", "_count"]
                .iter()
                .any(|unit| spec.name.ends_with(unit))
        {
            faults.push(format!("{}: a histogram's name ends with its unit", spec.name));
        }
        if !seen.insert(spec.name) {
            faults.push(format!("{} is declared twice", spec.name));
        }
        for label in spec.labels.iter().filter(|label| FORBIDDEN.contains(label)) {
            faults.push(format!(
                "{}: the label {label} has too many values or tells too much",
                spec.name
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOKS: MetricSpec = MetricSpec {
        name: "renku_test_hooks_total",
        kind: MetricKind::Counter,
        help: "Hooks by outcome.",
        labels: &["outcome"],
    };

    #[test]
    fn a_spec_is_registered_once() {
        let metrics = Metrics::new();
        metrics.counter(&HOOKS).unwrap().with_label_values(&["ok"]).inc();
        metrics.counter(&HOOKS).unwrap().with_label_values(&["ok"]).inc();
        let text = metrics.exposition().unwrap();
        assert!(text.contains("# HELP renku_test_hooks_total Hooks by outcome."));
        assert!(text.contains("renku_test_hooks_total{outcome=\"ok\"} 2"));
        assert!(metrics.gauge(&HOOKS).is_err());
        assert!(
            markdown(&[HOOKS])
                .contains("| `renku_test_hooks_total` | counter | `outcome` | Hooks by outcome. |")
        );
    }

    #[test]
    fn what_has_no_labels_is_there_from_the_start() {
        let metrics = Metrics::new();
        let bare = |name, kind| MetricSpec {
            name,
            kind,
            help: "x",
            labels: &[],
        };
        metrics
            .counter(&bare("renku_a_total", MetricKind::Counter))
            .unwrap();
        metrics
            .histogram(&bare("renku_b_seconds", MetricKind::Histogram(SECONDS)))
            .unwrap();
        let gauge = metrics.gauge(&bare("renku_c", MetricKind::Gauge)).unwrap();
        let text = metrics.exposition().unwrap();
        assert!(text.contains("renku_a_total 0") && text.contains("renku_b_seconds_count 0"));
        assert!(!text.contains("renku_c"));
        metrics.before_exposition(move || gauge.with_label_values::<&str>(&[]).set(7));
        assert!(metrics.exposition().unwrap().contains("renku_c 7"));
    }

    #[test]
    fn the_rules_are_checked() {
        assert_eq!(catalogue_faults(&[HOOKS]), Vec::<String>::new());
        let bad = MetricSpec {
            name: "hooks_seconds",
            kind: MetricKind::Counter,
            help: "",
            labels: &["slug"],
        };
        assert_eq!(catalogue_faults(&[bad, bad]).len(), 7);
    }
}
