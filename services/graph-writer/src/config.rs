use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::StoreOptions;

/// Section `[store]`: the views' folder and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The largest size of the view's file, in GiB. Only address space: the file grows as data comes.
    pub map_size: u64,
    /// How many reads may be under way at once, over all processes of the node.
    pub max_readers: u32,
    /// How old a read may get, in seconds: what it sees cannot be cleaned up before.
    pub snapshot_age: u64,
    /// The most bytes of triples that change in one transaction; larger changes of a project are loaded in steps of this
    /// size, and other projects go first between them.
    pub transaction_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            map_size: 1024,
            max_readers: 1024,
            snapshot_age: 120,
            transaction_bytes: 16 << 20,
        }
    }
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store.{key}: {why}")]
pub struct ConfigFault {
    /// The key.
    pub key: &'static str,
    /// What is needed.
    pub why: &'static str,
}

impl Config {
    /// Can these be used?
    pub fn check(&self) -> Result<(), ConfigFault> {
        let fault = |key, why| Err(ConfigFault { key, why });
        if !(1..=64 * 1024).contains(&self.map_size) {
            return fault("map_size", "a number of GiB from 1 to 65536 is needed");
        }
        if !(16..=65_536).contains(&self.max_readers) {
            return fault("max_readers", "a number from 16 to 65536 is needed");
        }
        if !(5..=3_600).contains(&self.snapshot_age) {
            return fault("snapshot_age", "a number of seconds from 5 to 3600 is needed");
        }
        if !(64 << 10..=1 << 30).contains(&self.transaction_bytes) {
            return fault(
                "transaction_bytes",
                "a number of bytes from 65536 to 1073741824 is needed",
            );
        }
        Ok(())
    }

    /// How the view is opened, by writers and readers alike.
    pub fn options(&self, rdf_host: &str) -> StoreOptions {
        StoreOptions {
            map_size: usize::try_from(self.map_size << 30).unwrap_or(usize::MAX),
            max_readers: self.max_readers,
            snapshot_age: Duration::from_secs(self.snapshot_age),
            ..StoreOptions::new(rdf_host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_can_be_used_and_nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let fault = Config {
            snapshot_age: 0,
            ..Config::default()
        }
        .check()
        .unwrap_err();
        assert!(fault.to_string().starts_with("store.snapshot_age: "), "{fault}");
    }
}
