use std::sync::Arc;

use async_trait::async_trait;
use model::{Offset, TopicSpec};

use super::{Pid, Slot};
use crate::{BusError, NewRecord, ReadLimits, Record};

/// A record with the partition that was computed for it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) pid: Pid,
    pub(crate) record: NewRecord,
}

/// What one read gave.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    /// Where to go on; above the last record when only holes follow.
    pub(crate) next: Offset,
}

/// Where the records of a local log are kept.
#[async_trait]
pub(crate) trait Storage: Send + Sync + 'static {
    /// Makes topics and takes over clean-up rules; tells the catalog.
    async fn ensure_topics(&self, topics: Vec<TopicSpec>) -> Result<(), BusError>;

    /// All or none; durable and told to the catalog when it returns.
    async fn append(&self, records: Vec<Placed>) -> Result<Vec<Offset>, BusError>;

    /// Records of one partition with `from <= offset < to`.
    async fn read(
        &self,
        slot: &Slot,
        from: Offset,
        to: Offset,
        limits: ReadLimits,
    ) -> Result<Chunk, BusError>;

    /// The stored positions of a group.
    async fn load_positions(&self, group: &Arc<str>) -> Result<Vec<(Pid, Offset)>, BusError>;

    /// To be stored soon.
    fn store_position(&self, group: &Arc<str>, pid: Pid, next: Offset);

    /// Returns when every position is stored.
    async fn flush(&self) -> Result<(), BusError>;
}
