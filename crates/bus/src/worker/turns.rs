use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::Lane;

/// Of so many turns taken while both lanes wait, one is the backfill's.
const BACKFILL_SHARE: u32 = 10;

/// Who goes next: queues per key, one turn at a time per key, keys in turn, backfill behind live work.
/// An item that is not due yet makes no turn, but goes along with the next one that its key gets.
/// Pure: the time is what the caller says it is.
#[derive(Debug)]
pub struct Turns<T> {
    keys: HashMap<Bytes, Queue<T>>,
    live: VecDeque<Bytes>,
    backfill: VecDeque<Bytes>,
    cooling: BinaryHeap<Reverse<(Duration, Bytes)>>,
    since_backfill: u32,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<Item<T>>,
    state: State,
    attempt: u32,
}

#[derive(Debug)]
struct Item<T> {
    lane: Lane,
    due: Option<Duration>,
    what: T,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ready(Lane),
    Running,
    /// The last turn failed: nothing of the key goes before that moment.
    Cooling(Duration),
    /// Nothing of the key is due before that moment. What comes and is due goes at once.
    Waiting(Duration),
}

/// One turn of one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken<T> {
    /// Whose turn.
    pub key: Bytes,
    /// What to do, in order.
    pub items: Vec<(Lane, T)>,
    /// 1 for the first try.
    pub attempt: u32,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            live: VecDeque::new(),
            backfill: VecDeque::new(),
            cooling: BinaryHeap::new(),
            since_backfill: 0,
        }
    }
}

impl<T> Turns<T> {
    /// Adds one item at the end of its key's queue. `due`: when it may make a turn; none: now.
    pub fn push(&mut self, key: Bytes, lane: Lane, what: T, due: Option<Duration>) {
        let item = Item { lane, due, what };
        let Some(queue) = self.keys.get_mut(&key) else {
            let mut queue = Queue {
                items: VecDeque::from([item]),
                state: State::Running,
                attempt: 0,
            };
            self.line_up(&key, &mut queue);
            self.keys.insert(key, queue);
            return;
        };
        queue.items.push_back(item);
        match (queue.state, due) {
            // Live work behind backfill of the same key takes the whole key forward.
            (State::Ready(Lane::Backfill), None) if lane == Lane::Live => {
                queue.state = State::Ready(Lane::Live);
                self.live.push_back(key);
            }
            (State::Waiting(_), None) => {
                queue.state = State::Ready(lane);
                self.line(lane).push_back(key);
            }
            (State::Waiting(until), Some(due)) if due < until => {
                queue.state = State::Waiting(due);
                self.cooling.push(Reverse((due, key)));
            }
            _ => {}
        }
    }

    /// Takes the next turn with at most `most` items. The key gets no other turn before [`Turns::finish`] or
    /// [`Turns::retry`].
    pub fn take(&mut self, now: Duration, most: usize) -> Option<Taken<T>> {
        self.wake(now);
        let backfill_first = self.since_backfill + 1 >= BACKFILL_SHARE;
        let order = if backfill_first {
            [Lane::Backfill, Lane::Live]
        } else {
            [Lane::Live, Lane::Backfill]
        };
        for lane in order {
            while let Some(key) = self.line(lane).pop_front() {
                let Some(queue) = self.keys.get_mut(&key) else {
                    continue;
                };
                // An entry is stale when its key was moved to the other line since.
                if queue.state != State::Ready(lane) {
                    continue;
                }
                queue.state = State::Running;
                queue.attempt += 1;
                let count = queue.items.len().min(most.max(1));
                let items = queue.items.drain(..count);
                let items = items.map(|item| (item.lane, item.what)).collect();
                let attempt = queue.attempt;
                self.since_backfill = if lane == Lane::Backfill {
                    0
                } else {
                    self.since_backfill + 1
                };
                return Some(Taken { key, items, attempt });
            }
        }
        None
    }

    /// The turn of this key is over; its next one, if something waits, is behind the others.
    pub fn finish(&mut self, key: &Bytes) {
        let Some(mut queue) = self.keys.remove(key) else {
            return;
        };
        if queue.items.is_empty() {
            return;
        }
        queue.attempt = 0;
        self.line_up(key, &mut queue);
        self.keys.insert(key.clone(), queue);
    }

    /// The turn failed: its items go back to the front and the key waits until `until`.
    pub fn retry(&mut self, key: &Bytes, items: Vec<(Lane, T)>, until: Duration) {
        let Some(queue) = self.keys.get_mut(key) else {
            return;
        };
        for (lane, what) in items.into_iter().rev() {
            queue.items.push_front(Item {
                lane,
                due: None,
                what,
            });
        }
        queue.state = State::Cooling(until);
        self.cooling.push(Reverse((until, key.clone())));
        self.drop_if_empty(key);
    }

