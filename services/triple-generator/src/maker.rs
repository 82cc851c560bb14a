//! The pure part on a blocking thread: a commit and what is kept of its project become the pieces that changed.

use std::collections::HashMap;
use std::sync::Arc;

use blobs::Blobs;
use bytes::Bytes;
use events::{Attachment, CommitFetched, Decoder, Graph, MetadataSection};
use metadata::{MetadataError, PiecesChange, ProjectPieces};
use model::{BlobName, GitObjectId, ProjectId};
use rdf::Host;
use runtime::Clock;

use crate::RoleError;
use crate::listing::{Listing, blob_of};
use crate::meters::Meters;
use crate::projects::Projects;
use crate::publish::{Named, Publication};
use crate::source::{CommitFiles, FileError};

/// The version of the rules that make triples. Raise it when the same metadata gives other triples.
pub const GENERATOR_VERSION: i32 = 1;

/// Makes pieces, and keeps of every project what makes its next push cheap.
pub(crate) struct Maker {
    host: Host,
    blobs: Arc<dyn Blobs>,
    projects: Arc<Projects<State>>,
    decoder: Decoder,
    meters: Meters,
    clock: Arc<dyn Clock>,
}

/// What is kept of a project.
#[derive(Default)]
struct State {
    listing: Listing,
    named: Named,
    pieces: ProjectPieces,
}

/// A graph to be written, and the project's state to keep once it is.
pub(crate) struct Made {
    pub(crate) graph: Graph,
    /// To be durable before the record.
    pub(crate) values: Vec<(BlobName, Bytes)>,
    state: State,
}

/// A commit's files.
struct Files {
    listing: Listing,
    /// The content of those that are new.
    at_hand: HashMap<GitObjectId, Bytes>,
    /// The paths of those that are new, changed or gone.
    changed: Vec<String>,
}

/// Why there is no graph.
#[derive(Debug)]
pub(crate) enum MakeError {
    /// The repository's content cannot be a graph.
    Refused { code: &'static str, message: String },
    /// The record names something that is not there.
    Missing(BlobName),
    /// Not now.
    Failed(RoleError),
}

impl<E: Into<RoleError>> From<E> for MakeError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Maker {
    pub(crate) fn new(
        host: Host,
        cache_bytes: usize,
        blobs: Arc<dyn Blobs>,
        meters: Meters,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let projects = Arc::new(Projects::new(cache_bytes));
        Self {
            host,
            blobs,
            projects,
            decoder: Decoder::default(),
            meters,
            clock,
        }
    }

    /// Forgets a project.
    pub(crate) fn forget(&self, project: ProjectId) {
        drop(self.projects.take(project));
    }

    /// Keeps what was made: its record is in the log.
    pub(crate) fn keep(&self, project: ProjectId, made: Made) {
        let weight = made.state.named.weight() + made.state.pieces.weight() + made.state.listing.weight();
        self.projects.put(project, made.state, weight);
    }

    pub(crate) async fn make(&self, commit: CommitFetched) -> Result<Made, MakeError> {
        let started = self.clock.monotonic();
        let state = self.projects.take(commit.project_id).unwrap_or_default();
        let Files {
            listing,
            at_hand,
            changed,
        } = self.files(&commit, state.listing).await?;
        self.meters
            .step("read", self.clock.monotonic().saturating_sub(started));

        let started = self.clock.monotonic();
        let (host, blobs) = (self.host.clone(), self.blobs.clone());
        let runtime = tokio::runtime::Handle::current();
        let (mut named, mut pieces) = (state.named, state.pieces);
        let made = tokio::task::spawn_blocking(move || {
            let linked = commit.linked.iter().cloned().collect();
            let files = CommitFiles {
                listing: &listing,
                at_hand,
                linked,
                blobs,
                runtime,
            };
            let change = if files.listing.is_empty() {
                // No renku project (any more): a project like any other, about which there is nothing to tell.
                PiecesChange {
                    take: pieces.clear(),
                    ..PiecesChange::default()
                }
            } else {
                pieces.update(&files, &host, &changed).map_err(refusal)?
            };
            let PiecesChange { put, take, warnings } = change;
            let (count, left_out) = (put.len(), warnings.len());
            let publication = named.change(commit.sha, put, take, warnings)?;
            let Publication { graph, values } = publication;
            Ok::<_, MakeError>((
                Made {
                    graph,
                    values,
                    state: State {
                        listing,
                        named,
                        pieces,
                    },
                },
                count,
                left_out,
            ))
        });
        let (made, count, left_out) = made.await??;
        self.meters
            .step("make", self.clock.monotonic().saturating_sub(started));
        self.meters.made(count, left_out);
        Ok(made)
    }

    /// The commit's listing, and the content of files that are new.
    async fn files(&self, commit: &CommitFetched, mut listing: Listing) -> Result<Files, MakeError> {
        let attached: HashMap<_, _> = commit.attached.iter().filter_map(Attachment::blob).collect();
        let unknown: Vec<_> = listing.unknown(&commit.sections).into_iter().cloned().collect();
        let names: Vec<_> = unknown.iter().map(blob_of).collect();
        let values = self.get(&attached, &names).await?;
        let mut read = Vec::with_capacity(unknown.len());
        for (section, name) in unknown.into_iter().zip(names) {
            let bytes = values.get(&name).ok_or(MakeError::Missing(name))?;
            let content = self
                .decoder
                .decode::<MetadataSection>("renku.metadata-section", bytes);
            let content = content.map_err(|error| MakeError::Refused {
                code: "unreadable-section",
                message: format!("section {:?} of the commit: {error}", section.key),
            })?;
            read.push((section, content));
        }
        let changes = listing.take_in(&commit.sections, read);
        let names: Vec<_> = changes
            .changed
            .iter()
            .map(|entry| BlobName::Git(entry.blob))
            .collect();
        let values = self.get(&attached, &names).await?;
        let files = values.into_iter().filter_map(|(name, bytes)| match name {
            BlobName::Git(id) => Some((id, bytes)),
            BlobName::Digest(_) => None,
        });
        let at_hand = files.collect();
        let changed = changes.changed.into_iter().map(|entry| entry.path);
        Ok(Files {
            listing,
            at_hand,
            changed: changed.chain(changes.gone).collect(),
        })
    }

    async fn get(
        &self,
        attached: &HashMap<BlobName, Bytes>,
        names: &[BlobName],
    ) -> Result<HashMap<BlobName, Bytes>, RoleError> {
        let (at_hand, stored): (Vec<_>, Vec<_>) =
            names.iter().copied().partition(|n| attached.contains_key(n));
        let mut values: HashMap<_, _> = at_hand
            .into_iter()
            .filter_map(|name| Some((name, attached.get(&name)?.clone())))
            .collect();
        if !stored.is_empty() {
            let found = self.blobs.get_many(&stored).await?;
            values.extend(
                stored
                    .into_iter()
                    .zip(found)
                    .filter_map(|(name, bytes)| Some((name, bytes?))),
            );
        }
        Ok(values)
    }
}

fn refusal(error: MetadataError) -> MakeError {
    match error {
        MetadataError::Source { file, source } => match source.downcast::<FileError>() {
            Ok(error) => match *error {
                FileError::Missing(blob) => MakeError::Missing(blob),
                FileError::Blobs(error) => MakeError::Failed(error.into()),
            },
            Err(source) => MakeError::Refused {
                code: "source-failed",
                message: format!("{file}: {source}"),
            },
        },
        error => MakeError::Refused {
            code: error.code(),
            message: crate::worker::chain(&error),
        },
    }
}
