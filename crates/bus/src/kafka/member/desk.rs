use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use model::Offset;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::prefix::Prefix;
use crate::{Assignment, BusError, GroupEvent, ReadLimits, Record, TopicPartition};

/// What lies between the keeper, who talks to the cluster, and the worker, who takes events and settles records.
pub(super) struct Desk {
    limits: ReadLimits,
    state: Mutex<State>,
    /// Something happened that the worker may wait for.
    pub(super) told: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Item>,
    /// Of the records in `events`.
    bytes: usize,
    records: usize,
    /// Records of paused partitions that had come already.
    held: BTreeMap<TopicPartition, VecDeque<Record>>,
    paused: BTreeSet<TopicPartition>,
    /// Owned, or taken away and not handed over yet.
    prefixes: HashMap<TopicPartition, Prefix>,
    /// Settled prefixes that are not stored yet.
    unsaved: BTreeMap<TopicPartition, Offset>,
    saving: Option<BTreeMap<TopicPartition, Offset>>,
    save_now: bool,
    released: HashSet<TopicPartition>,
    fault: Option<BusError>,
    leaving: bool,
    gone: bool,
}

enum Item {
    Event(GroupEvent),
    Record(Record),
}

impl Desk {
    pub(super) fn new(limits: ReadLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            told: Notify::new(),
        }
    }

    // The worker's side.

    /// The next event, and whether the keeper may have waited for room.
    pub(super) fn next_event(&self) -> Result<(Option<GroupEvent>, bool), BusError> {
        let mut state = self.state.lock();
        let was_full = state.is_full(self.limits);
        let mut batch: Vec<Record> = Vec::new();
        let mut bytes = 0;
        while batch.is_empty() || (batch.len() < self.limits.records && bytes < self.limits.bytes) {
            match state.events.pop_front() {
                Some(Item::Record(record)) => {
                    state.bytes -= record.bytes();
                    state.records -= 1;
                    let slot = record.slot();
                    if state.paused.contains(&slot) {
                        state.held.entry(slot).or_default().push_back(record);
                        continue;
                    }
                    if let Some(prefix) = state.prefixes.get_mut(&slot) {
                        prefix.hand_out(record.offset);
                    }
                    bytes += record.bytes();
                    batch.push(record);
                }
                Some(Item::Event(event)) if batch.is_empty() => return Ok((Some(event), was_full)),
                Some(event) => {
                    state.events.push_front(event);
                    break;
                }
                None => break,
            }
        }
        if !batch.is_empty() {
            return Ok((Some(GroupEvent::Records(batch)), was_full));
        }
        match state.fault.take() {
            Some(fault) => Err(fault),
            None if state.gone => Err(BusError::Closed),
            None => Ok((None, was_full)),
        }
    }

    pub(super) fn settle(&self, slot: &TopicPartition, offset: Offset) {
        let mut state = self.state.lock();
        if let Some(next) = state
            .prefixes
            .get_mut(slot)
            .and_then(|prefix| prefix.settle(offset))
        {
            state.unsaved.insert(slot.clone(), next);
        }
    }

    pub(super) fn pause(&self, slots: &[TopicPartition]) {
        self.state.lock().paused.extend(slots.iter().cloned());
    }

    pub(super) fn resume(&self, slots: &[TopicPartition]) {
        let mut state = self.state.lock();
        for slot in slots {
            state.paused.remove(slot);
            // They came before everything that is still to be given of this partition.
            for record in state.held.remove(slot).unwrap_or_default().into_iter().rev() {
                state.bytes += record.bytes();
                state.records += 1;
                state.events.push_front(Item::Record(record));
            }
        }
        drop(state);
        self.told.notify_one();
    }

    pub(super) fn release(&self, slots: &[TopicPartition]) {
        self.state.lock().released.extend(slots.iter().cloned());
    }

    pub(super) fn save_now(&self) {
        self.state.lock().save_now = true;
    }

    pub(super) fn leave(&self) {
        self.state.lock().leaving = true;
    }

    /// Waits until that is so, or the keeper is gone.
    pub(super) async fn wait_until(&self, so: impl Fn(&Self) -> bool) -> Result<(), BusError> {
        loop {
            let told = self.told.notified();
            if so(self) {
                return Ok(());
            }
            if self.is_gone() {
                return Err(BusError::Closed);
            }
            // A notice may have been meant for another wait: look again now and then.
            let _ = tokio::time::timeout(Duration::from_millis(20), told).await;
        }
    }

    pub(super) fn is_saved(&self) -> bool {
        let state = self.state.lock();
        state.unsaved.is_empty() && state.saving.is_none()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    // The keeper's side.

    pub(super) fn is_leaving(&self) -> bool {
        self.state.lock().leaving
    }

    /// No more records should come until the worker took some.
    pub(super) fn is_full(&self) -> bool {
        self.state.lock().is_full(self.limits)
    }

    pub(super) fn put_records(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for record in records {
            state.bytes += record.bytes();
            state.records += 1;
            state.events.push_back(Item::Record(record));
        }
        drop(state);
        self.told.notify_one();
    }

    pub(super) fn put_assigned(&self, assignments: Vec<Assignment>) {
        let mut state = self.state.lock();
        for assignment in &assignments {
            let slot = TopicPartition::from(&assignment.position);
            state.paused.remove(&slot);
            state.released.remove(&slot);
            state.prefixes.insert(slot, Prefix::default());
        }
        state
            .events
            .push_back(Item::Event(GroupEvent::Assigned(assignments)));
        drop(state);
        self.told.notify_one();
    }

    /// No more records of these; what is in hand may be settled until [`Desk::forget`].
    pub(super) fn put_revoked(&self, slots: &BTreeSet<TopicPartition>, within: Duration) {
        let mut state = self.state.lock();
        state.drop_records(slots);
        for slot in slots {
            state.paused.remove(slot);
            state.released.remove(slot);
        }
        let partitions = slots.iter().cloned().collect();
        state
            .events
            .push_back(Item::Event(GroupEvent::Revoked { partitions, within }));
        drop(state);
        self.told.notify_one();
    }

    pub(super) fn are_released(&self, slots: &BTreeSet<TopicPartition>) -> bool {
        let state = self.state.lock();
        slots.iter().all(|slot| state.released.contains(slot))
    }

    /// They are somebody else's: settling them has no effect any more.
    pub(super) fn forget(&self, slots: &BTreeSet<TopicPartition>) {
        let mut state = self.state.lock();
        for slot in slots {
            state.prefixes.remove(slot);
            state.unsaved.remove(slot);
            state.released.remove(slot);
        }
        state.drop_records(slots);
        drop(state);
        self.told.notify_one();
    }

    pub(super) fn paused(&self) -> BTreeSet<TopicPartition> {
        self.state.lock().paused.clone()
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.state.lock().unsaved.is_empty()
    }

    /// Is somebody waiting for positions to be stored?
    pub(super) fn wants_saving(&self) -> bool {
        let state = self.state.lock();
        state.save_now && !state.unsaved.is_empty()
    }

    /// Takes what is to be stored; `None` when there is nothing, or something is on its way.
    pub(super) fn begin_saving(&self) -> Option<BTreeMap<TopicPartition, Offset>> {
        let mut state = self.state.lock();
        if state.saving.is_some() || state.unsaved.is_empty() {
            return None;
        }
        let taken = std::mem::take(&mut state.unsaved);
        state.saving = Some(taken.clone());
        Some(taken)
    }

    pub(super) fn end_saving(&self, stored: bool) {
        let mut state = self.state.lock();
        let taken = state.saving.take().unwrap_or_default();
        if !stored {
            for (slot, offset) in taken {
                if state.prefixes.contains_key(&slot) {
                    state.unsaved.entry(slot).or_insert(offset);
                }
            }
        }
        if state.unsaved.is_empty() {
            state.save_now = false;
        }
        drop(state);
        self.told.notify_one();
    }

    pub(super) fn fail(&self, fault: BusError) {
        self.state.lock().fault.get_or_insert(fault);
        self.told.notify_one();
    }

    pub(super) fn gone(&self) {
        self.state.lock().gone = true;
        self.told.notify_one();
    }
}

