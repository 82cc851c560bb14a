//! The embedded log: topics in one SQLite file, for one process.
//!
//! One thread appends: what waits is written in one transaction and made durable by one fsync, then acknowledged.
//! Readers use connections of their own, or memory when they keep up. Nothing polls.
//!
//! Beside the file lies `log.ends`, a mirror of the partitions' ends, written without fsync before records become
//! visible. If the file ever opens with less than that (a truncated write-ahead log, a disk that lied), records that
//! readers may have seen are gone: the log then takes a new id, so that every view rebuilds, and offsets go on behind
//! what was given before, so that none names two records.

mod clean_up;
mod ends;
mod headers;
mod lock;
mod read;
mod schema;
mod sqlite;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{LogId, Offset, Position, Timestamp, TopicName, TopicSpec};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::local::{Catalog, Chunk, LocalBus, Pid, Placed, Slot, Storage};
use crate::{Bus, BusError, Extent, GroupConsumer, GroupOptions, NewRecord, ReadLimits, Reader};
use lock::FolderLock;
use read::ReadPool;
use writer::{Command, WriterHandle};

/// How an embedded log is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmbeddedOptions {
    /// A fresh random id: used when the log is made, or when it turns out to have lost records.
    pub fresh_id: LogId,
    /// The newest records up to this many bytes are kept in memory for readers that keep up.
    pub tail_bytes: usize,
    /// Appends that wait may have this many bytes together; further ones wait outside.
    pub waiting_bytes: u32,
    /// A superseded record of a compacted topic stays at least this long.
    pub compaction_lag: Duration,
    /// The file grows to at most this many pages of 4 KiB; `None`: until the disk is full.
    pub most_pages: Option<u32>,
}

impl EmbeddedOptions {
    /// The defaults.
    pub const fn new(fresh_id: LogId) -> Self {
        Self {
            fresh_id,
            tail_bytes: 4 << 20,
            waiting_bytes: 16 << 20,
            compaction_lag: Duration::from_secs(60),
            most_pages: None,
        }
    }
}

/// A durable log in a folder, owned by this process.
#[derive(Clone)]
pub struct EmbeddedBus {
    front: LocalBus,
    storage: Arc<Sqlite>,
}

impl fmt::Debug for EmbeddedBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBus")
            .field("folder", &self.storage.folder)
            .finish_non_exhaustive()
    }
}

impl EmbeddedBus {
    /// Opens the log in `folder`, making both if they are missing. Blocks for the time of a few disk reads.
    ///
    /// # Errors
    /// [`BusError::Locked`] when another process has it, [`BusError::Corrupt`] and [`BusError::Format`] when the file
    /// is no log of ours.
    pub fn open(folder: &Path, options: EmbeddedOptions) -> Result<Self, BusError> {
        std::fs::create_dir_all(folder).map_err(|e| BusError::Unavailable(e.into()))?;
        let lock = FolderLock::take(folder)?;
        let catalog = Arc::new(Catalog::new(options.tail_bytes));
        let opened = schema::open(folder, &options, &catalog)?;
        let log_id = opened.log_id;
        let pool = ReadPool::new(folder);
        let writer = WriterHandle::start(opened, catalog.clone(), &options)?;
        let storage = Arc::new(Sqlite {
            folder: folder.to_owned(),
            writer,
            pool,
            lock: Mutex::new(Some(lock)),
        });
        Ok(Self {
            front: LocalBus::new(Box::new(storage.clone()), catalog, log_id),
            storage,
        })
    }

    /// One small step of compaction and retention. Says whether there is more to do. Appends go on between steps.
    pub async fn clean_up(&self, now: Timestamp) -> Result<bool, BusError> {
        self.storage.ask(|done| Command::CleanUp { now, done }).await
    }

    /// Stores positions of a group that has no member, as a copy of a topic needs it.
    ///
    /// # Errors
    /// [`BusError::GroupInUse`], or as [`Bus::read`] when the log does not have a position.
    pub async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.front.set_group_positions(group, positions).await
    }

    /// Stores what waits and stops the writing thread. Later appends answer [`BusError::Closed`].
    pub async fn close(&self) -> Result<(), BusError> {
        self.front.storage().flush().await?;
        let storage = self.storage.clone();
        // A read that still runs holds the storage for a moment longer; the folder is free at once.
        let stop = move || {
            storage.writer.stop();
            storage.lock.lock().take();
        };
        tokio::task::spawn_blocking(stop)
            .await
            .map_err(|e| BusError::Unavailable(e.into()))
    }
}

struct Sqlite {
    folder: PathBuf,
    writer: WriterHandle,
    pool: ReadPool,
    /// Given back when the log is closed, or last.
    lock: Mutex<Option<FolderLock>>,
}

impl Sqlite {
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Command,
    ) -> Result<T, BusError> {
        let (done, answer) = oneshot::channel();
        self.writer.send(command(done))?;
        answer.await.map_err(|_| BusError::Closed)?
    }
}

#[async_trait]
impl Storage for Arc<Sqlite> {
    async fn ensure_topics(&self, topics: Vec<TopicSpec>) -> Result<(), BusError> {
        self.ask(|done| Command::EnsureTopics { topics, done }).await
    }

    async fn append(&self, records: Vec<Placed>) -> Result<Vec<Offset>, BusError> {
        let room = self.writer.room_for(&records).await?;
        self.ask(|done| Command::Append { records, room, done }).await
    }

    async fn read(
        &self,
        slot: &Slot,
        from: Offset,
        to: Offset,
        limits: ReadLimits,
    ) -> Result<Chunk, BusError> {
        self.pool.read(slot.clone(), from, to, limits).await
    }

    async fn load_positions(&self, group: &Arc<str>) -> Result<Vec<(Pid, Offset)>, BusError> {
        self.pool.load_positions(group.clone()).await
    }

    fn store_position(&self, group: &Arc<str>, pid: Pid, next: Offset) {
        self.writer.store_position(group, pid, next);
    }

    async fn flush(&self) -> Result<(), BusError> {
        self.ask(|done| Command::Flush { done }).await
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn log_id(&self, topics: &[TopicName]) -> Result<LogId, BusError> {
        self.front.log_id(topics).await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), BusError> {
        self.front.ensure_topics(topics).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        self.front.append(records).await
    }

    async fn extents(&self, topic: &TopicName) -> Result<Vec<Extent>, BusError> {
        self.front.extents(topic).await
    }

    async fn group_positions(&self, group: &str, topics: &[TopicName]) -> Result<Vec<Position>, BusError> {
        self.front.group_positions(group, topics).await
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        self.front.join(group, member, topics, options).await
    }

    async fn read(&self, from: Vec<Position>, limits: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        self.front.read(from, limits).await
    }
}
