//! What a look needs from outside, as seams: the simulation and the tests stand in for them without sockets.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use events::{ProjectState, Signature};
use model::{GitObjectId, Owner, ProjectId, Reason, Sha};
use repos::MetadataFolder;

use crate::facts::Aim;

/// A failure that passes. The look is tried again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// 401 or 403: the token is not, or no longer, good for this project.
    #[error(
        "gitlab refuses the token: give gitlab.token the scopes read_api and read_repository, or make its user a member"
    )]
    Refused,
    /// 429.
    #[error("gitlab asks for fewer requests")]
    Busy {
        /// From its `Retry-After`.
        after: Option<Duration>,
    },
    /// Not reachable, too slow, or an error of its own.
    #[error("gitlab is not available: {why}")]
    Down {
        /// What was seen.
        why: String,
        /// From its `Retry-After`, sent while under maintenance.
        after: Option<Duration>,
    },
    /// An answer that cannot be understood.
    #[error("gitlab's answer is not understood: {0}")]
    Garbage(String),
    /// Our disk, blob store or bus.
    #[error("{0}")]
    Ours(String),
}

impl Trouble {
    /// Not available, with no word on when it will be.
    pub fn down(why: impl Into<String>) -> Self {
        Self::Down {
            why: why.into(),
            after: None,
        }
    }

    /// A stable word for status and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused => "gitlab-refused",
            Self::Busy { .. } => "gitlab-busy",
            Self::Down { .. } => "gitlab-down",
            Self::Garbage(_) => "gitlab-garbage",
            Self::Ours(_) => "internal",
        }
    }

    /// The least wait that was asked for.
    pub const fn after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after } | Self::Down { after, .. } => *after,
            _ => None,
        }
    }

    /// Who has to get well first.
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Ours(_) => Owner::Us,
            _ => Owner::Upstream,
        }
    }
}

/// Why there are no facts.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FactsError {
    /// 404: deleted, or no longer visible to the service.
    #[error("there is no such project")]
    Gone,
    /// See [`Trouble`].
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why there is no content.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository is there, the branch is not.
    #[error("the repository has no such branch")]
    NoBranch,
    /// No repository of that name. The facts tell why: the project was renamed, or is gone.
    #[error("there is no such repository")]
    NoRepository,
    /// It will not succeed as it is: too large, hostile, damaged.
    #[error("{}", .0.message)]
    Rejected(Reason),
    /// See [`Trouble`].
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// The commit at the head of the default branch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its id.
    pub sha: Sha,
    /// Its parents.
    pub parents: Vec<Sha>,
    /// Who wrote it.
    pub author: Signature,
    /// Who committed it.
    pub committer: Signature,
    /// First line of the message, 255 characters at most.
    pub title: String,
    /// `refs/heads/…`.
    pub r#ref: String,
}

/// What a fetch gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The commit.
    pub head: Head,
    /// Its metadata files, sorted by key; none in a project that is not a renku project.
    pub folders: Vec<MetadataFolder>,
    /// See [`events::CommitFetched::linked`].
    pub linked: Vec<String>,
    /// How many bytes came over the network.
    pub bytes: u64,
}

/// GitLab's word on a project.
#[async_trait]
pub trait FactsSource: Send + Sync + 'static {
    /// The facts, read anew.
    async fn facts(&self, project: ProjectId) -> Result<ProjectState, FactsError>;
}

/// Repositories' contents.
#[async_trait]
pub trait ContentSource: Send + Sync + 'static {
    /// The newest commit of the branch, with the list of its metadata files.
    async fn fetch(&self, project: ProjectId, aim: &Aim) -> Result<Fetched, FetchError>;

    /// Contents of git blobs that the last fetch of the project listed, in the order asked for.
    async fn read(&self, project: ProjectId, blobs: &[GitObjectId]) -> Result<Vec<Bytes>, FetchError>;

    /// A look is over and all of it is written: the time for house-keeping. `gone`: what is kept of the project can go.
    async fn looked(&self, project: ProjectId, gone: bool) {
        let _ = (project, gone);
    }
}
