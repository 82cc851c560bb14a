use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use model::{Offset, Timestamp, TopicSpec};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ends::Ends;
use super::schema::{OFFSET_BITS, Opened, TopicRow};
use super::{EmbeddedOptions, clean_up, headers, sqlite};
use crate::BusError;
use crate::local::{Catalog, Pid, Placed};

/// Settled positions wait this long for an append whose transaction they can share.
const POSITIONS_WAIT: Duration = Duration::from_millis(500);
/// One transaction takes at most this many waiting requests.
const MOST_PER_COMMIT: usize = 1024;

type Done<T> = oneshot::Sender<Result<T, BusError>>;

/// What the writing thread is asked for.
pub(super) enum Command {
    Append {
        records: Vec<Placed>,
        room: OwnedSemaphorePermit,
        done: Done<Vec<Offset>>,
    },
    EnsureTopics {
        topics: Vec<TopicSpec>,
        done: Done<()>,
    },
    CleanUp {
        now: Timestamp,
        done: Done<bool>,
    },
    Flush {
        done: Done<()>,
    },
    /// Positions wait to be stored.
    Nudge,
    Stop,
}

/// The positions that wait, by group and partition.
type Waiting = HashMap<(Arc<str>, Pid), Offset>;

/// The way to the writing thread.
pub(super) struct WriterHandle {
    commands: Sender<Command>,
    room: Arc<Semaphore>,
    most_room: u32,
    waiting: Arc<Mutex<Waiting>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    pub(super) fn start(
        opened: Opened,
        catalog: Arc<Catalog>,
        options: &EmbeddedOptions,
    ) -> Result<Self, BusError> {
        let (commands, inbox) = channel();
        let waiting = Arc::<Mutex<Waiting>>::default();
        let writer = Writer {
            folder: opened.folder,
            connection: opened.connection,
            ends: opened.ends,
            topics: opened.topics,
            next: opened.next,
            catalog,
            waiting: waiting.clone(),
            compaction_lag: options.compaction_lag,
        };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|e| BusError::Unavailable(e.into()))?;
        let room = Arc::new(Semaphore::new(options.waiting_bytes as usize));
        let thread = Mutex::new(Some(thread));
        Ok(Self {
            commands,
            room,
            most_room: options.waiting_bytes,
            waiting,
            thread,
        })
    }

    pub(super) fn send(&self, command: Command) -> Result<(), BusError> {
        self.commands.send(command).map_err(|_| BusError::Closed)
    }

    /// Waits until the records may wait for the writer. Bounds memory.
    pub(super) async fn room_for(&self, records: &[Placed]) -> Result<OwnedSemaphorePermit, BusError> {
        let bytes: usize = records.iter().map(|placed| placed.record.bytes() + 128).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most_room);
        self.room
            .clone()
            .acquire_many_owned(bytes)
            .await
            .map_err(|_| BusError::Closed)
    }

    pub(super) fn store_position(&self, group: &Arc<str>, pid: Pid, next: Offset) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty();
        waiting.insert((group.clone(), pid), next);
        drop(waiting);
        if first {
            // A writer that is gone has stored what it was told before; the rest is worked on again.
            let _ = self.commands.send(Command::Nudge);
        }
    }

    /// Ends the thread after what it was asked so far.
    pub(super) fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writing thread panicked");
        }
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Writer {
    folder: PathBuf,
    connection: Connection,
    ends: Ends,
    topics: Vec<TopicRow>,
    next: Vec<Offset>,
    catalog: Arc<Catalog>,
    waiting: Arc<Mutex<Waiting>>,
    compaction_lag: Duration,
}

