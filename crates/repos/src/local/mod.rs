//! Reading a repository on this machine: a work tree or a bare clone, without a checkout.

mod changes;
mod remote;
mod snapshot;

use std::path::{Path, PathBuf};

use git2::{Commit, Repository};

pub use remote::{BadRemote, host_of_url};
pub use snapshot::Snapshot;

/// Why a local repository gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No repository at this path or above it.
    #[error("{} is not a git repository", .0.display())]
    NotARepository(PathBuf),
    /// The repository has no commit yet.
    #[error("the repository has no commit yet")]
    Empty,
    /// No commit has this name.
    #[error("{0:?} is not a known revision; `git log --oneline` shows those that are")]
    UnknownRevision(String),
    /// The remote's address gives no host.
    #[error(transparent)]
    Remote(#[from] BadRemote),
    /// Git says no.
    #[error("the repository cannot be read")]
    Git(#[from] git2::Error),
}

/// A repository on this machine.
pub struct LocalRepository {
    git: Repository,
}

impl LocalRepository {
    /// Opens the repository at `path`, or the one that `path` is in.
    ///
    /// Sets the git library up for one quick reading, for the whole process: objects are not kept in memory, and their
    /// ids are not computed again, which `git` does not do either when it reads.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        git2::opts::enable_caching(false);
        git2::opts::strict_hash_verification(false);
        let git = match Repository::open(path) {
            Ok(git) => git,
            Err(_) => Repository::discover(path).map_err(|_| LocalError::NotARepository(path.to_owned()))?,
        };
        Ok(Self { git })
    }

    /// The newest commit of the current branch.
    pub fn head(&self) -> Result<Snapshot<'_>, LocalError> {
        let head = self.git.head().map_err(|_| LocalError::Empty)?;
        let commit = head.peel_to_commit().map_err(|_| LocalError::Empty)?;
        Ok(Snapshot::new(&self.git, commit.tree()?))
    }

    /// The state of the commit that `revision` names.
    pub fn at(&self, revision: &str) -> Result<Snapshot<'_>, LocalError> {
        Ok(Snapshot::new(&self.git, self.commit(revision)?.tree()?))
    }

    fn commit(&self, revision: &str) -> Result<Commit<'_>, LocalError> {
        self.git
            .revparse_single(revision)
            .and_then(|object| object.peel_to_commit())
            .map_err(|_| LocalError::UnknownRevision(revision.to_owned()))
    }

    /// The host that the `renku` CLI puts IRIs under: the one of the project's remote, without a first label `gitlab`.
    /// `None`: no remote, or one without a host.
    pub fn host(&self) -> Result<Option<String>, LocalError> {
        match remote::url(&self.git)? {
            Some(url) => Ok(host_of_url(&url)?),
            None => Ok(None),
        }
    }

    /// The last path components of the metadata files that a revision (`A`) or range (`A..B`) changed, in the order in
    /// which the `renku` CLI takes them: commits as `git rev-list` gives them, paths sorted in each. A range that git does
    /// not understand changed nothing; a single revision that is unknown is an error.
    pub fn changed_metadata(&self, spec: &str) -> Result<Vec<String>, LocalError> {
        changes::names(self, spec)
    }
}
