//! From a project's default branch to its newest commit and the list of its metadata files.
//!
//! Speaks git's protocol version 2 over HTTP itself, with the fewest round trips: the refs are asked for by prefix, and
//! one request brings the commit, cut off from its parents, without file contents above a size (data files are never
//! fetched). libgit2 indexes the pack and reads the objects.

mod http;
mod listing;
mod pkt;
mod protocol;
mod types;

pub use types::{
    Cancel, FetchError, FetchLimits, Fetched, FetchedCommit, MetadataFile, MetadataFolder, RemoteBranch,
    Signature, Way,
};

pub(crate) use http::{Body, Deadline, Http, Proof};
pub(crate) use listing::{Folders, ListingError, group, id, list};
pub(crate) use protocol::{Capabilities, PackRequest, Protocol};
