use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{CleanUp, LogId, Offset, TopicName};
use rusqlite::{Connection, OptionalExtension, params};

use super::ends::Ends;
use super::{EmbeddedOptions, sqlite};
use crate::BusError;
use crate::local::{Catalog, Pid};

/// Bits of a record's row number that are its offset; the rest is the partition.
pub(super) const OFFSET_BITS: u32 = 40;

const FORMAT: i64 = 1;

/// `records.id` is partition << 40 | offset: rows of a partition lie together and in order.
/// `newest` and `superseded` are kept for compacted topics only.
const TABLES: &str = "
    CREATE TABLE log (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, id BLOB NOT NULL);
    CREATE TABLE topics (
        first INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
        compact INTEGER NOT NULL, age_ms INTEGER);
    CREATE TABLE partitions (pid INTEGER PRIMARY KEY, start INTEGER NOT NULL, end INTEGER NOT NULL);
    CREATE TABLE records (
        id INTEGER PRIMARY KEY, made_at INTEGER NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB);
    CREATE TABLE newest (pid INTEGER NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (pid, key))
        WITHOUT ROWID;
    CREATE TABLE superseded (id INTEGER PRIMARY KEY, since INTEGER NOT NULL);
    CREATE TABLE positions (
        of_group TEXT NOT NULL, pid INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (of_group, pid))
        WITHOUT ROWID;
";

/// A log that was opened, for the writer.
pub(super) struct Opened {
    pub(super) folder: PathBuf,
    pub(super) connection: Connection,
    pub(super) ends: Ends,
    pub(super) log_id: LogId,
    pub(super) topics: Vec<TopicRow>,
    /// The next offset of each partition.
    pub(super) next: Vec<Offset>,
}

/// A topic as it is stored.
#[derive(Clone, Debug)]
pub(super) struct TopicRow {
    pub(super) first: Pid,
    pub(super) name: TopicName,
    pub(super) partitions: u32,
    pub(super) clean_up: CleanUp,
}

impl TopicRow {
    pub(super) fn compact(&self) -> bool {
        matches!(self.clean_up, CleanUp::Compact | CleanUp::CompactAndDelete(_))
    }

    pub(super) fn age(&self) -> Option<Duration> {
        match self.clean_up {
            CleanUp::Delete(age) | CleanUp::CompactAndDelete(age) => Some(age),
            CleanUp::Compact => None,
        }
    }

    pub(super) fn pids(&self) -> std::ops::Range<Pid> {
        self.first..self.first + self.partitions
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let age = self
            .age()
            .map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        connection.execute(
            "INSERT INTO topics VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET compact = excluded.compact, age_ms = excluded.age_ms",
            params![
                self.first,
                self.name.as_str(),
                self.partitions,
                self.compact(),
                age
            ],
        )?;
        Ok(())
    }
}

pub(super) fn open(
    folder: &Path,
    options: &EmbeddedOptions,
    catalog: &Arc<Catalog>,
) -> Result<Opened, BusError> {
    let at = |e| sqlite::error(folder, e);
    let connection = sqlite::open_for_writing(folder)?;
    if let Some(pages) = options.most_pages {
        connection
            .pragma_update(None, "max_page_count", pages)
            .map_err(at)?;
    }
    let found = identity(&connection).map_err(at)?;
    let log_id = match found {
        Some((format, _)) if format != FORMAT => {
            return Err(BusError::Format {
                path: sqlite::file(folder),
                found: format,
                known: FORMAT,
            });
        }
        Some((_, id)) => id,
        None => create(&connection, options.fresh_id).map_err(at)?,
    };
    let topics = load_topics(&connection).map_err(at)?;
    let extents = load_extents(&connection).map_err(at)?;
    let io = |e: std::io::Error| BusError::Unavailable(e.into());
    let (ends, mirrored) = Ends::open(folder, log_id).map_err(io)?;
    let mut opened = Opened {
        folder: folder.to_owned(),
        connection,
        ends,
        log_id,
        topics,
        next: extents.iter().map(|(_, end)| *end).collect(),
    };
    if lost_records(&opened.next, &mirrored) {
        tracing::error!(log.id = %log_id, "the log has lost records that were acknowledged: views will be rebuilt");
        take_new_id(&mut opened, &mirrored, options.fresh_id).map_err(at)?;
        opened.ends.restart(opened.log_id).map_err(io)?;
    }
    for (pid, next) in (0..).zip(&opened.next) {
        opened.ends.note(pid, *next).map_err(io)?;
    }
    for topic in &opened.topics {
        let range = topic.first as usize..(topic.first + topic.partitions) as usize;
        let starts = extents.get(range.clone()).unwrap_or_default();
        let nexts = opened.next.get(range).unwrap_or_default();
        let extents: Vec<_> = starts
            .iter()
            .zip(nexts)
            .map(|((start, _), next)| (*start, *next))
            .collect();
        if extents.len() != topic.partitions as usize
            || catalog.add_topic(&topic.name, &extents) != topic.first
        {
            let source = format!(
                "the partitions of topic {} are not those it was made with",
                topic.name
            )
            .into();
            return Err(BusError::Corrupt {
                path: sqlite::file(folder),
                source,
            });
        }
    }
    Ok(opened)
}

