use std::collections::BTreeMap;

use model::{Timestamp, TopicName};

use super::WorkerConfig;
use super::retry::Held;

/// Records that wait in a worker or are worked on.
#[derive(Debug, Default)]
pub struct InHand {
    /// Of the sources.
    pub(super) fresh: Load,
    /// Of the retry lanes: what waits there must not hold up what is new.
    pub(super) tried: Load,
    /// Of the sources, and failed since.
    failed: usize,
    /// When they were made, by the topic that they were read from.
    made: BTreeMap<TopicName, BTreeMap<Timestamp, usize>>,
}

impl InHand {
    /// How many.
    pub fn records(&self) -> usize {
        self.fresh.records + self.tried.records
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.fresh.bytes + self.tried.bytes
    }

    /// How many of them failed before: they wait in memory, or were read from a retry lane.
    pub fn retrying(&self) -> usize {
        self.failed + self.tried.records
    }

    /// When the oldest that was read from this topic, or retry lane, was made.
    pub fn oldest_of(&self, topic: &TopicName) -> Option<Timestamp> {
        let made = self.made.get(topic)?;
        made.first_key_value().map(|(made, _)| *made)
    }

    pub(super) fn add(&mut self, held: &Held) {
        let load = self.load(held);
        load.records += 1;
        load.bytes += held.bytes();
        if !self.made.contains_key(&held.slot.topic) {
            self.made.insert(held.slot.topic.clone(), BTreeMap::new());
        }
        if let Some(made) = self.made.get_mut(&held.slot.topic) {
            *made.entry(held.record.timestamp).or_default() += 1;
        }
    }

    pub(super) fn take(&mut self, held: &Held) {
        let load = self.load(held);
        load.records -= 1;
        load.bytes -= held.bytes();
        self.failed -= usize::from(held.failed);
        let made = self.made.get_mut(&held.slot.topic);
        if let Some(made) = made
            && let Some(count) = made.get_mut(&held.record.timestamp)
        {
            *count -= 1;
            if *count == 0 {
                made.remove(&held.record.timestamp);
            }
        }
    }

    /// Its turn failed, and it waits here for the next one.
    pub(super) fn fail(&mut self, held: &mut Held) {
        if !held.failed && held.tried == 0 {
            held.failed = true;
            self.failed += 1;
        }
    }

    fn load(&mut self, held: &Held) -> &mut Load {
        if held.tried > 0 {
            &mut self.tried
        } else {
            &mut self.fresh
        }
    }
}

/// A part of it, with a bound of its own.
#[derive(Debug, Default)]
pub(super) struct Load {
    records: usize,
    bytes: usize,
    /// Reading is paused for it.
    pub(super) paused: bool,
}

impl Load {
    /// Whether to pause (true) or resume (false) now: full at the bounds, relieved at half of them.
    pub(super) fn turn_tap(&mut self, config: &WorkerConfig) -> Option<bool> {
        let full = self.bytes >= config.in_flight_bytes || self.records >= config.in_flight_records;
        let relieved =
            self.bytes <= config.in_flight_bytes / 2 && self.records <= config.in_flight_records / 2;
        let turned = (full && !self.paused) || (relieved && self.paused);
        self.paused ^= turned;
        turned.then_some(self.paused)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Offset, Partition};

    use super::*;
    use crate::{Headers, Record};

    const T: TopicName = TopicName::from_static("t.v1");

    fn held(offset: u64, made: i64) -> Held {
        Held::first(Record {
            topic: T,
            partition: Partition::new(0),
            offset: Offset::new(offset),
            key: Bytes::from_static(b"k"),
            value: None,
            headers: Headers::new(),
            timestamp: Timestamp::from_micros(made),
        })
    }

    #[test]
    fn the_oldest_is_known_and_what_failed_is_counted_once() {
        let mut hand = InHand::default();
        let mut all = [held(1, 30), held(2, 10), held(3, 10)];
        all.iter().for_each(|held| hand.add(held));
        assert_eq!((hand.records(), hand.retrying()), (3, 0));
        for _ in 0..2 {
            hand.fail(&mut all[1]);
        }
        assert_eq!(hand.retrying(), 1);
        for (at, oldest) in [(1, Some(10)), (2, Some(30)), (0, None)] {
            hand.take(&all[at]);
            assert_eq!(hand.oldest_of(&T), oldest.map(Timestamp::from_micros));
        }
        assert_eq!((hand.records(), hand.bytes(), hand.retrying()), (0, 0, 0));
    }
}
