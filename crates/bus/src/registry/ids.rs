use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use events::{all_schemas, known_schema};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::client::{RegistryClient, RegistryError};

/// A number that the registry did not know is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The most unknown numbers that are remembered.
const MOST_UNKNOWN: usize = 10_000;

/// A schema registry and what is known of it.
#[derive(Debug)]
pub struct Registry {
    client: RegistryClient,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What to write: by subject and fingerprint.
    ids: HashMap<(&'static str, [u8; 8]), u32>,
    /// What was written.
    fingerprints: HashMap<u32, [u8; 8]>,
    unknown: HashMap<u32, Instant>,
}

/// The file: subject, version, number.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    subject: String,
    version: u32,
    id: u32,
}

impl Kept {
    fn schema(&self) -> Option<&'static events::SchemaVersion> {
        subjects().find(|schema| schema.subject == self.subject && schema.version == self.version)
    }
}

/// A file that is absent or damaged says nothing: then the registry is needed.
fn recall(file: &Path) -> Vec<Kept> {
    std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// One of our schemas.
    Ours([u8; 8]),
    /// None that this build has.
    Foreign,
}

impl Registry {
    /// Registers every version of every topic's schema and asks the registry to keep them compatible. Their numbers are kept
    /// in `file`. If the registry is down, the file of an earlier start is enough.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when the registry will not have a schema; [`RegistryError::Unavailable`] when it is down and
    /// the file does not have all numbers; [`RegistryError::Replaced`] when it is not the registry of the file.
    pub async fn open(url: &str, file: PathBuf) -> Result<Arc<Self>, RegistryError> {
        let registry = Self {
            client: RegistryClient::new(url)?,
            known: RwLock::default(),
        };
        let before = recall(&file);
        for row in &before {
            registry.remember(row);
        }
        match registry.register().await {
            Ok(mut now) => {
                registry.compare(&before, &now).await?;
                // Numbers that were given once stay in the log.
                now.extend(
                    before
                        .into_iter()
                        .filter(|row| !now.contains(row))
                        .collect::<Vec<_>>(),
                );
                keep(&file, &now)?;
            }
            Err(RegistryError::Unavailable(error)) => {
                if registry.known.read().ids.len() < subjects().count() {
                    return Err(RegistryError::Unavailable(error));
                }
                tracing::warn!(%error, "the schema registry is down, going on with the numbers known");
            }
            Err(error) => return Err(error),
        }
        Ok(Arc::new(registry))
    }

    async fn register(&self) -> Result<Vec<Kept>, RegistryError> {
        let mut kept = Vec::new();
        for schema in subjects() {
            let id = self.client.register(schema.subject, schema.text).await?;
            if schema.version == 1 {
                self.client.keep_compatible(schema.subject).await?;
            }
            self.learn(schema.subject, schema.fingerprint, id);
            kept.push(Kept {
                subject: schema.subject.to_owned(),
                version: schema.version,
                id,
            });
        }
        Ok(kept)
    }

    fn learn(&self, subject: &'static str, fingerprint: [u8; 8], id: u32) {
        let mut known = self.known.write();
        known.ids.insert((subject, fingerprint), id);
        known.fingerprints.insert(id, fingerprint);
    }

    /// Numbers that were kept must mean what they meant, or nothing any more: else what the log has would be misread.
    async fn compare(&self, before: &[Kept], now: &[Kept]) -> Result<(), RegistryError> {
        for row in before.iter().filter(|row| !now.contains(row)) {
            let text = self.client.schema(row.id).await?;
            let meant = row.schema().map(|schema| schema.fingerprint);
            let means = text
                .as_deref()
                .map(|text| known_schema(text).map(|schema| schema.fingerprint));
            if means.is_some_and(|means| means != meant) {
                return Err(RegistryError::Replaced { id: row.id });
            }
            tracing::warn!(
                id = row.id,
                subject = row.subject,
                "the registry has a new number for a schema"
            );
        }
        Ok(())
    }

    fn remember(&self, row: &Kept) {
        if let Some(schema) = row.schema() {
            self.learn(schema.subject, schema.fingerprint, row.id);
        }
    }

    /// The number to write before a datum of that schema in that topic.
    pub(super) fn id(&self, subject: &str, fingerprint: [u8; 8]) -> Option<u32> {
        let known = self.known.read();
        let schema = subjects().find(|s| s.subject == subject && s.fingerprint == fingerprint)?;
        known.ids.get(&(schema.subject, fingerprint)).copied()
    }

    /// What a number that was read stands for; asks the registry only for numbers that are new.
    ///
    /// # Errors
    /// The registry is needed and does not answer.
    pub(super) async fn meaning(&self, id: u32) -> Result<Meaning, RegistryError> {
        {
            let known = self.known.read();
            if let Some(fingerprint) = known.fingerprints.get(&id) {
                return Ok(Meaning::Ours(*fingerprint));
            }
            if known
                .unknown
                .get(&id)
                .is_some_and(|asked| asked.elapsed() < ASK_AGAIN)
            {
                return Ok(Meaning::Foreign);
            }
        }
        let text = match self.client.schema(id).await {
            // It will not say: nobody knows it better.
            Err(RegistryError::Refused { .. }) => None,
            answer => answer?,
        };
        let mut known = self.known.write();
        match text.as_deref().and_then(known_schema) {
            Some(schema) => {
                known.fingerprints.insert(id, schema.fingerprint);
                Ok(Meaning::Ours(schema.fingerprint))
            }
            None => {
                if known.unknown.len() >= MOST_UNKNOWN {
                    known.unknown.clear();
                }
                known.unknown.insert(id, Instant::now());
                Ok(Meaning::Foreign)
            }
        }
    }
}

/// Schemas of values of topics; sections are values in the blob store and have no topic.
fn subjects() -> impl Iterator<Item = &'static events::SchemaVersion> {
    all_schemas()
        .iter()
        .filter(|schema| schema.subject.ends_with("-value"))
}

fn keep(file: &Path, kept: &[Kept]) -> Result<(), RegistryError> {
    let failed = |source| RegistryError::Cache {
        path: file.to_owned(),
        source,
    };
    let text = serde_json::to_vec_pretty(kept).map_err(|error| failed(error.into()))?;
    let beside = file.with_extension("new");
    let write = || {
        let mut new = std::fs::File::create(&beside)?;
        new.write_all(&text)?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    };
    write().map_err(failed)
}
