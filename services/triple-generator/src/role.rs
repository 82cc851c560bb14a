use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bus::Bus;
use bus::worker::{Lane, Source, WorkerConfig};
use events::{COMMITS, PROJECTS};
use groups::Membership;
use runtime::{Edges, Tasks};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::ROLE;
use crate::newest::{Change, Regressions};
use crate::worker::Generator;

/// Section `[generator]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How many graphs are made at once.
    pub concurrency: usize,
    /// How much memory may be kept so that the next push is cheap, in MiB.
    pub cache_mib: usize,
    /// How long the work in hand may take to end when the process stops, in seconds.
    pub grace_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 2,
            cache_mib: 256,
            grace_seconds: 12,
        }
    }
}

/// A setting is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("generator.{key} is {value}: {needed}")]
pub struct BadSetting {
    /// The key in the section.
    pub key: &'static str,
    /// What it is.
    pub value: u64,
    /// What is needed.
    pub needed: &'static str,
}

impl Config {
    /// Checks bounds.
    pub fn check(&self) -> Result<(), BadSetting> {
        let within = |key, value: u64, low, high, needed| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(BadSetting { key, value, needed })
            }
        };
        within(
            "concurrency",
            self.concurrency as u64,
            1,
            256,
            "1 to 256 are allowed",
        )?;
        within(
            "cache_mib",
            self.cache_mib as u64,
            1,
            1 << 20,
            "1 to 1048576 are allowed",
        )?;
        within(
            "grace_seconds",
            self.grace_seconds,
            1,
            600,
            "1 to 600 are allowed",
        )
    }
}

/// Why the role cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// See [`Config::check`].
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// See [`runtime::metrics::MetricError`].
    #[error(transparent)]
    Metric(#[from] runtime::metrics::MetricError),
}

/// The role, ready to run.
pub struct TripleGenerator {
    generator: Arc<Generator>,
    changes: mpsc::UnboundedReceiver<Change>,
    membership: Membership,
    bus: Arc<dyn Bus>,
    edges: Edges,
}

impl std::fmt::Debug for TripleGenerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TripleGenerator")
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

/// Checks the settings and puts the role together. `rdf_host` is the host of every IRI that is made. Nothing is started.
pub fn build(
    config: &Config,
    rdf_host: &rdf::Host,
    bus: Arc<dyn Bus>,
    blobs: Arc<dyn Blobs>,
    edges: &Edges,
) -> Result<TripleGenerator, BuildError> {
    config.check()?;
    let (changed, changes) = mpsc::unbounded_channel();
    let generator = Generator::new(
        rdf_host.clone(),
        config.cache_mib << 20,
        bus.clone(),
        blobs,
        changed,
        edges,
    )?;
    let source = |topic| Source::new(topic, Lane::Live);
    let member = format!("{ROLE}-{:016x}", edges.randomness.bits64());
    let mut worker = WorkerConfig::new(ROLE, member, vec![source(COMMITS), source(PROJECTS)]);
    worker.concurrency = config.concurrency;
    // The newest commit answers for all that waits.
    worker.records_per_turn = usize::MAX;
    worker.grace = Duration::from_secs(config.grace_seconds);
    Ok(TripleGenerator {
        generator: Arc::new(generator),
        changes,
        membership: Membership::new(worker, bus.clone(), edges)?,
        bus,
        edges: edges.clone(),
    })
}

impl TripleGenerator {
    /// Starts the role's tasks in the group. They end on the group's stop, after the graphs in hand.
    pub fn run(self, tasks: &Tasks) {
        let regressions = Regressions {
            bus: self.bus,
            clock: self.edges.clock.clone(),
            meters: self.generator.meters().clone(),
        };
        tasks.spawn_service(
            "regressions",
            regressions.watch(self.changes, tasks.stop().clone()),
        );
        let observe = self.generator.meters().clone().observer();
        self.membership.run(self.generator, observe, tasks);
    }
}
