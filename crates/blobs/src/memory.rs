use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{BlobName, Timestamp};
use parking_lot::Mutex;

use crate::verify::fits;
use crate::{BlobError, Blobs};

/// Values in memory, for simulations and tests of what stands on the seam.
pub struct MemoryBlobs {
    values: Mutex<BTreeMap<BlobName, (Bytes, Timestamp)>>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl MemoryBlobs {
    /// Nothing yet.
    pub fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            values: Mutex::default(),
            now,
        }
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put_many(&self, values: Vec<(BlobName, Bytes)>) -> Result<(), BlobError> {
        if let Some((name, _)) = values.iter().find(|(name, bytes)| !fits(*name, bytes)) {
            return Err(BlobError::OtherContent(*name));
        }
        let now = (self.now)();
        self.values
            .lock()
            .extend(values.into_iter().map(|(name, bytes)| (name, (bytes, now))));
        Ok(())
    }

    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError> {
        let values = self.values.lock();
        Ok(names
            .iter()
            .map(|name| values.get(name).map(|(bytes, _)| bytes.clone()))
            .collect())
    }

    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        let now = (self.now)();
        let mut values = self.values.lock();
        let mut touch = |name| values.get_mut(name).map(|value| value.1 = now).is_some();
        Ok(names.iter().map(&mut touch).collect())
    }

    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        let values = self.values.lock();
        Ok(names.iter().map(|name| values.contains_key(name)).collect())
    }

    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        let values = self.values.lock();
        let old = values.iter().filter(|(_, (_, used))| *used < before);
        Ok(old.map(|(name, _)| *name).take(limit).collect())
    }

    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        let mut values = self.values.lock();
        let had = values.len();
        values.retain(|name, (_, used)| *used >= before || !names.contains(name));
        Ok(had - values.len())
    }
}
