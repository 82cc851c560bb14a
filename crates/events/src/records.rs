use bytes::Bytes;
use model::{
    AccessLevel, BlobName, Generation, ProjectId, Sha, Slug, StateVersion, Timestamp, UserId, Visibility,
};
use serde::{Deserialize, Serialize};

use crate::envelope::number;
use crate::{Envelope, SectionRef, Sha256, graph_digest};

/// Why a look was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LookReason {
    /// A word of a newer release.
    Unknown,
    /// A push hook.
    Push,
    /// A tag hook.
    TagPush,
    /// A system hook.
    System,
    /// The reconciler found something.
    Reconcile,
    /// triple-generator saw a generation fall.
    Regression,
    /// The project is new to us.
    FirstImport,
    /// An operator's rebuild.
    Rebuild,
}

/// "Look at project N." Everything but the project id is a hint for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PushEvent {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// Why.
    pub reason: LookReason,
    /// As the hook said; may be out of date.
    pub slug: Option<String>,
    /// As the hook said.
    pub r#ref: Option<String>,
    /// As the hook said.
    pub before: Option<String>,
    /// As the hook said.
    pub after: Option<String>,
    /// GitLab's name of the event.
    pub hook: Option<String>,
    /// Make the content again even if the commit is the one known.
    pub regenerate: bool,
}

/// What GitLab says of a project; `state: None` is Gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// `generation` is the look's, `state_version` the version of these facts.
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// None: deleted, or no longer visible to the service.
    pub state: Option<ProjectState>,
}

/// The facts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectState {
    /// `path_with_namespace`.
    pub slug: Slug,
    /// Display name.
    pub name: String,
    /// GitLab's description.
    pub description: Option<String>,
    /// Who may see it at all.
    pub visibility: Visibility,
    /// Direct and inherited, active ones only, sorted by user id.
    pub members: Vec<Member>,
    /// None in an empty repository.
    pub default_branch: Option<String>,
    /// When GitLab made it.
    pub created_at: Timestamp,
    /// The latest of GitLab's `updated_at` and `last_activity_at`. A change of this alone makes no new record.
    pub updated_at: Option<Timestamp>,
    /// Who made it.
    pub creator_id: Option<UserId>,
    /// GitLab's topics.
    pub topics: Vec<String>,
    /// The avatar.
    pub images: Vec<String>,
    /// What it was forked from.
    pub fork_parent: Option<ProjectId>,
    /// No commit yet.
    pub empty_repository: bool,
    /// Read-only in GitLab.
    pub archived: bool,
    /// Clone URL.
    pub http_url: String,
    /// Clone URL.
    pub ssh_url: String,
    /// Page.
    pub web_url: String,
    /// Page of the readme.
    pub readme_url: Option<String>,
    /// Number of forks.
    pub forks_count: i32,
    /// Number of stars.
    pub stars_count: i32,
}

/// A member of a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// GitLab's number of the user.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// What the user may do.
    pub access_level: AccessLevel,
    /// `YYYY-MM-DD`, the first day without access.
    pub expires_at: Option<String>,
}

/// Author or committer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// As git has it.
    pub name: String,
    /// As git has it.
    pub email: String,
    /// When.
    pub at: Timestamp,
}

/// A blob that travels with a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    name: String,
    #[serde(with = "crate::digests::raw")]
    bytes: Bytes,
}

impl Attachment {
    /// Pairs a name with its bytes.
    pub fn new(name: BlobName, bytes: Bytes) -> Self {
        Self {
            name: name.to_string(),
            bytes,
        }
    }

    /// The blob; None if the name is not one (of a foreign writer).
    pub fn blob(&self) -> Option<(BlobName, Bytes)> {
        Some((self.name.parse().ok()?, self.bytes.clone()))
    }
}

/// The newest commit of a project's default branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommitFetched {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// The commit.
    pub sha: Sha,
    /// Its parents.
    pub parents: Vec<Sha>,
    /// Who wrote it.
    pub author: Signature,
    /// Who committed it.
    pub committer: Signature,
    /// First line of the message.
    pub title: String,
    /// `refs/heads/…`.
    pub r#ref: String,
    /// All metadata files, by section; sorted by key.
    pub sections: Vec<SectionRef>,
    /// Symlinks through `.renku/pointers` that end inside the repository.
    pub linked: Vec<String>,
    /// Every blob named, or none.
    pub attached: Vec<Attachment>,
}

