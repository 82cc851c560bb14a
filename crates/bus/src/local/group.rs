use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::Offset;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Pid, Slot};

/// One joining of one member. Joining again gives another number, so a zombie is told from its successor.
pub(super) type MemberNumber = u64;

/// A group: who owns what, and how far each partition is settled.
pub(super) struct Group {
    pub(super) name: Arc<str>,
    state: Mutex<(Shares, HashMap<Pid, Offset>)>,
    changed: watch::Sender<u64>,
}

impl Group {
    pub(super) fn new(name: Arc<str>, stored: Vec<(Pid, Offset)>) -> Self {
        let state = Mutex::new((Shares::default(), stored.into_iter().collect()));
        Self {
            name,
            state,
            changed: watch::Sender::new(0),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn position(&self, pid: Pid) -> Option<Offset> {
        self.state.lock().1.get(&pid).copied()
    }

    /// Takes positions over that were made elsewhere, if there is no member. Says whether it did.
    pub(super) fn take_positions(&self, positions: &[(Pid, Offset)]) -> bool {
        let mut state = self.state.lock();
        let free = state.0.members.is_empty();
        if free {
            state.1.extend(positions.iter().copied());
        }
        free
    }

    pub(super) fn join(&self, name: &str, slots: &[Slot], drain: Duration, now: Instant) -> MemberNumber {
        let number = self.state.lock().0.join(name, slots, drain, now);
        self.tell();
        number
    }

    pub(super) fn leave(&self, member: MemberNumber, now: Instant) {
        self.state.lock().0.leave(member, now);
        self.tell();
    }

    pub(super) fn next_step(&self, member: MemberNumber, now: Instant) -> Step {
        self.state.lock().0.next_step(member, now)
    }

    pub(super) fn release(&self, member: MemberNumber, pids: &[Pid]) {
        self.state.lock().0.release(member, pids);
        self.tell();
    }

    /// Moves the position if `member` still owns the partition; says whether it did.
    pub(super) fn settle(&self, member: MemberNumber, pid: Pid, next: Offset) -> bool {
        let mut state = self.state.lock();
        let owns = state.0.owns(member, pid);
        if owns {
            state.1.insert(pid, next);
        }
        owns
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

/// What a member has to take notice of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Revoked(Vec<Pid>, Duration),
    Assigned(Vec<Pid>),
    /// Nothing now; look again at that time, when a partition of another member becomes free.
    Nothing(Option<Instant>),
}

/// Who owns which partition and who should. Pure: the time is handed in.
#[derive(Debug, Default)]
struct Shares {
    members: BTreeMap<MemberNumber, Membership>,
    shares: BTreeMap<Pid, Share>,
    last: MemberNumber,
}

#[derive(Debug)]
struct Membership {
    name: String,
    drain: Duration,
    wants: BTreeSet<Pid>,
    /// What it believes it owns.
    holds: BTreeSet<Pid>,
}

#[derive(Debug)]
struct Share {
    /// The number within its topic: equal numbers go to the same member.
    number: u32,
    owner: Option<MemberNumber>,
    target: Option<MemberNumber>,
    /// When the owner loses it whatever it does.
    until: Option<Instant>,
}

impl Shares {
    fn join(&mut self, name: &str, slots: &[Slot], drain: Duration, now: Instant) -> MemberNumber {
        self.last += 1;
        let wants = slots.iter().map(|slot| slot.pid).collect();
        for slot in slots {
            let number = slot.partition.get();
            self.shares.entry(slot.pid).or_insert(Share {
                number,
                owner: None,
                target: None,
                until: None,
            });
        }
        let membership = Membership {
            name: name.to_owned(),
            drain,
            wants,
            holds: BTreeSet::new(),
        };
        self.members.insert(self.last, membership);
        self.aim(now);
        self.last
    }

    fn leave(&mut self, member: MemberNumber, now: Instant) {
        self.members.remove(&member);
        for share in self
            .shares
            .values_mut()
            .filter(|share| share.owner == Some(member))
        {
            share.owner = None;
            share.until = None;
        }
        self.aim(now);
    }

    /// Decides anew who should own what.
    fn aim(&mut self, now: Instant) {
        for (pid, share) in &mut self.shares {
            let mut candidates: Vec<(&str, MemberNumber)> = self
                .members
                .iter()
                .filter(|(_, m)| m.wants.contains(pid))
                .map(|(number, m)| (m.name.as_str(), *number))
                .collect();
            candidates.sort_unstable();
            share.target = (!candidates.is_empty())
                .then(|| {
                    candidates
                        .get(share.number as usize % candidates.len())
                        .map(|(_, n)| *n)
                })
                .flatten();
            share.until = match share.owner {
                Some(owner) if share.target != Some(owner) => share
                    .until
                    .or_else(|| self.members.get(&owner).map(|membership| now + membership.drain)),
                _ => None,
            };
        }
    }

    fn next_step(&mut self, member: MemberNumber, now: Instant) -> Step {
        let Some(membership) = self.members.get_mut(&member) else {
            return Step::Nothing(None);
        };
        let mut within = Duration::MAX;
        let lost: Vec<Pid> = membership
            .holds
            .iter()
            .filter(|pid| {
                self.shares.get(pid).is_some_and(|share| {
                    let lost = share.owner != Some(member) || share.until.is_some();
                    if lost {
                        let left = share.until.filter(|_| share.owner == Some(member));
                        within = within.min(left.map_or(Duration::ZERO, |until| until - now.min(until)));
                    }
                    lost
                })
            })
            .copied()
            .collect();
        if !lost.is_empty() {
            membership.holds.retain(|pid| !lost.contains(pid));
            return Step::Revoked(lost, within);
        }
        let mut gained = Vec::new();
        let mut wake: Option<Instant> = None;
        for (pid, share) in &mut self.shares {
            if share.target != Some(member) || share.owner == Some(member) {
                continue;
            }
            match share.until.filter(|_| share.owner.is_some()) {
                Some(until) if until > now => wake = Some(wake.map_or(until, |w| w.min(until))),
                _ => {
                    share.owner = Some(member);
                    share.until = None;
                    membership.holds.insert(*pid);
                    gained.push(*pid);
                }
            }
        }
        if gained.is_empty() {
            Step::Nothing(wake)
        } else {
            Step::Assigned(gained)
        }
    }

    fn release(&mut self, member: MemberNumber, pids: &[Pid]) {
        for pid in pids {
            if let Some(share) = self.shares.get_mut(pid)
                && share.owner == Some(member)
                && self.members.get(&member).is_none_or(|m| !m.holds.contains(pid))
            {
                share.owner = None;
                share.until = None;
            }
        }
    }

    fn owns(&self, member: MemberNumber, pid: Pid) -> bool {
        self.shares
            .get(&pid)
            .is_some_and(|share| share.owner == Some(member))
    }
}

#[cfg(test)]
mod tests {
    use model::{Partition, TopicName};

    use super::*;

    fn slots(topics: u32, partitions: u32) -> Vec<Slot> {
        (0..topics * partitions)
            .map(|pid| Slot {
                pid,
                topic: format!("t{}", pid / partitions).parse::<TopicName>().unwrap(),
                partition: Partition::new(pid % partitions),
            })
            .collect()
    }

    fn assigned(step: Step) -> Vec<Pid> {
        match step {
            Step::Assigned(pids) => pids,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_members_share_and_equal_numbers_stay_together() {
        let now = Instant::now();
        let drain = Duration::from_secs(9);
        let mut shares = Shares::default();
        let a = shares.join("a", &slots(2, 4), drain, now);
        assert_eq!(assigned(shares.next_step(a, now)).len(), 8);
        let b = shares.join("b", &slots(2, 4), drain, now);
        // Nothing for b before a lets go.
        assert_eq!(shares.next_step(b, now), Step::Nothing(Some(now + drain)));
        let Step::Revoked(lost, within) = shares.next_step(a, now) else {
            panic!()
        };
        assert_eq!((lost.as_slice(), within), ([1, 3, 5, 7].as_slice(), drain));
        assert!(shares.owns(a, 1), "it may settle until it releases");
        shares.release(a, &lost);
        assert_eq!(assigned(shares.next_step(b, now)), [1, 3, 5, 7]);
        assert!(!shares.owns(a, 1) && shares.owns(b, 1) && shares.owns(a, 0));
        shares.leave(a, now);
        assert_eq!(assigned(shares.next_step(b, now)), [0, 2, 4, 6]);
    }

    #[test]
    fn a_member_that_does_not_let_go_is_fenced_at_the_deadline() {
        let now = Instant::now();
        let drain = Duration::from_secs(9);
        let mut shares = Shares::default();
        let a = shares.join("a", &slots(1, 2), drain, now);
        assigned(shares.next_step(a, now));
        let b = shares.join("b", &slots(1, 2), drain, now);
        assert_eq!(assigned(shares.next_step(b, now + drain)), [1]);
        assert!(!shares.owns(a, 1));
        assert_eq!(
            shares.next_step(a, now + drain),
            Step::Revoked(vec![1], Duration::ZERO)
        );
        // A late release takes nothing from the new owner.
        shares.release(a, &[1]);
        assert!(shares.owns(b, 1));
    }
}
