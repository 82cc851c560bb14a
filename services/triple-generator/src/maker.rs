//! The pure part on a blocking thread: a commit and what is kept of its project become the pieces that changed.

use std::collections::HashMap;
use std::sync::Arc;

use blobs::Blobs;
use bytes::Bytes;
use events::{Attachment, CommitFetched, Decoder, Graph, MetadataSection};
use metadata::MetadataError;
use model::{BlobName, GitObjectId, ProjectId};
use rdf::{Host, Piece};
use runtime::Clock;

use crate::RoleError;
use crate::listing::{Listing, blob_of};
use crate::meters::Meters;
use crate::projects::Projects;
use crate::publish::{Named, Publication};
use crate::source::{CommitFiles, FileError};

/// The version of the rules that make triples. Raise it when the same metadata gives other triples.
pub const GENERATOR_VERSION: i32 = 1;

/// How many warnings a graph record carries.
const MOST_WARNINGS: usize = 20;

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
    pieces: Vec<String>,
}

/// A graph to be written, and the project's state to keep once it is.
pub(crate) struct Made {
    pub(crate) graph: Graph,
    /// To be durable before the record.
    pub(crate) values: Vec<(BlobName, Bytes)>,
    state: State,
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
        let weight = made.state.named.weight();
        self.projects.put(project, made.state, weight);
    }

    pub(crate) async fn make(&self, commit: CommitFetched) -> Result<Made, MakeError> {
        let started = self.clock.monotonic();
        let state = self.projects.take(commit.project_id).unwrap_or_default();
        let (listing, at_hand) = self.files(&commit, state.listing).await?;
        self.meters
            .step("read", self.clock.monotonic().saturating_sub(started));

        let started = self.clock.monotonic();
        let (host, blobs) = (self.host.clone(), self.blobs.clone());
        let runtime = tokio::runtime::Handle::current();
        let (named, old) = (state.named, state.pieces);
        let made = tokio::task::spawn_blocking(move || {
            let linked = commit.linked.iter().cloned().collect();
            let files = CommitFiles {
                listing: &listing,
                at_hand,
                linked,
                blobs,
                runtime,
            };
            let (put, take, warnings, pieces) = pieces(&files, host, old).map_err(refusal)?;
            let (count, left_out) = (put.len(), warnings.len());
            let mut named = named;
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
    async fn files(
        &self,
        commit: &CommitFetched,
        mut listing: Listing,
    ) -> Result<(Listing, HashMap<GitObjectId, Bytes>), MakeError> {
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
        let changed = listing.take_in(&commit.sections, read);
        let names: Vec<_> = changed.iter().map(|entry| BlobName::Git(entry.blob)).collect();
        let values = self.get(&attached, &names).await?;
        let files = values.into_iter().filter_map(|(name, bytes)| match name {
            BlobName::Git(id) => Some((id, bytes)),
            BlobName::Digest(_) => None,
        });
        Ok((listing, files.collect()))
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

type Pieces = (Vec<Piece>, Vec<String>, Vec<String>, Vec<String>);

/// The pieces to put, the ids to take away, warnings, and the ids of all pieces.
fn pieces(files: &CommitFiles<'_>, host: Host, old: Vec<String>) -> Result<Pieces, MetadataError> {
    if files.listing.is_empty() {
        // No renku project (any more): a project like any other, about which there is nothing to tell.
        return Ok((Vec::new(), old, Vec::new(), Vec::new()));
    }
    let graph = metadata::export_full(files, host)?;
    let mut warnings = Vec::new();
    let piece = Piece::of("/", &graph, |dropped| {
        if warnings.len() < MOST_WARNINGS {
            warnings.push(dropped.to_string());
        }
    });
    Ok((vec![piece], Vec::new(), warnings, vec!["/".to_owned()]))
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