/// The pieces of a project's graph; `graph: None` is Gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectGraph {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// None: the project is gone.
    pub graph: Option<Graph>,
}

/// A graph by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Graph {
    /// The commit it was made from.
    pub sha: Sha,
    /// There are `2^bucket_bits` buckets.
    pub bucket_bits: i32,
    /// Digest of each bucket's [`crate::PieceSection`]; [`Sha256::ZERO`] for an empty one.
    pub buckets: Vec<Sha256>,
    /// How many pieces.
    pub pieces: i32,
    /// Bytes of all texts.
    pub bytes: i64,
    /// What was left out and why; 20 at most.
    pub warnings: Vec<String>,
    /// Every blob named, or none.
    pub attached: Vec<Attachment>,
}

impl ProjectGraph {
    /// The digest that decides between two graphs of one generation. Gone is the smallest.
    pub fn digest(&self) -> model::Digest {
        self.graph
            .as_ref()
            .map_or(Sha256::ZERO.0, |graph| graph_digest(&graph.buckets))
    }
}

/// How far a look came, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// A word of a newer release.
    Unknown,
    /// GitLab was asked.
    Looked,
    /// The commit was fetched.
    Fetched,
    /// The triples were made.
    Generated,
}

/// How a stage ended, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StageOutcome {
    /// A word of a newer release.
    Unknown,
    /// Failed for now.
    Retrying,
    /// Went on to the next stage.
    Done,
    /// Ended: the content is what was known.
    NothingNew,
    /// Ended: will not succeed as it is.
    Rejected,
}

/// How far one look at a project came.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventStatus {
    /// `covers` only where nothing further happens to them.
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// The commit, if it came that far.
    pub sha: Option<Sha>,
    /// See [`Stage`].
    pub stage: Stage,
    /// See [`StageOutcome`].
    pub outcome: StageOutcome,
    /// `covers` hold once the graph of this generation, or a later one, is applied or rejected; 0: at once.
    #[serde(with = "number")]
    pub awaits_generation: Generation,
    /// A stable word for a failure.
    pub code: Option<String>,
    /// For people.
    pub message: Option<String>,
}

/// The order in which status records of one key replace each other: the largest holds.
pub type StatusRank = (Generation, Stage, StageOutcome);

impl EventStatus {
    /// See [`StatusRank`].
    pub fn rank(&self) -> StatusRank {
        (self.envelope.generation, self.stage, self.outcome)
    }
}

impl PushEvent {
    /// A look asked for by a hook or a role, with no hints.
    pub fn new(project_id: ProjectId, reason: LookReason, at: Timestamp) -> Self {
        Self {
            envelope: Envelope::unlooked(at),
            project_id,
            reason,
            slug: None,
            r#ref: None,
            before: None,
            after: None,
            hook: None,
            regenerate: false,
        }
    }
}

impl ProjectRecord {
    /// The version of these facts.
    pub fn state_version(&self) -> StateVersion {
        self.envelope.state_version
    }

    /// Whether these facts take the project's graph away: it is gone, or has no content.
    pub fn leaves_no_content(&self) -> bool {
        self.state
            .as_ref()
            .is_none_or(|state| state.content_branch().is_none())
    }
}

impl ProjectState {
    /// The branch whose newest commit is the project's content. None: there is no commit yet, or no default branch.
    pub fn content_branch(&self) -> Option<&str> {
        self.default_branch.as_deref().filter(|_| !self.empty_repository)
    }
}

/// A value of a topic whose records are of a project each.
macro_rules! topic_value {
    ($name:ident, $subject:literal, |$it:ident| $key:expr) => {
        impl $crate::TopicValue for $name {
            const SUBJECT: &'static str = $subject;

            fn key(&self) -> String {
                let $it = self;
                $key
            }

            fn partition_by(&self) -> String {
                self.project_id.to_string()
            }
        }
    };
}

pub(crate) use topic_value;

topic_value!(PushEvent, "renku.push-events.v1-value", |it| it
    .project_id
    .to_string());
topic_value!(ProjectRecord, "renku.projects.v1-value", |it| it
    .project_id
    .to_string());
topic_value!(CommitFetched, "renku.commits.v1-value", |it| it
    .project_id
    .to_string());
topic_value!(ProjectGraph, "renku.project-graphs.v1-value", |it| it
    .project_id
    .to_string());
topic_value!(EventStatus, "renku.event-status.v1-value", |it| match it.sha {
    Some(sha) => format!("{}/{sha}", it.project_id),
    None => format!("{}/-", it.project_id),
});
