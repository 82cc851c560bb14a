use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use bus::worker::{Lane, Source, WorkerConfig};
use events::{COMMITS, PROJECTS, PUSH_EVENTS, PUSH_EVENTS_BACKFILL};
use groups::Membership;
use runtime::{Edges, Tasks};
use serde::{Deserialize, Serialize};

use crate::denials::Denials;
use crate::look::Patience;
use crate::worker::{Fetcher, ROLE, Sources};

/// Section `[fetcher]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How many projects are looked at at once.
    pub concurrency: usize,
    /// The first wait after GitLab was down, in milliseconds; it doubles each time.
    pub retry_first_ms: u64,
    /// The longest of these waits, in seconds.
    pub retry_most_seconds: u64,
    /// The first wait after GitLab refused the token, in milliseconds; it doubles each time.
    pub refused_first_ms: u64,
    /// The longest of these waits, in seconds.
    pub refused_most_seconds: u64,
    /// Push events that could not be answered for this long are parked, in hours. Below the seven days that their
    /// topic keeps them.
    pub give_up_hours: u64,
    /// How many sections of metadata lists are remembered.
    pub cached_sections: usize,
    /// How long looks may take to end when the process stops, in seconds.
    pub grace_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 8,
            retry_first_ms: 500,
            retry_most_seconds: 60,
            refused_first_ms: 15_000,
            refused_most_seconds: 300,
            give_up_hours: 72,
            cached_sections: 50_000,
            grace_seconds: 12,
        }
    }
}

/// A setting is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fetcher.{key} is {value}: {needed}")]
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
            "retry_first_ms",
            self.retry_first_ms,
            1,
            60_000,
            "1 to 60000 are allowed",
        )?;
        within(
            "retry_most_seconds",
            self.retry_most_seconds,
            1,
            3_600,
            "1 to 3600 are allowed",
        )?;
        within(
            "refused_first_ms",
            self.refused_first_ms,
            1,
            3_600_000,
            "1 to 3600000 are allowed",
        )?;
        within(
            "refused_most_seconds",
            self.refused_most_seconds,
            1,
            3_600,
            "1 to 3600 are allowed",
        )?;
        within(
            "give_up_hours",
            self.give_up_hours,
            1,
            144,
            "1 to 144 are allowed, events are kept for 168 hours",
        )?;
        within(
            "cached_sections",
            self.cached_sections as u64,
            1,
            10_000_000,
            "1 to 10000000 are allowed",
        )?;
        within(
            "grace_seconds",
            self.grace_seconds,
            1,
            600,
            "1 to 600 are allowed",
        )
    }

    fn worker(&self, member: String) -> WorkerConfig {
        // What somebody else wrote there is answered by a look; there is nothing to send again.
        let output = |topic| Source {
            parked: None,
            retry: None,
            topic,
            lane: Lane::Live,
        };
        let sources = vec![
            Source::new(PUSH_EVENTS, Lane::Live),
            Source::new(PUSH_EVENTS_BACKFILL, Lane::Backfill),
            output(PROJECTS),
            output(COMMITS),
        ];
        let mut worker = WorkerConfig::new(ROLE, member, sources);
        worker.concurrency = self.concurrency;
        // One look answers for all that waits.
        worker.records_per_turn = usize::MAX;
        // Events of projects that wait for GitLab are in hand too, and must not hold up the others.
        worker.in_flight_records = 50_000;
        worker.in_flight_bytes = 32 << 20;
        worker.backoff.first = Duration::from_millis(self.retry_first_ms);
        worker.backoff.most = Duration::from_secs(self.retry_most_seconds);
        worker.grace = Duration::from_secs(self.grace_seconds);
        worker
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
pub struct CommitFetcher {
    fetcher: Arc<Fetcher>,
    membership: Membership,
    denials: (Arc<dyn Bus>, Edges),
}

/// Checks the settings and puts the role together. Nothing is started and nothing is asked.
pub fn build(config: &Config, sources: Sources, edges: &Edges) -> Result<CommitFetcher, BuildError> {
    config.check()?;
    let patience = Patience {
        give_up_after: Duration::from_secs(config.give_up_hours * 3_600),
        refused_first: Duration::from_millis(config.refused_first_ms),
        refused_most: Duration::from_secs(config.refused_most_seconds),
    };
    let cached = NonZeroUsize::new(config.cached_sections).unwrap_or(NonZeroUsize::MIN);
    let bus = sources.bus.clone();
    let fetcher = Fetcher::new(sources, patience, cached, edges)?;
    let member = format!("{ROLE}-{:016x}", edges.randomness.bits64());
    Ok(CommitFetcher {
        fetcher: Arc::new(fetcher),
        membership: Membership::new(config.worker(member), bus.clone(), edges)?,
        denials: (bus, edges.clone()),
    })
}

impl std::fmt::Debug for CommitFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommitFetcher")
    }
}

impl CommitFetcher {
    /// Starts the role's tasks in the group. They end on the group's stop, after the looks in hand.
    pub fn run(self, tasks: &Tasks) {
        let observe = self.fetcher.meters().clone().observer();
        self.membership.run(self.fetcher, observe, tasks);
        let (bus, edges) = self.denials;
        let stop = tasks.stop().clone();
        tasks.spawn_service("denials", Denials { bus, edges, stop }.run());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked() {
        assert_eq!(Config::default().check(), Ok(()));
        let config = Config {
            give_up_hours: 200,
            ..Config::default()
        };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "fetcher.give_up_hours is 200: 1 to 144 are allowed, events are kept for 168 hours"
        );
    }
}
