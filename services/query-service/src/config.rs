use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::QueryLimits;

/// Section `[limits]`: bounds of reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Seconds that a query may take, the sending of its answer included.
    pub query_seconds: u64,
    /// Rows or triples of an answer.
    pub query_rows: u64,
    /// Quads that a query may be given; bounds the memory that its joins can take.
    pub query_quads: u64,
    /// MiB of memory that a query may take while it is evaluated. All that run take `queries` times that at most.
    pub query_memory_mib: u64,
    /// Queries at one time.
    pub queries: u32,
    /// Seconds that a query may wait for its turn.
    pub queue_seconds: u64,
    /// Seconds that a read with `Renku-Position` may wait for the views.
    pub position_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            query_seconds: 60,
            query_rows: 10_000_000,
            query_quads: 500_000_000,
            query_memory_mib: 512,
            queries: 8,
            queue_seconds: 5,
            position_seconds: 30,
        }
    }
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits.{key}: {why}")]
pub struct ConfigFault {
    /// The key.
    pub key: &'static str,
    /// What is needed.
    pub why: &'static str,
}

impl Config {
    /// Can these be used?
    pub fn check(&self) -> Result<(), ConfigFault> {
        for (key, value, most) in [
            ("query_seconds", self.query_seconds, 3_600),
            ("query_rows", self.query_rows, u64::MAX),
            ("query_quads", self.query_quads, u64::MAX),
            ("query_memory_mib", self.query_memory_mib, 1 << 20),
            ("queries", u64::from(self.queries), 1_024),
            ("queue_seconds", self.queue_seconds, 600),
            ("position_seconds", self.position_seconds, 600),
        ] {
            if value == 0 || value > most {
                return Err(ConfigFault {
                    key,
                    why: "a number from 1 up is needed (seconds: to 600, query_seconds: to 3600; queries: to 1024; query_memory_mib: to 1048576)",
                });
            }
        }
        Ok(())
    }

    pub(crate) fn query_limits(&self) -> QueryLimits {
        QueryLimits {
            time: Duration::from_secs(self.query_seconds),
            rows: self.query_rows,
            quads: self.query_quads,
            memory: usize::try_from(self.query_memory_mib << 20).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let fault = Config {
            queries: 0,
            ..Config::default()
        }
        .check()
        .unwrap_err();
        assert!(fault.to_string().starts_with("limits.queries: "), "{fault}");
    }
}
