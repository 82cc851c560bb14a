use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{GitObjectId, Secret, Sha, Slug, Timestamp};

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct RemoteBranch<'a> {
    /// `path_with_namespace` as GitLab has it now.
    pub slug: &'a Slug,
    /// The branch, without `refs/heads/`.
    pub branch: &'a str,
    /// None: the service's own token.
    pub token: Option<&'a Secret>,
}

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Bytes of a pack, or of an archive.
    pub bytes: u64,
    /// Objects of a pack: all folders of the commit and the files that are not filtered out.
    pub pack_objects: usize,
    /// For the whole fetch.
    pub time: Duration,
    /// For one wait on the network.
    pub idle: Duration,
    /// File contents up to this size come with the pack; larger ones only if they are metadata.
    pub inline_blob: u64,
    /// Metadata files of a commit.
    pub metadata_files: usize,
    /// Bytes of one metadata file.
    pub metadata_file_bytes: u64,
    /// Bytes of all metadata files of an archive, inflated.
    pub archive_inflated: u64,
    /// Bytes of one mirror on disk; above it, it is made anew.
    pub mirror_bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            pack_objects: 2_000_000,
            time: Duration::from_secs(120),
            idle: Duration::from_secs(30),
            inline_blob: 128 << 10,
            metadata_files: 200_000,
            metadata_file_bytes: 8 << 20,
            archive_inflated: 1 << 30,
            mirror_bytes: 1 << 30,
        }
    }
}

/// Stops a fetch from another thread. Clones are the same switch.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not pulled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pulls it: the fetch ends with [`FetchError::Cancelled`] at its next read.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Was it pulled?
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Author or committer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// As git has it; what is not UTF-8 is replaced, and it is cut after 1,000 characters.
    pub name: String,
    /// The same.
    pub email: String,
    /// When, to the second.
    pub at: Timestamp,
}

/// The commit at the head of the branch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedCommit {
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
}

/// A file of the commit's `.renku` folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MetadataFile {
    /// Below `.renku/`, e.g. `metadata/ab/cd/abcd…` or `metadata.yml`.
    pub path: Box<str>,
    /// The git blob.
    pub blob: GitObjectId,
    /// Bytes of its content.
    pub size: u64,
}

/// The metadata files below one first-level folder of the database (`key` is its two hex digits), or all others (`key`
/// is empty).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataFolder {
    /// See above.
    pub key: String,
    /// Names this very list of files: equal names, equal lists.
    pub name: GitObjectId,
    /// Sorted by path.
    pub files: Arc<[MetadataFile]>,
}

/// How the content came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// The branch's head is the one in the mirror.
    Mirror,
    /// By git.
    Git,
    /// By GitLab's archive API, because the repository is too large for git.
    Archive,
}

/// What a fetch gives. Contents of the files: `Mirrors::read`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The commit.
    pub commit: FetchedCommit,
    /// `refs/heads/…`.
    pub r#ref: String,
    /// Sorted by key, none of them empty; none at all in a repository without renku metadata.
    pub folders: Vec<MetadataFolder>,
    /// Sorted paths of symlinks that go through `.renku/pointers` and end inside the repository. Empty for archives, which
    /// hold the `.renku` folder alone.
    pub linked: Vec<String>,
    /// Entries of the metadata folders that are no files (symlinks, submodules) or have names that are not UTF-8. They are left out.
    pub ignored: u32,
    /// Bytes that came over the network.
    pub bytes: u64,
    /// See [`Way`].
    pub way: Way,
}

/// Why there is no content. No variant holds a token or an address.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository is there, the branch is not; also: no commit yet.
    #[error("the repository has no branch {0:?}")]
    NoBranch(String),
    /// 404, or a redirect to another name.
    #[error("there is no such repository that the token may read")]
    NoRepository,
    /// 401 or 403.
    #[error("GitLab refused the token with status {0}: it needs the scopes read_api and read_repository")]
    Refused(u16),
    /// 429.
    #[error("GitLab asks to send fewer requests")]
    Busy {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Not reachable, too slow, or failing.
    #[error("GitLab is down: {why}")]
    Down {
        /// What was seen.
        why: String,
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// An answer that is not git's or GitLab's.
    #[error("GitLab's answer cannot be used: {0}")]
    Garbage(String),
    /// Above a limit in every way of fetching.
    #[error("the repository is too large: {0}")]
    TooLarge(String),
    /// What is in the repository cannot be taken in: a hostile ref name, a forged object.
    #[error("the repository cannot be read: {0}")]
    Rejected(String),
    /// A mirror is damaged, twice in a row; or the disk.
    #[error("the mirror cannot be used: {0}")]
    Mirror(String),
    /// A blob that is not, or no longer, in the mirror. Fetch again.
    #[error("blob {0} is not in the mirror")]
    NotInMirror(GitObjectId),
    /// Stopped by [`Cancel`].
    #[error("the fetch was stopped")]
    Cancelled,
}