/// An append in the running transaction.
struct Pending {
    records: Vec<Placed>,
    done: Done<Vec<Offset>>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Command>) {
        let mut held: Option<Command> = None;
        let mut positions_wait = false;
        loop {
            let first = match held.take() {
                Some(command) => command,
                None if positions_wait => match inbox.recv_timeout(POSITIONS_WAIT) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => {
                        positions_wait = false;
                        self.commit(Vec::new(), Vec::new());
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
                None => match inbox.recv() {
                    Ok(command) => command,
                    Err(_) => return,
                },
            };
            let (mut appends, mut flushes) = (Vec::new(), Vec::new());
            let mut command = Some(first);
            // Everything that waits shares one transaction, up to the first command of another kind.
            while let Some(next) = command.take() {
                match next {
                    Command::Append { records, room, done } => {
                        appends.push(Pending {
                            records,
                            done,
                            _room: room,
                        });
                    }
                    Command::Flush { done } => flushes.push(done),
                    Command::Nudge => positions_wait = true,
                    other => {
                        held = Some(other);
                        break;
                    }
                }
                if appends.len() + flushes.len() < MOST_PER_COMMIT {
                    command = inbox.try_recv().ok();
                }
            }
            if !appends.is_empty() || !flushes.is_empty() {
                positions_wait = false;
                self.commit(appends, flushes);
            }
            match held.take() {
                Some(Command::EnsureTopics { topics, done }) => {
                    let _ = done.send(self.ensure_topics(topics));
                }
                Some(Command::CleanUp { now, done }) => {
                    let _ = done.send(self.clean_up(now));
                }
                Some(Command::Stop) => {
                    self.commit(Vec::new(), Vec::new());
                    return;
                }
                other => held = other,
            }
        }
    }

    /// One transaction, one fsync; then the records are visible, then the senders are told.
    fn commit(&mut self, appends: Vec<Pending>, flushes: Vec<Done<()>>) {
        let positions = std::mem::take(&mut *self.waiting.lock());
        if appends.is_empty() && positions.is_empty() {
            for done in flushes {
                let _ = done.send(Ok(()));
            }
            return;
        }
        let before = self.next.clone();
        match self.write(&appends, &positions) {
            Ok(offsets) => {
                self.note_ends(&before);
                let mut answers = Vec::with_capacity(appends.len());
                let mut written = Vec::new();
                for (pending, offsets) in appends.into_iter().zip(offsets) {
                    written.extend(pending.records.into_iter().zip(offsets.iter().copied()));
                    answers.push((pending.done, offsets));
                }
                self.catalog.publish(&written);
                for (done, offsets) in answers {
                    let _ = done.send(Ok(offsets));
                }
                for done in flushes {
                    let _ = done.send(Ok(()));
                }
            }
            Err(error) => {
                self.next = before;
                tracing::error!(%error, appends = appends.len(), "the log could not be written");
                let mut waiting = self.waiting.lock();
                for (key, next) in positions {
                    waiting.entry(key).or_insert(next);
                }
                drop(waiting);
                let text = error.to_string();
                for pending in appends {
                    let _ = pending.done.send(Err(self.refusal(&error, &text)));
                }
                for done in flushes {
                    let _ = done.send(Err(self.refusal(&error, &text)));
                }
            }
        }
    }

    fn write(&mut self, appends: &[Pending], positions: &Waiting) -> rusqlite::Result<Vec<Vec<Offset>>> {
        let Self {
            connection,
            topics,
            next,
            ..
        } = self;
        let transaction = connection.transaction()?;
        let mut offsets = Vec::with_capacity(appends.len());
        let mut touched: HashMap<Pid, Offset> = HashMap::new();
        {
            let mut insert = transaction.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for pending in appends {
                let mut of_append = Vec::with_capacity(pending.records.len());
                for Placed { pid, record } in &pending.records {
                    let Some(next) = next.get_mut(*pid as usize) else {
                        return Err(rusqlite::Error::InvalidQuery);
                    };
                    let offset = *next;
                    *next = offset.next();
                    touched.insert(*pid, *next);
                    let id = row_id(*pid, offset);
                    insert.execute(params![
                        id,
                        record.timestamp.as_micros(),
                        &record.key[..],
                        headers::encode(&record.headers),
                        record.value.as_deref(),
                    ])?;
                    if topics
                        .iter()
                        .any(|topic| topic.pids().contains(pid) && topic.compact())
                    {
                        supersede(&transaction, *pid, &record.key, id, record.timestamp)?;
                    }
                    of_append.push(offset);
                }
                offsets.push(of_append);
            }
            let mut update = transaction.prepare_cached("UPDATE partitions SET end = ?2 WHERE pid = ?1")?;
            for (pid, end) in &touched {
                update.execute(params![pid, end.get() as i64])?;
            }
            let mut store =
                transaction.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3)")?;
            for ((group, pid), next) in positions {
                store.execute(params![&**group, pid, next.get() as i64])?;
            }
        }
        transaction.commit()?;
        Ok(offsets)
    }

    /// Before anybody can see the records, so that the mirror is never behind what was seen.
    fn note_ends(&self, before: &[Offset]) {
        for (pid, (was, is)) in (0..).zip(before.iter().zip(&self.next)) {
            if was != is
                && let Err(error) = self.ends.note(pid, *is)
            {
                tracing::warn!(%error, "the mirror of the log's ends could not be written");
                return;
            }
        }
    }

    /// One error for each of several senders.
    fn refusal(&self, error: &rusqlite::Error, text: &str) -> BusError {
        let source = match error {
            rusqlite::Error::SqliteFailure(code, _) => {
                rusqlite::Error::SqliteFailure(*code, Some(text.to_owned()))
            }
            _ => return BusError::Unavailable(text.to_owned().into()),
        };
        sqlite::error(&self.folder, source)
    }

    fn ensure_topics(&mut self, specs: Vec<TopicSpec>) -> Result<(), BusError> {
        for spec in specs {
            self.catalog.check_partitions(&spec)?;
            let known = self.topics.iter().position(|topic| topic.name == spec.name);
            if known.is_some_and(|at| self.topics.get(at).is_some_and(|t| t.clean_up == spec.clean_up)) {
                continue;
            }
            let first = known
                .and_then(|at| self.topics.get(at))
                .map_or(self.next.len() as Pid, |t| t.first);
            let row = TopicRow {
                first,
                name: spec.name,
                partitions: spec.partitions,
                clean_up: spec.clean_up,
            };
            let was_compact = known
                .and_then(|at| self.topics.get(at))
                .is_some_and(TopicRow::compact);
            self.store_topic(&row, known.is_none(), was_compact)
                .map_err(|e| sqlite::error(&self.folder, e))?;
            match known.and_then(|at| self.topics.get_mut(at)) {
                Some(topic) => *topic = row,
                None => {
                    let none = vec![(Offset::default(), Offset::default()); row.partitions as usize];
                    self.next
                        .resize(self.next.len() + row.partitions as usize, Offset::default());
                    self.catalog.add_topic(&row.name, &none);
                    self.topics.push(row);
                }
            }
        }
        Ok(())
    }

    fn store_topic(&mut self, row: &TopicRow, new: bool, was_compact: bool) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        row.insert(&transaction)?;
        for pid in row.pids() {
            if new {
                transaction.execute("INSERT INTO partitions VALUES (?1, 0, 0)", [pid])?;
            } else if row.compact() && !was_compact {
                // The index of newest records was not kept so far.
                let (low, high) = (row_id(pid, Offset::default()), row_id(pid + 1, Offset::default()));
                transaction.execute(
                    "INSERT INTO newest SELECT ?1, key, max(id) FROM records WHERE id >= ?2 AND id < ?3 GROUP BY key",
                    params![pid, low, high],
                )?;
                transaction.execute(
                    "INSERT OR IGNORE INTO superseded SELECT id, made_at FROM records WHERE id >= ?2 AND id < ?3
                     AND id NOT IN (SELECT id FROM newest WHERE pid = ?1)",
                    params![pid, low, high],
                )?;
            } else if was_compact && !row.compact() {
                transaction.execute("DELETE FROM newest WHERE pid = ?1", [pid])?;
            }
        }
        transaction.commit()
    }

    fn clean_up(&mut self, now: Timestamp) -> Result<bool, BusError> {
        let step = clean_up::step(
            &mut self.connection,
            &self.topics,
            &self.next,
            now,
            self.compaction_lag,
        )
        .map_err(|e| sqlite::error(&self.folder, e))?;
        for (pid, start) in step.moved {
            self.catalog.move_start(pid, start);
        }
        Ok(step.more)
    }
}

/// The row number of a record.
pub(super) fn row_id(pid: Pid, offset: Offset) -> i64 {
    (i64::from(pid) << OFFSET_BITS) | offset.get() as i64
}

fn supersede(
    connection: &Connection,
    pid: Pid,
    key: &Bytes,
    id: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let old: Option<i64> = connection
        .prepare_cached("SELECT id FROM newest WHERE pid = ?1 AND key = ?2")?
        .query_row(params![pid, &key[..]], |row| row.get(0))
        .optional()?;
    if let Some(old) = old {
        connection
            .prepare_cached("INSERT OR IGNORE INTO superseded VALUES (?1, ?2)")?
            .execute(params![old, now.as_micros()])?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO newest VALUES (?1, ?2, ?3)")?
        .execute(params![pid, &key[..], id])?;
    Ok(())
}
