use std::path::PathBuf;

use model::BlobName;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a blob store can answer instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Nothing was stored. The same call can be tried again when there is room.
    #[error("the disk that holds the blobs is full: make room, then try again")]
    Full(#[source] BoxError),
    /// A passing fault. Try again.
    #[error("the blob store is not available at the moment")]
    Unavailable(#[source] BoxError),
    /// The stored bytes are not those of the name.
    #[error("blob {0} is damaged: remove it, and look at its project again")]
    Damaged(BlobName),
    /// Bytes were put under a name that is not theirs: a defect of the writer.
    #[error("the value to store under {0} has another digest")]
    OtherContent(BlobName),
    /// The folder cannot be used at all.
    #[error("the blob folder {path} cannot be used")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl BlobError {
    /// Whether the same call may succeed later without anybody changing data or configuration.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}

impl From<rusqlite::Error> for BlobError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(Box::new(error)),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full(Box::new(error))
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}
