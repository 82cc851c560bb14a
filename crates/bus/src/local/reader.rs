use std::sync::Arc;

use async_trait::async_trait;
use model::{Offset, Position, TopicName};

use super::catalog::Changes;
use super::{Shared, Slot};
use crate::{BusError, ReadLimits, Reader, Record, TopicPartition};

/// A partition being read, and how far.
pub(super) struct Cursor {
    pub(super) slot: Slot,
    pub(super) next: Offset,
    pub(super) paused: bool,
}

/// Reads some of what the cursors have before them, starting with the one at `turn`, so that each gets its turn.
/// Cursors move only by what is given: dropping the future loses nothing. `None`: all stand at the end.
pub(super) async fn gather(
    shared: &Shared,
    cursors: &mut [Cursor],
    turn: &mut usize,
    limits: ReadLimits,
) -> Result<Option<Vec<Record>>, BusError> {
    let mut gathered: Vec<(usize, Offset)> = Vec::new();
    let mut records = Vec::new();
    let mut bytes = 0;
    let first = *turn;
    for step in 0..cursors.len() {
        let at = (first + step) % cursors.len();
        let Some(cursor) = cursors.get(at).filter(|cursor| !cursor.paused) else {
            continue;
        };
        let (_, end) = shared.catalog.extent(cursor.slot.pid);
        if cursor.next >= end {
            continue;
        }
        let left = ReadLimits {
            records: limits.records.saturating_sub(records.len()),
            bytes: limits.bytes.saturating_sub(bytes),
        };
        // One record is always given, but only one partition may use that to go over the bounds.
        if !records.is_empty() && (left.records == 0 || left.bytes < limits.bytes / 4) {
            break;
        }
        let chunk = match shared.catalog.recent(cursor.slot.pid, cursor.next, end, left) {
            Some(chunk) => chunk,
            None => shared.storage.read(&cursor.slot, cursor.next, end, left).await?,
        };
        bytes += chunk.records.iter().map(Record::bytes).sum::<usize>();
        records.extend(chunk.records);
        gathered.push((at, chunk.next));
    }
    if gathered.is_empty() {
        return Ok(None);
    }
    for (at, next) in gathered {
        if let Some(cursor) = cursors.get_mut(at) {
            cursor.next = next;
        }
        *turn = at + 1;
    }
    Ok(Some(records))
}

/// A view's reader.
pub(super) struct LocalReader {
    shared: Arc<Shared>,
    cursors: Vec<Cursor>,
    changes: Changes,
    turn: usize,
    limits: ReadLimits,
}

impl LocalReader {
    pub(super) fn open(
        shared: Arc<Shared>,
        from: Vec<Position>,
        limits: ReadLimits,
    ) -> Result<Self, BusError> {
        let mut topics: Vec<TopicName> = from.iter().map(|position| position.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        let changes = shared.catalog.watch(&topics)?;
        let mut cursors = Vec::with_capacity(from.len());
        for position in from {
            let slot = shared.catalog.slot(&position)?;
            shared.catalog.check(&slot, position.next)?;
            cursors.push(Cursor {
                slot,
                next: position.next,
                paused: false,
            });
        }
        Ok(Self {
            shared,
            cursors,
            changes,
            turn: 0,
            limits,
        })
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for cursor in &mut self.cursors {
            if partitions.contains(&cursor.slot.topic_partition()) {
                cursor.paused = paused;
            }
        }
    }
}

#[async_trait]
impl Reader for LocalReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            self.changes.mark();
            for cursor in self.cursors.iter().filter(|cursor| !cursor.paused) {
                self.shared.catalog.check(&cursor.slot, cursor.next)?;
            }
            let gathered = gather(&self.shared, &mut self.cursors, &mut self.turn, self.limits).await?;
            if let Some(records) = gathered {
                return Ok(records);
            }
            self.changes.wait().await;
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.cursors
            .iter()
            .map(|cursor| cursor.slot.at(cursor.next))
            .collect()
    }

    async fn seek(&mut self, to: Position) -> Result<(), BusError> {
        let slot = self.shared.catalog.slot(&to)?;
        self.shared.catalog.check(&slot, to.next)?;
        match self.cursors.iter_mut().find(|cursor| cursor.slot.pid == slot.pid) {
            Some(cursor) => {
                cursor.next = to.next;
                Ok(())
            }
            None => Err(BusError::Fenced),
        }
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }
}
