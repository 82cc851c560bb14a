use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Offset, TopicName};
use tokio::sync::watch;
use tokio::time::Instant;

use super::catalog::Changes;
use super::group::{Group, MemberNumber, Step};
use super::reader::{Cursor, gather};
use super::{Pid, Shared, Slot};
use crate::prefix::Prefix;
use crate::{Assignment, BusError, GroupConsumer, GroupEvent, GroupOptions, Record, TopicPartition};

/// One member of a group.
pub(super) struct Member {
    shared: Arc<Shared>,
    group: Arc<Group>,
    number: MemberNumber,
    slots: Vec<Slot>,
    options: GroupOptions,
    cursors: Vec<Cursor>,
    /// Kept for a revoked partition until it is released, so that what is in hand can be settled.
    prefixes: HashMap<Pid, Prefix>,
    records_changed: Changes,
    group_changed: watch::Receiver<u64>,
    turn: usize,
}

impl Member {
    pub(super) fn join(
        shared: Arc<Shared>,
        group: Arc<Group>,
        name: &str,
        topics: &[TopicName],
        options: GroupOptions,
    ) -> Result<Self, BusError> {
        let mut slots = Vec::new();
        for topic in topics {
            slots.extend(shared.catalog.slots(topic)?);
        }
        let records_changed = shared.catalog.watch(topics)?;
        let group_changed = group.watch();
        let number = group.join(name, &slots, options.drain, Instant::now());
        Ok(Self {
            shared,
            group,
            number,
            slots,
            options,
            cursors: Vec::new(),
            prefixes: HashMap::new(),
            records_changed,
            group_changed,
            turn: 0,
        })
    }

    fn slot(&self, pid: Pid) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.pid == pid)
    }

    fn pid(&self, partition: &TopicPartition) -> Option<Pid> {
        self.slots
            .iter()
            .find(|slot| slot.partition == partition.partition && slot.topic == partition.topic)
            .map(|slot| slot.pid)
    }

    fn assign(&mut self, pids: Vec<Pid>) -> Result<GroupEvent, BusError> {
        let mut assignments = Vec::with_capacity(pids.len());
        for pid in pids {
            let Some(slot) = self.slot(pid).cloned() else {
                continue;
            };
            let (start, end) = self.shared.catalog.extent(pid);
            let stored = self.group.position(pid);
            if let Some(stored) = stored.filter(|stored| *stored > end) {
                return Err(BusError::PastEnd {
                    position: slot.at(stored),
                    end,
                });
            }
            let next = stored.unwrap_or(start).max(start);
            assignments.push(Assignment {
                position: slot.at(next),
                lost_from: stored.filter(|s| *s < start),
            });
            self.prefixes.insert(pid, Prefix::default());
            self.cursors.push(Cursor {
                slot,
                next,
                paused: false,
            });
        }
        Ok(GroupEvent::Assigned(assignments))
    }

    fn revoke(&mut self, pids: &[Pid], within: std::time::Duration) -> GroupEvent {
        let (gone, kept) = std::mem::take(&mut self.cursors)
            .into_iter()
            .partition(|cursor| pids.contains(&cursor.slot.pid));
        self.cursors = kept;
        let gone: Vec<Cursor> = gone;
        let partitions = gone.iter().map(|cursor| cursor.slot.topic_partition()).collect();
        GroupEvent::Revoked { partitions, within }
    }

    /// Retention can overtake a member: then it is told as an assignment with what was lost.
    fn overtaken(&mut self) -> Option<GroupEvent> {
        let mut assignments = Vec::new();
        for cursor in &mut self.cursors {
            let (start, _) = self.shared.catalog.extent(cursor.slot.pid);
            if cursor.next < start {
                assignments.push(Assignment {
                    position: cursor.slot.at(start),
                    lost_from: Some(cursor.next),
                });
                cursor.next = start;
            }
        }
        (!assignments.is_empty()).then_some(GroupEvent::Assigned(assignments))
    }

    fn hand_out(&mut self, records: &[Record]) {
        for record in records {
            if let Some(prefix) = self
                .pid(&record.slot())
                .and_then(|pid| self.prefixes.get_mut(&pid))
            {
                prefix.hand_out(record.offset);
            }
        }
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
impl GroupConsumer for Member {
    async fn next(&mut self) -> Result<GroupEvent, BusError> {
        loop {
            self.records_changed.mark();
            self.group_changed.mark_unchanged();
            let wake = match self.group.next_step(self.number, Instant::now()) {
                Step::Assigned(pids) => return self.assign(pids),
                Step::Revoked(pids, within) => return Ok(self.revoke(&pids, within)),
                Step::Nothing(wake) => wake,
            };
            if let Some(event) = self.overtaken() {
                return Ok(event);
            }
            let gathered = gather(
                &self.shared,
                &mut self.cursors,
                &mut self.turn,
                self.options.limits,
            )
            .await?;
            match gathered {
                Some(records) if records.is_empty() => continue,
                Some(records) => {
                    self.hand_out(&records);
                    return Ok(GroupEvent::Records(records));
                }
                None => {}
            }
            tokio::select! {
                biased;
                () = self.records_changed.wait() => {}
                _ = self.group_changed.changed() => {}
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn settle(&mut self, partition: &TopicPartition, offset: Offset) {
        let Some(pid) = self.pid(partition) else { return };
        let moved = self
            .prefixes
            .get_mut(&pid)
            .and_then(|prefix| prefix.settle(offset));
        if let Some(next) = moved
            && self.group.settle(self.number, pid, next)
        {
            self.shared.storage.store_position(&self.group.name, pid, next);
        }
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    fn release(&mut self, partitions: &[TopicPartition]) {
        let pids: Vec<Pid> = partitions
            .iter()
            .filter_map(|partition| self.pid(partition))
            .collect();
        for pid in &pids {
            if !self.cursors.iter().any(|cursor| cursor.slot.pid == *pid) {
                self.prefixes.remove(pid);
            }
        }
        self.group.release(self.number, &pids);
    }

    async fn flush(&mut self) -> Result<(), BusError> {
        self.shared.storage.flush().await
    }

    async fn leave(mut self: Box<Self>) -> Result<(), BusError> {
        self.shared.storage.flush().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.leave(self.number, Instant::now());
    }
}