impl State {
    /// Twice a batch: one to be taken, one to come.
    fn is_full(&self, limits: ReadLimits) -> bool {
        self.records >= 2 * limits.records || self.bytes >= 2 * limits.bytes
    }

    fn drop_records(&mut self, slots: &BTreeSet<TopicPartition>) {
        let (mut records, mut bytes) = (0, 0);
        self.events.retain(|item| match item {
            Item::Record(record) if slots.contains(&record.slot()) => {
                records += 1;
                bytes += record.bytes();
                false
            }
            _ => true,
        });
        self.records -= records;
        self.bytes -= bytes;
        for slot in slots {
            self.held.remove(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Partition, Timestamp, TopicName};

    use super::*;
    use crate::Headers;

    fn slot(number: u32) -> TopicPartition {
        TopicPartition {
            topic: TopicName::from_static("t"),
            partition: Partition::new(number),
        }
    }

    fn record(number: u32, offset: u64) -> Record {
        let slot = slot(number);
        Record {
            topic: slot.topic,
            partition: slot.partition,
            offset: Offset::new(offset),
            key: Bytes::from_static(b"k"),
            value: None,
            headers: Headers::new(),
            timestamp: Timestamp::default(),
        }
    }

    fn desk() -> Desk {
        let desk = Desk::new(ReadLimits {
            records: 2,
            bytes: 10_000,
        });
        let assigned = [0, 1].map(|n| Assignment {
            position: slot(n).at(Offset::default()),
            lost_from: None,
        });
        desk.put_assigned(assigned.to_vec());
        assert!(matches!(
            desk.next_event(),
            Ok((Some(GroupEvent::Assigned(_)), _))
        ));
        desk
    }

    fn given(desk: &Desk) -> Vec<(u32, u64)> {
        match desk.next_event().unwrap().0 {
            Some(GroupEvent::Records(records)) => records
                .iter()
                .map(|r| (r.partition.get(), r.offset.get()))
                .collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn batches_are_bounded_and_room_is_told() {
        let desk = desk();
        desk.put_records((0..4).map(|n| record(0, n)).collect());
        assert!(desk.is_full());
        assert_eq!(given(&desk), [(0, 0), (0, 1)]);
        assert!(!desk.is_full());
        assert_eq!(given(&desk), [(0, 2), (0, 3)]);
    }

    #[test]
    fn a_paused_partition_keeps_its_order() {
        let desk = desk();
        desk.put_records(vec![record(0, 0), record(1, 0), record(0, 1)]);
        desk.pause(&[slot(0)]);
        assert_eq!(given(&desk), [(1, 0)]);
        desk.put_records(vec![record(0, 2)]);
        desk.resume(&[slot(0)]);
        assert_eq!(given(&desk), [(0, 0), (0, 1)]);
        assert_eq!(given(&desk), [(0, 2)]);
    }

    #[test]
    fn what_is_forgotten_cannot_be_settled() {
        let desk = desk();
        desk.put_records(vec![record(0, 0), record(1, 0)]);
        given(&desk);
        let first = BTreeSet::from([slot(0)]);
        desk.put_revoked(&first, Duration::from_secs(1));
        desk.settle(&slot(0), Offset::new(0));
        assert_eq!(desk.begin_saving(), Some([(slot(0), Offset::new(1))].into()));
        desk.forget(&first);
        desk.end_saving(false);
        assert!(desk.is_saved(), "it is somebody else's by now");
        desk.settle(&slot(0), Offset::new(0));
        assert!(desk.is_saved());
        desk.settle(&slot(1), Offset::new(0));
        assert!(!desk.is_saved());
    }
}
