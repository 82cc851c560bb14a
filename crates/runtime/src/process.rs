//! What every process tells of itself: is each of its roles ready, and what it takes of the machine, under the names
//! that every Prometheus client has for that.

use crate::edges::Edges;
use crate::metrics::{CounterVec, IntGaugeVec, MetricError, MetricKind, MetricSpec, level};

const READY: MetricSpec = MetricSpec {
    name: "renku_ready",
    kind: MetricKind::Gauge,
    help: "Is the role ready (1) or not (0)? `/health/ready` says why not.",
    labels: &["role"],
};

const CPU: MetricSpec = MetricSpec {
    name: "process_cpu_seconds_total",
    kind: MetricKind::Counter,
    help: "Time that the processors have worked for this process, in seconds.",
    labels: &[],
};

const RESIDENT: MetricSpec = gauge(
    "process_resident_memory_bytes",
    "Memory that the process holds, pages of mapped files that it shares with the system's cache included.",
);
const ANONYMOUS: MetricSpec = gauge(
    "renku_process_own_memory_bytes",
    "Memory that the process holds and that no file backs: what counts against a limit.",
);
const OPEN_FILES: MetricSpec = gauge("process_open_fds", "Open files and sockets.");
const MOST_FILES: MetricSpec = gauge("process_max_fds", "How many it may have.");
const THREADS: MetricSpec = gauge("process_threads", "Threads.");
const STARTED: MetricSpec = gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
);

/// The catalogue.
pub const METRICS: &[MetricSpec] = &[
    READY, CPU, RESIDENT, ANONYMOUS, OPEN_FILES, MOST_FILES, THREADS, STARTED,
];

const fn gauge(name: &'static str, help: &'static str) -> MetricSpec {
    MetricSpec {
        name,
        kind: MetricKind::Gauge,
        help,
        labels: &[],
    }
}

/// Tells these from now on. What the system does not say stays away.
pub fn watch(edges: &Edges) -> Result<(), MetricError> {
    let metrics = &edges.metrics;
    let started = metrics.gauge(&STARTED)?;
    let now = edges.clock.now().micros_since_epoch() / 1_000_000;
    set(&started, Some(now));

    let (ready, health) = (metrics.gauge(&READY)?, edges.health.clone());
    metrics.before_exposition(move || {
        for (role, is_ready) in health.components() {
            ready.with_label_values(&[&role]).set(i64::from(is_ready));
        }
    });

    let cpu = metrics.fraction_counter(&CPU)?;
    let gauges = [&RESIDENT, &ANONYMOUS, &OPEN_FILES, &MOST_FILES, &THREADS];
    let [resident, anonymous, open, most, threads] = gauges.map(|spec| metrics.gauge(spec));
    let (resident, anonymous, open, most, threads) = (resident?, anonymous?, open?, most?, threads?);
    metrics.before_exposition(move || {
        worked(&cpu);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        set(&resident, field(&status, "VmRSS:").map(|kib| kib * 1_024));
        set(&anonymous, field(&status, "RssAnon:").map(|kib| kib * 1_024));
        set(&threads, field(&status, "Threads:"));
        set(&open, open_files());
        set(
            &most,
            rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        );
    });
    Ok(())
}

fn set(gauge: &IntGaugeVec, value: Option<u64>) {
    if let Some(value) = value {
        gauge.with_label_values::<&str>(&[]).set(level(value));
    }
}

/// A counter that is looked up: it is raised by what came since.
fn worked(cpu: &CounterVec) {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let counter = cpu.with_label_values::<&str>(&[]);
    let more = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 - counter.get();
    if more > 0.0 {
        counter.inc_by(more);
    }
}

/// A number of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The list itself is one while it is read.
    u64::try_from(listed).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_of_itself() {
        let edges = Edges::system();
        watch(&edges).unwrap();
        let (bus, view) = (edges.health.component("bus"), edges.health.component("view"));
        bus.ready();
        view.not_ready("catching up");
        let text = edges.metrics.exposition().unwrap();
        for line in ["renku_ready{role=\"bus\"} 1", "renku_ready{role=\"view\"} 0"] {
            assert!(text.contains(line), "{text}");
        }
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} is missing: {text}"))
                .rsplit(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("renku_process_own_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 1.0 && value("process_max_fds") >= 1.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
        edges.health.stopping();
        let text = edges.metrics.exposition().unwrap();
        assert!(text.contains("renku_ready{role=\"bus\"} 0"), "{text}");
    }

    #[test]
    fn the_catalogue_keeps_the_rules() {
        let all: Vec<_> = METRICS.iter().chain(crate::disk::METRICS).copied().collect();
        assert_eq!(crate::metrics::catalogue_faults(&all), Vec::<String>::new());
    }
}
