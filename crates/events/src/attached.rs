use bytes::Bytes;
use model::BlobName;

use crate::Attachment;

/// Blobs that are together no larger than this travel with their record instead of through the blob store. Bytes.
pub const ATTACH_LIMIT: usize = 32 * 1024;

/// The attachments of a record that names these blobs: all of them when they are small together, else none, and then
/// the blobs must be in the blob store before the record is written.
pub fn attach_if_small(blobs: &[(BlobName, Bytes)]) -> Option<Vec<Attachment>> {
    let size: usize = blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    (size <= ATTACH_LIMIT).then(|| {
        blobs
            .iter()
            .map(|(name, bytes)| Attachment::new(*name, bytes.clone()))
            .collect()
    })
}