    /// Drops waiting items that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.keys.retain(|_, queue| {
            queue.items.retain(|item| keep(&item.what));
            !queue.items.is_empty() || queue.state == State::Running
        });
    }

    /// When the next waiting key is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.cooling.peek().map(|Reverse((due, _))| *due)
    }

    fn wake(&mut self, now: Duration) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((due, key))) = self.cooling.pop() else {
                return;
            };
            if let Some(queue) = self.keys.get_mut(&key)
                && (queue.state == State::Cooling(due) || queue.state == State::Waiting(due))
            {
                let lane = queue.lane();
                queue.state = State::Ready(lane);
                self.line(lane).push_back(key);
            }
        }
    }

    /// Puts a key that is not running where its items belong.
    fn line_up(&mut self, key: &Bytes, queue: &mut Queue<T>) {
        if queue.items.iter().any(|item| item.due.is_none()) {
            let lane = queue.lane();
            queue.state = State::Ready(lane);
            self.line(lane).push_back(key.clone());
        } else if let Some(due) = queue.items.iter().filter_map(|item| item.due).min() {
            queue.state = State::Waiting(due);
            self.cooling.push(Reverse((due, key.clone())));
        }
    }

    fn drop_if_empty(&mut self, key: &Bytes) {
        if self.keys.get(key).is_some_and(|queue| queue.items.is_empty()) {
            self.keys.remove(key);
        }
    }

    fn line(&mut self, lane: Lane) -> &mut VecDeque<Bytes> {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Backfill => &mut self.backfill,
        }
    }
}

