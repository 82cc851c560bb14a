//! The sweep of blobs: what no record of the log names, and what is older than any record may be, goes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobError, Blobs};
use bus::{Bus, BusError, ReadLimits, Record, behind, value_of};
use bytes::Bytes;
use events::{
    Attachment, COMMITS, CommitFetched, DecodeError, Decoder, MetadataSection, PROJECT_GRAPHS, PieceSection,
    ProjectGraph, Sha256, parked, retry, topic_specs,
};
use model::{BlobName, CleanUp, Position, Timestamp, TopicName};
use runtime::{BoxError, Edges, Stop};
use serde::{Deserialize, Serialize};

/// Blobs that are looked at in one step: their names are in memory.
const AT_ONCE: usize = 100_000;
/// Blobs removed, or read, in one request.
const ASKED: usize = 500;
/// How often the oldest blobs are looked at.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// The first time, so that a node that is restarted every day sweeps, too.
const FIRST: Duration = Duration::from_secs(3600);
/// After what is kept for longest: clocks differ.
const ALLOWANCE: Duration = Duration::from_secs(24 * 3600);

/// What one step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Swept {
    /// Old blobs that were looked at.
    pub looked_at: usize,
    /// Those that a record names: they are young again.
    pub kept: usize,
    /// Those that went; in a dry run, that would go.
    pub removed: usize,
    /// There may be more old ones.
    pub more: bool,
}

/// Why a step was not done. Nothing went that is needed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// See [`BusError`].
    #[error(transparent)]
    Bus(#[from] BusError),
    /// See [`BlobError`].
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A newer release wrote it, and it may name blobs.
    #[error("the record {at} is of a newer release, and nobody knows what it names: sweep with that release")]
    Newer {
        /// Where it is.
        at: Position,
        /// What is not known of it.
        #[source]
        source: DecodeError,
    },
}

/// Sweeps. It keeps nothing: what is kept becomes young, so that the next step looks at others, whoever takes it.
#[derive(Clone)]
pub struct Sweep {
    bus: Arc<dyn Bus>,
    blobs: Arc<dyn Blobs>,
    decoder: Decoder,
    /// Blobs looked at in one step.
    at_once: usize,
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sweep")
    }
}

/// How old a blob is that no record of today can name unless it was used since: longer than any record that is not compacted
/// is kept, and longer than one waits in a lane.
pub fn sweep_age() -> Duration {
    let kept = topic_specs().into_iter().filter_map(|spec| match spec.clean_up {
        CleanUp::Delete(age) | CleanUp::CompactAndDelete(age) => Some(age),
        CleanUp::Compact => None,
    });
    kept.max().unwrap_or_default() + ALLOWANCE
}