fn identity(connection: &Connection) -> rusqlite::Result<Option<(i64, LogId)>> {
    let has: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'log'", [], |r| {
            r.get(0)
        })?;
    if has == 0 {
        return Ok(None);
    }
    connection
        .query_row("SELECT format, id FROM log", [], |row| {
            let id: [u8; 16] = row.get(1)?;
            Ok((row.get(0)?, LogId(u128::from_be_bytes(id))))
        })
        .optional()
}

fn create(connection: &Connection, fresh_id: LogId) -> rusqlite::Result<LogId> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO log VALUES (1, ?1, ?2)",
        params![FORMAT, fresh_id.0.to_be_bytes()],
    )?;
    transaction.commit()?;
    Ok(fresh_id)
}

fn load_topics(connection: &Connection) -> rusqlite::Result<Vec<TopicRow>> {
    let mut statement =
        connection.prepare("SELECT first, name, partitions, compact, age_ms FROM topics ORDER BY first")?;
    let rows = statement.query_map([], |row| {
        let name: String = row.get(1)?;
        let name = name.parse::<TopicName>().map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(e))
        })?;
        let age = row
            .get::<_, Option<i64>>(4)?
            .map(|ms| Duration::from_millis(ms.max(0) as u64));
        let clean_up = match (row.get::<_, bool>(3)?, age) {
            (true, None) => CleanUp::Compact,
            (true, Some(age)) => CleanUp::CompactAndDelete(age),
            (false, age) => CleanUp::Delete(age.unwrap_or(Duration::MAX)),
        };
        Ok(TopicRow {
            first: row.get(0)?,
            name,
            partitions: row.get(2)?,
            clean_up,
        })
    })?;
    rows.collect()
}

fn load_extents(connection: &Connection) -> rusqlite::Result<Vec<(Offset, Offset)>> {
    let mut statement = connection.prepare("SELECT start, end FROM partitions ORDER BY pid")?;
    let offset = |n: i64| Offset::new(n.max(0) as u64);
    let rows = statement.query_map([], |row| Ok((offset(row.get(0)?), offset(row.get(1)?))))?;
    rows.collect()
}

/// Whether readers may have seen records that the file does not have. A topic whose making was not yet durable has
/// entries of no partition: nobody was told of records there.
fn lost_records(next: &[Offset], mirrored: &[Option<Offset>]) -> bool {
    let entries = mirrored.iter().enumerate();
    let mut known = entries.filter_map(|(pid, end)| end.map(|end| (pid, end)));
    known.any(|(pid, end)| end > next.get(pid).copied().unwrap_or_default())
}

fn take_new_id(opened: &mut Opened, mirrored: &[Option<Offset>], fresh_id: LogId) -> rusqlite::Result<()> {
    let transaction = opened.connection.unchecked_transaction()?;
    transaction.execute("UPDATE log SET id = ?1", params![fresh_id.0.to_be_bytes()])?;
    for (pid, (next, mirrored)) in (0..).zip(opened.next.iter_mut().zip(mirrored)) {
        let behind: Pid = pid;
        if let Some(end) = mirrored.filter(|end| end > next) {
            transaction.execute(
                "UPDATE partitions SET end = ?2 WHERE pid = ?1",
                params![behind, end.get() as i64],
            )?;
            *next = end;
        }
    }
    transaction.commit()?;
    opened.log_id = fresh_id;
    Ok(())
}
