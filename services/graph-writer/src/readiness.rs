use std::collections::{BTreeMap, BTreeSet};

use model::{Offset, Partition, Position, ProjectId, TopicName};
use parking_lot::Mutex;
use runtime::Component;

/// What the parts of this role say of themselves, as one component: ready when each has caught up to where the log
/// ended at start, with the graphs that waited for facts, and nothing is blocked.
#[derive(Debug)]
pub(crate) struct Readiness {
    component: Component,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reasons: BTreeMap<String, String>,
    /// Projects whose waiting graph is on its way in.
    waking: BTreeSet<ProjectId>,
    /// Was ready once: from then on what is on its way in is the usual thing.
    started: bool,
}

impl Readiness {
    pub(crate) fn new(component: Component, parts: &[&str]) -> Self {
        let starting = parts
            .iter()
            .map(|part| ((*part).to_owned(), "catching up".to_owned()));
        let state = State {
            reasons: starting.collect(),
            waking: BTreeSet::new(),
            started: false,
        };
        Self {
            component,
            state: Mutex::new(state),
        }
    }

    /// Everything has to be caught up with once more.
    pub(crate) fn begin_anew(&self, parts: &[&str]) {
        self.change(|state| {
            state.started = false;
            for part in parts {
                state.reasons.insert((*part).to_owned(), "catching up".to_owned());
            }
            true
        });
    }

    /// The part works.
    pub(crate) fn ready(&self, part: &str) {
        self.change(|state| state.reasons.remove(part).is_some());
    }

    /// The part does not.
    pub(crate) fn not_ready(&self, part: &str, why: String) {
        self.change(|state| state.reasons.insert(part.to_owned(), why.clone()).as_ref() != Some(&why));
    }

    /// The waiting graph of a project can go in.
    pub(crate) fn waking(&self, project: ProjectId) {
        self.change(|state| state.waking.insert(project));
    }

    /// It is in, or waits on.
    pub(crate) fn woken(&self, project: ProjectId) {
        self.change(|state| state.waking.remove(&project));
    }

    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if !change(&mut state) {
            return;
        }
        let mut reasons: Vec<_> = state
            .reasons
            .iter()
            .map(|(part, why)| format!("{part}: {why}"))
            .collect();
        if !state.started && !state.waking.is_empty() {
            reasons.push(format!(
                "{} graphs go in whose facts have come",
                state.waking.len()
            ));
        }
        if reasons.is_empty() {
            state.started = true;
            self.component.ready();
        } else {
            self.component.not_ready(reasons.join("; "));
        }
    }
}

/// How far a topic is applied, and how far it had to be when this process started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    topic: TopicName,
    /// Where the log ended at start.
    goal: BTreeMap<Partition, Offset>,
    applied: BTreeMap<Partition, Offset>,
    /// Offsets between both at start.
    total: u64,
}

impl Progress {
    pub(crate) fn new(
        topic: TopicName,
        from: &[Position],
        ends: impl IntoIterator<Item = (Partition, Offset)>,
    ) -> Self {
        let mut progress = Self {
            topic,
            goal: ends.into_iter().collect(),
            applied: BTreeMap::new(),
            total: 0,
        };
        progress.note(from);
        progress.total = progress.behind_start();
        progress
    }

    /// These of `positions` that lie further than what is applied.
    pub(crate) fn moved(&self, positions: Vec<Position>) -> Vec<Position> {
        let further = |position: &Position| self.applied.get(&position.partition) != Some(&position.next);
        positions.into_iter().filter(further).collect()
    }

    /// These are applied now.
    pub(crate) fn note(&mut self, positions: &[Position]) {
        let own = positions.iter().filter(|position| position.topic == self.topic);
        self.applied
            .extend(own.map(|position| (position.partition, position.next)));
    }

    /// How many offsets are left of what was there at start.
    pub(crate) fn behind_start(&self) -> u64 {
        self.behind(self.goal.iter().map(|(partition, end)| (*partition, *end)))
    }

    /// How far it is with what was there at start, for people, after so long: done, all, and how long the rest may take.
    pub(crate) fn told(&self, elapsed: std::time::Duration) -> String {
        let left = self.behind_start();
        let done = self.total.saturating_sub(left);
        let mut told = format!("catching up: {done} of {} offsets", self.total);
        if done > 0 {
            let rest = elapsed.as_secs_f64() * left as f64 / done as f64;
            told.push_str(&format!(", about {} s left", rest.ceil()));
        }
        told
    }

    /// How many offsets there were to catch up with at start.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How many offsets lie between what is applied and these ends.
    pub(crate) fn behind(&self, ends: impl IntoIterator<Item = (Partition, Offset)>) -> u64 {
        let applied = |partition| self.applied.get(&partition).copied().unwrap_or_default();
        ends.into_iter()
            .map(|(partition, end)| end.get().saturating_sub(applied(partition).get()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Health;

    #[test]
    fn ready_when_every_part_is() {
        let health = Health::new();
        let readiness = Readiness::new(health.component("graph-writer"), &["facts", "graphs"]);
        readiness.ready("facts");
        readiness.not_ready("graphs", "partition 3 waits: the blob store is busy".into());
        let told = health.readiness();
        assert!(!told.ready);
        assert_eq!(
            told.components["graph-writer"],
            "graphs: partition 3 waits: the blob store is busy"
        );
        let project = ProjectId::new(1).unwrap();
        readiness.waking(project);
        readiness.ready("graphs");
        assert!(!health.readiness().ready);
        readiness.woken(project);
        assert!(health.readiness().ready);
        readiness.waking(project);
        assert!(health.readiness().ready);
    }

    #[test]
    fn what_is_behind() {
        let topic = TopicName::from_static("t");
        let at = |partition, next| Position {
            topic: topic.clone(),
            partition: Partition::new(partition),
            next: Offset::new(next),
        };
        let ends = [
            (Partition::new(0), Offset::new(5)),
            (Partition::new(1), Offset::new(2)),
        ];
        let mut progress = Progress::new(topic.clone(), &[at(0, 1)], ends);
        assert_eq!(progress.behind_start(), 6);
        let second = std::time::Duration::from_secs(1);
        assert_eq!(progress.told(second), "catching up: 0 of 6 offsets");
        let mut half = progress.clone();
        half.note(&[at(0, 4)]);
        assert_eq!(
            half.told(second * 10),
            "catching up: 3 of 6 offsets, about 10 s left"
        );
        assert_eq!(progress.moved(vec![at(0, 1), at(1, 2)]), [at(1, 2)]);
        progress.note(&[at(0, 9), at(1, 2)]);
        assert_eq!(progress.behind_start(), 0);
        assert_eq!(progress.behind([(Partition::new(0), Offset::new(12))]), 3);
    }
}
