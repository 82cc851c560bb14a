//! Repositories: from a project and a branch to a commit and its metadata files.

mod archive;
mod fetch;
mod linked;
mod local;
mod mirror;

pub use fetch::{
    Cancel, FetchError, FetchLimits, Fetched, FetchedCommit, MetadataFile, MetadataFolder, RemoteBranch,
    Signature, Way,
};
pub use linked::{LinkedError, linked_inside};
pub use local::{BadRemote, LocalError, LocalRepository, Snapshot, host_of_url};
pub use mirror::{MirrorSettings, Mirrors};
