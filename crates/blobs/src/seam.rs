use async_trait::async_trait;
use bytes::Bytes;
use model::{BlobName, Timestamp};

use crate::BlobError;

/// A store of values by name. Putting a value twice is harmless.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores values; returns when all of them are durable. Those that are there already are used again.
    /// A value is never there without those ahead of it in the list, also after a crash: lists go behind what they name.
    async fn put_many(&self, values: Vec<(BlobName, Bytes)>) -> Result<(), BlobError>;

    /// The values in the order asked for; `None` where there is none.
    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError>;

    /// Which of these are there, and from now on used again: they are as young as if they were put now.
    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError>;

    /// Which of these are there. Their age stays.
    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError>;

    /// Names of values not used since `before`, at most `limit`, for the sweep.
    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError>;

    /// Takes values away that were not used since `before`; others of the list stay. Returns how many went.
    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError>;
}
