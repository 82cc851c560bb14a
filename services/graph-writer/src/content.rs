//! The blobs that a graph record names: attached to it, or in the blob store.

use std::collections::HashMap;
use std::sync::Arc;

use blobs::{BlobError, Blobs, digest_name};
use bytes::Bytes;
use events::{Attachment, Sha256};
use model::BlobName;

/// Names asked for at once.
const AT_ONCE: usize = 512;

/// Blobs of one record.
pub(crate) struct Content<'a> {
    attached: HashMap<BlobName, Bytes>,
    blobs: &'a Arc<dyn Blobs>,
}

/// A blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// Nobody has it.
    #[error("blob {0} is missing: look at the project again")]
    Missing(BlobName),
    /// Not now.
    #[error("the blobs cannot be read at the moment")]
    Passing(#[source] BlobError),
    /// It is there and cannot be used.
    #[error("a blob cannot be used")]
    Damaged(#[source] BlobError),
}

impl<'a> Content<'a> {
    pub(crate) fn new(attached: &[Attachment], blobs: &'a Arc<dyn Blobs>) -> Self {
        // Bytes under a name that is not theirs count as not attached.
        let own = |(name, bytes): &(BlobName, Bytes)| digest_name(bytes) == *name;
        Self {
            attached: attached.iter().filter_map(Attachment::blob).filter(own).collect(),
            blobs,
        }
    }

    /// The blobs of these digests, in this order.
    pub(crate) async fn get(&self, digests: &[Sha256]) -> Result<Vec<Bytes>, ContentError> {
        let names: Vec<_> = digests.iter().map(|digest| BlobName::Digest(digest.0)).collect();
        let mut found: Vec<Option<Bytes>> = names
            .iter()
            .map(|name| self.attached.get(name).cloned())
            .collect();
        let wanted: Vec<usize> = (0..names.len()).filter(|at| found[*at].is_none()).collect();
        for some in wanted.chunks(AT_ONCE) {
            let asked: Vec<_> = some.iter().map(|at| names[*at]).collect();
            let given = self.blobs.get_many(&asked).await.map_err(|error| match error {
                BlobError::Damaged(_) | BlobError::OtherContent(_) => ContentError::Damaged(error),
                _ => ContentError::Passing(error),
            })?;
            for (at, bytes) in some.iter().zip(given) {
                found[*at] = bytes;
            }
        }
        let all = found.into_iter().zip(&names);
        all.map(|(bytes, name)| bytes.ok_or(ContentError::Missing(*name)))
            .collect()
    }
}
