use std::time::Duration;

use model::{Offset, Timestamp};
use rusqlite::{Connection, params};

use super::schema::{OFFSET_BITS, TopicRow};
use super::writer::row_id;
use crate::local::Pid;

/// So many rows go in one step: a few milliseconds at most, between which appends go on.
const ROWS: i64 = 256;

/// What one step did.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// There is more to do.
    pub(super) more: bool,
    /// Partitions whose start moved.
    pub(super) moved: Vec<(Pid, Offset)>,
}

/// Takes away some records that are superseded or too old.
pub(super) fn step(
    connection: &mut Connection,
    topics: &[TopicRow],
    next: &[Offset],
    now: Timestamp,
    compaction_lag: Duration,
) -> rusqlite::Result<Step> {
    let mut step = Step::default();
    let transaction = connection.transaction()?;
    let due = before(now, compaction_lag);
    let ids: Vec<i64> = transaction
        .prepare_cached("SELECT id FROM superseded WHERE since <= ?1 LIMIT ?2")?
        .query_map(params![due, ROWS], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ids {
        transaction
            .prepare_cached("DELETE FROM records WHERE id = ?1")?
            .execute([id])?;
        transaction
            .prepare_cached("DELETE FROM superseded WHERE id = ?1")?
            .execute([id])?;
    }
    let mut left = ROWS - ids.len() as i64;
    for topic in topics {
        let Some(age) = topic.age() else { continue };
        for pid in topic.pids() {
            if left <= 0 {
                break;
            }
            let end = next.get(pid as usize).copied().unwrap_or_default();
            let gone = too_old(&transaction, pid, before(now, age), left)?;
            let Some(last) = gone.last() else { continue };
            for id in &gone {
                transaction
                    .prepare_cached("DELETE FROM records WHERE id = ?1")?
                    .execute([id])?;
                transaction
                    .prepare_cached("DELETE FROM superseded WHERE id = ?1")?
                    .execute([id])?;
            }
            if topic.compact() {
                transaction
                    .prepare_cached("DELETE FROM newest WHERE pid = ?1 AND id <= ?2")?
                    .execute(params![pid, last])?;
            }
            left -= gone.len() as i64;
            let start = first(&transaction, pid)?.unwrap_or(end);
            transaction
                .prepare_cached("UPDATE partitions SET start = ?2 WHERE pid = ?1")?
                .execute(params![pid, start.get() as i64])?;
            step.moved.push((pid, start));
        }
    }
    step.more = left <= 0;
    transaction.commit()?;
    // Gives some free pages back to the file system.
    if !ids.is_empty() || !step.moved.is_empty() {
        connection.execute_batch("PRAGMA incremental_vacuum(64)")?;
    }
    Ok(step)
}

fn before(now: Timestamp, age: Duration) -> i64 {
    now.as_micros()
        .saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}

/// The oldest rows of a partition, as long as each is too old.
fn too_old(connection: &Connection, pid: Pid, due: i64, most: i64) -> rusqlite::Result<Vec<i64>> {
    let mut oldest = connection
        .prepare_cached("SELECT id, made_at FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
    let range = params![
        row_id(pid, Offset::default()),
        row_id(pid + 1, Offset::default()),
        most
    ];
    let mut rows = oldest.query(range)?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= due {
            break;
        }
        gone.push(row.get(0)?);
    }
    Ok(gone)
}

fn first(connection: &Connection, pid: Pid) -> rusqlite::Result<Option<Offset>> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT min(id) FROM records WHERE id >= ?1 AND id < ?2")?
        .query_row(
            params![row_id(pid, Offset::default()), row_id(pid + 1, Offset::default())],
            |row| row.get(0),
        )?;
    Ok(id.map(|id| Offset::new(id as u64 & ((1 << OFFSET_BITS) - 1))))
}