impl Sweep {
    /// Nothing is looked at yet.
    pub fn new(bus: Arc<dyn Bus>, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            bus,
            blobs,
            decoder: Decoder::default(),
            at_once: AT_ONCE,
        }
    }

    /// Looks at so many blobs in one step.
    #[must_use]
    pub fn at_once(self, blobs: usize) -> Self {
        Self {
            at_once: blobs,
            ..self
        }
    }

    /// Looks at the oldest blobs. A blob that is put or used meanwhile stays, whoever names it later: writers do that before
    /// they write the record.
    ///
    /// # Errors
    /// [`SweepError`]; the same step can be taken again.
    pub async fn step(&self, now: Timestamp, dry_run: bool) -> Result<Swept, SweepError> {
        let age = i64::try_from(sweep_age().as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(now.as_micros().saturating_sub(age));
        let old = self.blobs.unused_since(before, self.at_once).await?;
        let mut unnamed: HashSet<BlobName> = old.iter().copied().collect();
        for topic in [COMMITS, PROJECT_GRAPHS] {
            for topic in [retry(&topic), parked(&topic), topic] {
                if !unnamed.is_empty() {
                    self.strike(&topic, &mut unnamed).await?;
                }
            }
        }
        let mut swept = Swept {
            looked_at: old.len(),
            kept: old.len() - unnamed.len(),
            removed: unnamed.len(),
            more: old.len() >= self.at_once,
        };
        if dry_run {
            return Ok(swept);
        }
        let (gone, named): (Vec<_>, Vec<_>) = old.into_iter().partition(|name| unnamed.contains(name));
        for names in named.chunks(ASKED) {
            self.blobs.touch_many(names).await?;
        }
        swept.removed = 0;
        for names in gone.chunks(ASKED) {
            swept.removed += self.blobs.remove_unused(names, before).await?;
        }
        Ok(swept)
    }

    /// Takes out what the records of a topic name.
    async fn strike(&self, topic: &TopicName, unnamed: &mut HashSet<BlobName>) -> Result<(), SweepError> {
        let mut extents = match self.bus.extents(topic).await {
            // It was never made.
            Err(BusError::UnknownTopic(_)) => return Ok(()),
            extents => extents?,
        };
        let start = |extent: &bus::Extent| Position {
            topic: topic.clone(),
            partition: extent.partition,
            next: extent.start,
        };
        let mut reader = self
            .bus
            .read(extents.iter().map(start).collect(), ReadLimits::default())
            .await?;
        loop {
            let positions = reader.positions();
            if unnamed.is_empty() {
                return Ok(());
            }
            if behind(topic, &positions, &extents) == 0 {
                // A record that compaction took before it was read has a newer one further on, which names the same.
                extents = self.bus.extents(topic).await?;
                if behind(topic, &positions, &extents) == 0 {
                    return Ok(());
                }
                continue;
            }
            for record in reader.next().await? {
                self.strike_record(topic, &record, unnamed).await?;
            }
        }
    }

    async fn strike_record(
        &self,
        topic: &TopicName,
        record: &Record,
        unnamed: &mut HashSet<BlobName>,
    ) -> Result<(), SweepError> {
        let of_commits = topic.as_str().starts_with(COMMITS.as_str());
        let read = if of_commits {
            value_of::<CommitFetched>(&self.decoder, record).map(|commit| {
                commit.map(|commit| {
                    let sections = commit.sections.iter().map(|section| section.digest).collect();
                    (sections, commit.attached)
                })
            })
        } else {
            value_of::<ProjectGraph>(&self.decoder, record).map(|graph| {
                graph
                    .and_then(|graph| graph.graph)
                    .map(|graph| (graph.buckets, graph.attached))
            })
        };
        let (sections, attached): (Vec<Sha256>, Vec<Attachment>) = match read {
            Ok(Some(named)) => named,
            Ok(None) => return Ok(()),
            Err(source @ (DecodeError::UnknownFingerprint(_) | DecodeError::UnknownSchemaId(_))) => {
                let at = record.slot().at(record.offset);
                return Err(SweepError::Newer { at, source });
            }
            // No release can read it, so nobody will ever ask for what it may have named.
            Err(_) => return Ok(()),
        };
        let names: Vec<_> = sections
            .into_iter()
            .filter(|digest| *digest != Sha256::ZERO)
            .map(|digest| BlobName::Digest(digest.0))
            .collect();
        for name in &names {
            unnamed.remove(name);
        }
        for (name, bytes) in attached.iter().filter_map(Attachment::blob) {
            unnamed.remove(&name);
            self.strike_list(of_commits, &bytes, unnamed);
        }
        if !attached.is_empty() {
            return Ok(());
        }
        for names in names.chunks(ASKED) {
            // A list that is gone leads nobody to what it named.
            for bytes in self.blobs.get_many(names).await?.into_iter().flatten() {
                self.strike_list(of_commits, &bytes, unnamed);
            }
        }
        Ok(())
    }

    /// What a list of a record names. An attached blob may be none.
    fn strike_list(&self, of_commits: bool, bytes: &Bytes, unnamed: &mut HashSet<BlobName>) {
        if of_commits {
            if let Ok(section) = self
                .decoder
                .decode::<MetadataSection>("renku.metadata-section", bytes)
            {
                for entry in section.entries {
                    unnamed.remove(&BlobName::Git(entry.blob));
                }
            }
        } else if let Ok(section) = self.decoder.decode::<PieceSection>("renku.piece-section", bytes) {
            for piece in section.pieces {
                unnamed.remove(&BlobName::Digest(piece.digest.0));
            }
        }
    }

    /// Sweeps every day, until the stop.
    ///
    /// # Errors
    /// None: a step that fails is logged, and taken again the next day.
    pub async fn run(self, edges: Edges, stop: Stop) -> Result<(), BoxError> {
        let mut wait = FIRST;
        while stop.or(edges.clock.sleep(wait)).await.is_some() {
            wait = EVERY;
            loop {
                match stop.or(self.step(edges.clock.now(), false)).await {
                    None => return Ok(()),
                    Some(Ok(swept)) => {
                        tracing::info!(
                            looked_at = swept.looked_at,
                            kept = swept.kept,
                            removed = swept.removed,
                            "blobs were swept"
                        );
                        if !swept.more {
                            break;
                        }
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "blobs were not swept, will try again");
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
