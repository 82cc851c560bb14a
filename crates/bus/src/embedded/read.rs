use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::{Offset, Timestamp};
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::schema::OFFSET_BITS;
use super::writer::row_id;
use super::{headers, sqlite};
use crate::local::{Chunk, Pid, Slot};
use crate::{BusError, ReadLimits, Record};

/// So many reading connections are kept when nobody reads.
const KEPT: usize = 2;

/// Connections for reading, opened as needed. Queries run on blocking threads.
#[derive(Clone)]
pub(super) struct ReadPool {
    folder: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl ReadPool {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: Arc::new(folder.to_owned()),
            idle: Arc::default(),
        }
    }

    pub(super) async fn read(
        &self,
        slot: Slot,
        from: Offset,
        to: Offset,
        limits: ReadLimits,
    ) -> Result<Chunk, BusError> {
        self.with(move |connection| read(connection, &slot, from, to, limits))
            .await
    }

    pub(super) async fn load_positions(&self, group: Arc<str>) -> Result<Vec<(Pid, Offset)>, BusError> {
        self.with(move |connection| {
            let mut statement = connection.prepare("SELECT pid, next FROM positions WHERE of_group = ?1")?;
            let rows = statement.query_map([&*group], |row| {
                Ok((row.get(0)?, Offset::new(row.get::<_, i64>(1)? as u64)))
            })?;
            rows.collect()
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BusError> {
        let pool = self.clone();
        let run = move || {
            let idle = pool.idle.lock().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => sqlite::open_for_reading(&pool.folder)?,
            };
            let answer = query(&connection).map_err(|e| sqlite::error(&pool.folder, e));
            let mut idle = pool.idle.lock();
            if answer.is_ok() && idle.len() < KEPT {
                idle.push(connection);
            }
            answer
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|e| BusError::Unavailable(e.into()))?
    }
}

fn read(
    connection: &Connection,
    slot: &Slot,
    from: Offset,
    to: Offset,
    limits: ReadLimits,
) -> rusqlite::Result<Chunk> {
    let mut statement = connection.prepare_cached(
        "SELECT id, made_at, key, headers, value FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id",
    )?;
    let mut rows = statement.query(params![row_id(slot.pid, from), row_id(slot.pid, to)])?;
    let mut chunk = Chunk {
        records: Vec::new(),
        next: to,
    };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let offset = Offset::new(row.get::<_, i64>(0)? as u64 & ((1 << OFFSET_BITS) - 1));
        if !chunk.records.is_empty() && (bytes >= limits.bytes || chunk.records.len() >= limits.records) {
            chunk.next = offset;
            break;
        }
        let column = Bytes::from(row.get::<_, Vec<u8>>(3)?);
        let headers = headers::decode(column).ok_or_else(|| {
            let what = format!(
                "headers of {}/{}@{offset} cannot be read",
                slot.topic, slot.partition
            );
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Blob, what.into())
        })?;
        let record = Record {
            topic: slot.topic.clone(),
            partition: slot.partition,
            offset,
            key: Bytes::from(row.get::<_, Vec<u8>>(2)?),
            value: row.get::<_, Option<Vec<u8>>>(4)?.map(Bytes::from),
            headers,
            timestamp: Timestamp::from_micros(row.get(1)?),
        };
        bytes += record.bytes();
        chunk.records.push(record);
    }
    Ok(chunk)
}
