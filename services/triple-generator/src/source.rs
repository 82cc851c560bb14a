use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use blobs::Blobs;
use bytes::Bytes;
use metadata::{ObjectSource, SourceError};
use model::{BlobName, GitObjectId};

use crate::listing::Listing;

/// A commit's metadata files for the generator: those that are new come with it, others are read from the blob store
/// when the generator has forgotten them. Only for blocking threads.
pub(crate) struct CommitFiles<'a> {
    pub(crate) listing: &'a Listing,
    pub(crate) at_hand: HashMap<GitObjectId, Bytes>,
    pub(crate) linked: HashSet<String>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// Why a file could not be had, within a [`SourceError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It is named and not there: swept too early, or lost. The project has to be looked at again.
    #[error("blob {0} is missing from the blob store")]
    Missing(BlobName),
    /// The blob store failed.
    #[error(transparent)]
    Blobs(#[from] blobs::BlobError),
}

impl CommitFiles<'_> {
    fn get(&self, id: GitObjectId) -> Result<Bytes, FileError> {
        if let Some(bytes) = self.at_hand.get(&id) {
            return Ok(bytes.clone());
        }
        let name = BlobName::Git(id);
        let found = self.runtime.block_on(self.blobs.get_many(&[name]))?;
        found.into_iter().next().flatten().ok_or(FileError::Missing(name))
    }
}

impl ObjectSource for CommitFiles<'_> {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        let Some(id) = self.listing.blob(path) else {
            return Ok(None);
        };
        let bytes = self.get(id).map_err(|error| -> SourceError { Box::new(error) })?;
        Ok(Some(Cow::Owned(bytes.into())))
    }

    fn is_linked(&self, path: &str) -> bool {
        self.linked.contains(path)
    }
}