impl<T> Queue<T> {
    fn lane(&self) -> Lane {
        if self.items.iter().any(|item| item.lane == Lane::Live) {
            Lane::Live
        } else {
            Lane::Backfill
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn key(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    #[test]
    fn keys_take_turns() {
        let mut turns = Turns::default();
        for n in 0..3 {
            turns.push(key(1), Lane::Live, n, None);
        }
        turns.push(key(2), Lane::Live, 9, None);
        let first = turns.take(NOW, 1).unwrap();
        assert_eq!((first.key.clone(), first.items), (key(1), vec![(Lane::Live, 0)]));
        assert_eq!(turns.take(NOW, 1).unwrap().key, key(2));
        assert!(turns.take(NOW, 1).is_none(), "one turn at a time per key");
        turns.finish(&key(1));
        assert_eq!(
            turns.take(NOW, 10).unwrap().items,
            vec![(Lane::Live, 1), (Lane::Live, 2)]
        );
    }

    #[test]
    fn backfill_gets_a_tenth_while_live_work_waits_and_all_when_idle() {
        let mut turns = Turns::default();
        for n in 0..100 {
            turns.push(key(n), Lane::Live, 0, None);
            turns.push(key(100 + n), Lane::Backfill, 0, None);
        }
        let lanes: Vec<Lane> = (0..50).map(|_| turns.take(NOW, 1).unwrap().items[0].0).collect();
        assert_eq!(lanes.iter().filter(|l| **l == Lane::Backfill).count(), 5);
        let mut rest = 0;
        while turns.take(NOW, 1).is_some() {
            rest += 1;
        }
        assert_eq!(rest, 150);
    }

    #[test]
    fn live_work_takes_its_key_forward() {
        let mut turns = Turns::default();
        turns.push(key(1), Lane::Backfill, 0, None);
        turns.push(key(2), Lane::Live, 0, None);
        turns.push(key(1), Lane::Live, 1, None);
        assert_eq!(turns.take(NOW, 9).unwrap().key, key(2));
        assert_eq!(turns.take(NOW, 9).unwrap().items.len(), 2);
        turns.finish(&key(1));
        assert!(turns.take(NOW, 9).is_none());
    }

    #[test]
    fn a_failed_turn_comes_back_after_its_time_and_in_order() {
        let mut turns = Turns::default();
        turns.push(key(1), Lane::Live, 1, None);
        turns.push(key(1), Lane::Live, 2, None);
        let taken = turns.take(NOW, 2).unwrap();
        turns.push(key(1), Lane::Live, 3, None);
        turns.retry(&key(1), taken.items, Duration::from_secs(5));
        assert!(turns.take(Duration::from_secs(4), 9).is_none());
        assert_eq!(turns.next_due(), Some(Duration::from_secs(5)));
        let again = turns.take(Duration::from_secs(5), 9).unwrap();
        assert_eq!(again.attempt, 2);
        assert_eq!(
            again.items.into_iter().map(|(_, n)| n).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }

    #[test]
    fn what_is_not_due_waits_alone_but_goes_along() {
        let second = Duration::from_secs;
        let mut turns = Turns::default();
        turns.push(key(1), Lane::Live, 1, Some(second(9)));
        turns.push(key(1), Lane::Live, 2, Some(second(5)));
        assert!(turns.take(second(4), 9).is_none());
        assert_eq!(turns.next_due(), Some(second(5)));
        turns.push(key(1), Lane::Live, 3, None);
        let taken = turns.take(second(4), 9).unwrap();
        assert_eq!(taken.items.len(), 3, "one turn answers for all");
        turns.push(key(1), Lane::Live, 4, Some(second(6)));
        turns.finish(&key(1));
        assert!(turns.take(second(5), 9).is_none());
        assert_eq!(turns.take(second(6), 9).unwrap().items, vec![(Lane::Live, 4)]);
        turns.finish(&key(1));
        assert!(turns.take(second(99), 9).is_none());
    }

    #[test]
    fn what_comes_does_not_cut_a_failed_turn_s_wait_short() {
        let mut turns = Turns::default();
        turns.push(key(1), Lane::Live, 1, None);
        let taken = turns.take(NOW, 9).unwrap();
        turns.retry(&key(1), taken.items, Duration::from_secs(5));
        turns.push(key(1), Lane::Live, 2, None);
        assert!(turns.take(Duration::from_secs(4), 9).is_none());
        assert_eq!(turns.take(Duration::from_secs(5), 9).unwrap().items.len(), 2);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8, bool, Option<u64>),
        Take(usize),
        Finish(prop::sample::Index),
        Retry(prop::sample::Index, u64),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..6, any::<bool>(), proptest::option::weighted(0.3, 1u64..9))
                .prop_map(|(k, live, due)| Step::Push(k, live, due)),
            3 => (1usize..4).prop_map(Step::Take),
            2 => any::<prop::sample::Index>().prop_map(Step::Finish),
            1 => (any::<prop::sample::Index>(), 0u64..9).prop_map(|(i, t)| Step::Retry(i, t)),
            1 => (0u64..9).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Every item is finished once, in order of its key, and never two turns of a key at once.
        #[test]
        fn nothing_is_lost_doubled_or_re_ordered(steps in proptest::collection::vec(step(), 1..120)) {
            let mut turns = Turns::default();
            let mut now = 0;
            let mut pushed: HashMap<Bytes, Vec<u32>> = HashMap::new();
            let mut done: HashMap<Bytes, Vec<u32>> = HashMap::new();
            let mut running: Vec<Taken<u32>> = Vec::new();
            let mut serial = 0;
            for step in steps {
                match step {
                    Step::Push(k, live, due) => {
                        serial += 1;
                        pushed.entry(key(k)).or_default().push(serial);
                        let due = due.map(|after| Duration::from_secs(now + after));
                        turns.push(key(k), if live { Lane::Live } else { Lane::Backfill }, serial, due);
                    }
                    Step::Take(most) => {
                        if let Some(taken) = turns.take(Duration::from_secs(now), most) {
                            prop_assert!(running.iter().all(|r| r.key != taken.key));
                            prop_assert!(!taken.items.is_empty());
                            running.push(taken);
                        }
                    }
                    Step::Finish(pick) if !running.is_empty() => {
                        let taken = running.swap_remove(pick.index(running.len()));
                        done.entry(taken.key.clone()).or_default().extend(taken.items.iter().map(|(_, n)| n));
                        turns.finish(&taken.key);
                    }
                    Step::Retry(pick, after) if !running.is_empty() => {
                        let taken = running.swap_remove(pick.index(running.len()));
                        turns.retry(&taken.key, taken.items, Duration::from_secs(now + after));
                    }
                    Step::Wait(by) => now += by,
                    Step::Finish(_) | Step::Retry(..) => {}
                }
            }
            for taken in running.drain(..) {
                done.entry(taken.key.clone()).or_default().extend(taken.items.iter().map(|(_, n)| n));
                turns.finish(&taken.key);
            }
            while let Some(taken) = turns.take(Duration::from_secs(now + 100), 3) {
                done.entry(taken.key.clone()).or_default().extend(taken.items.iter().map(|(_, n)| n));
                turns.finish(&taken.key);
            }
            prop_assert_eq!(pushed, done);
        }
    }
}
