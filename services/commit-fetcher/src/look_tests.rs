//! A small world for the automaton: a GitLab that changes between any two questions, a log, crashes between any two
//! writes. Whatever happens, what the log says stays right.

use std::collections::BTreeSet;

use events::{Covers, Envelope, EventStatus, ProjectRecord, StageOutcome};
use model::{Generation, Offset, Outcome, Partition, Position, ProjectId, Timestamp, TopicName, Visibility};
use proptest::prelude::*;

use crate::edges::{FactsError, FetchError, Head, Trouble};
use crate::facts::{Aim, KnownFacts};
use crate::look::{Command, Look, Patience, Step, fetched_status, remember};
use crate::memory::ProjectMemory;
use crate::request::Request;
use crate::samples;

/// What GitLab has.
#[derive(Clone, Debug)]
struct GitLab {
    exists: bool,
    slug: u8,
    branch: Option<u8>,
    /// The branch that facts name exists in the repository.
    branch_there: bool,
    sha: u8,
    private: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Push(u8),
    Rename(u8),
    Branch(Option<u8>),
    BranchThere(bool),
    Visibility(bool),
    Exists(bool),
}

#[derive(Clone, Debug)]
enum Fault {
    Refused,
    Down,
    TooLarge,
}

#[derive(Clone, Debug)]
enum Act {
    Change(Change),
    Event {
        backfill: bool,
        regenerate: bool,
    },
    Look {
        between: Vec<Option<Change>>,
        faults: Vec<Option<Fault>>,
        crash_after: Option<usize>,
        settle: bool,
    },
    Restart,
    Wait(u16),
}

#[derive(Clone, Debug)]
enum Written {
    Facts(ProjectRecord),
    Content(events::CommitFetched),
    Status(EventStatus),
}

impl Written {
    fn envelope(&self) -> &Envelope {
        match self {
            Self::Facts(it) => &it.envelope,
            Self::Content(it) => &it.envelope,
            Self::Status(it) => &it.envelope,
        }
    }
}

struct World {
    gitlab: GitLab,
    now: i64,
    log: Vec<Written>,
    memory: ProjectMemory,
    waiting: Vec<(Position, bool)>,
    settled: Vec<Position>,
    next: [u64; 2],
    attempt: u32,
}

fn project() -> ProjectId {
    ProjectId::new(7).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            gitlab: GitLab {
                exists: true,
                slug: 0,
                branch: Some(0),
                branch_there: true,
                sha: 1,
                private: false,
            },
            now: 1_000,
            log: Vec::new(),
            memory: ProjectMemory::default(),
            waiting: Vec::new(),
            settled: Vec::new(),
            next: [0; 2],
            attempt: 0,
        }
    }

    fn change(&mut self, change: &Change) {
        let gitlab = &mut self.gitlab;
        match change {
            Change::Push(sha) => gitlab.sha = *sha,
            Change::Rename(slug) => gitlab.slug = *slug,
            Change::Branch(branch) => gitlab.branch = *branch,
            Change::BranchThere(there) => gitlab.branch_there = *there,
            Change::Visibility(private) => gitlab.private = *private,
            Change::Exists(exists) => gitlab.exists = *exists,
        }
    }

    fn event(&mut self, backfill: bool, regenerate: bool) {
        let topic = if backfill {
            events::PUSH_EVENTS_BACKFILL
        } else {
            events::PUSH_EVENTS
        };
        let next = &mut self.next[usize::from(backfill)];
        *next += 1;
        self.waiting.push((position(topic, *next), regenerate));
    }

    fn facts(&self) -> Result<events::ProjectState, FactsError> {
        if !self.gitlab.exists {
            return Err(FactsError::Gone);
        }
        let branch = self.gitlab.branch.map(|b| format!("b{b}"));
        let mut state = samples::state(&format!("g/p{}", self.gitlab.slug), branch.as_deref());
        state.empty_repository = branch.is_none();
        state.visibility = if self.gitlab.private {
            Visibility::Private
        } else {
            Visibility::Public
        };
        // Changes at every look, and must not make a record.
        state.updated_at = Some(Timestamp::from_micros(self.now));
        Ok(state)
    }

    fn fetch(&self, aim: &Aim) -> Result<Head, FetchError> {
        if !self.gitlab.exists || aim.slug.project() != format!("p{}", self.gitlab.slug) {
            return Err(FetchError::NoRepository);
        }
        match self.gitlab.branch {
            Some(branch) if self.gitlab.branch_there && aim.branch == format!("b{branch}") => {
                Ok(samples::head(self.gitlab.sha, &aim.branch))
            }
            _ => Err(FetchError::NoBranch),
        }
    }

    fn restart(&mut self) {
        self.memory = ProjectMemory::default();
        for written in &self.log {
            if let Written::Facts(record) = written {
                self.memory.wrote_facts(record, KnownFacts::of(record).unwrap());
            }
        }
    }

    /// One look; gives how it ended if it was not cut short.
    fn look(
        &mut self,
        between: &[Option<Change>],
        faults: &[Option<Fault>],
        crash_after: Option<usize>,
        settle: bool,
    ) -> Option<Outcome> {
        if self.waiting.is_empty() {
            return None;
        }
        self.now += 1;
        self.attempt += 1;
        let mut covers = Covers::default();
        for (position, _) in &self.waiting {
            covers.add(position.clone());
        }
        let request = Request {
            covers,
            regenerate: self.waiting.iter().any(|(_, regenerate)| *regenerate),
            floor: Generation::default(),
            doubted: false,
            campaign: None,
            oldest: Timestamp::from_micros(self.now),
            causes: Vec::new(),
            events: self.waiting.len(),
            unreadable: 0,
        };
        let generation = self.memory.begin(Timestamp::from_micros(self.now));
        let known = self.memory.clone();
        let mut step = Look::begin(
            project(),
            generation,
            known,
            request,
            self.attempt,
            Patience::default(),
        );
        let mut turn = 0;
        let ending = loop {
            let fault = faults.get(turn).cloned().flatten();
            let trouble = match fault {
                Some(Fault::Refused) => Some(Trouble::Refused),
                Some(Fault::Down) => Some(Trouble::down("down")),
                _ => None,
            };
            step = match step {
                Step::AskFacts(look) => {
                    let answer = trouble.map_or_else(|| self.facts(), |t| Err(t.into()));
                    look.facts(answer, Timestamp::from_micros(self.now)).unwrap()
                }
                Step::Fetch(look, aim) => {
                    let answer = match (trouble, fault) {
                        (Some(trouble), _) => Err(trouble.into()),
                        (None, Some(Fault::TooLarge)) => Err(FetchError::Rejected(model::Reason {
                            code: "too-large",
                            owner: model::Owner::Caller,
                            message: "too large".into(),
                        })),
                        _ => self.fetch(&aim),
                    };
                    look.fetched(aim, answer)
                }
                Step::End(ending) => break ending,
            };
            if let Some(change) = between.get(turn).cloned().flatten() {
                self.change(&change);
            }
            turn += 1;
            assert!(turn < 40, "a look ends");
        };
        for (n, command) in ending.commands.iter().enumerate() {
            if crash_after == Some(n) {
                self.restart();
                return None;
            }
            match command {
                Command::Facts(record) => self.log.push(Written::Facts((**record).clone())),
                Command::Content(commit) => {
                    self.log.push(Written::Content((**commit).clone()));
                    self.log.push(Written::Status(fetched_status(commit)));
                }
                Command::Status(status) => self.log.push(Written::Status((**status).clone())),
            }
            remember(&mut self.memory, command).unwrap();
        }
        if !settle {
            self.restart();
            return None;
        }
        if !matches!(ending.outcome, Outcome::Retry { .. }) {
            self.settled
                .extend(self.waiting.drain(..).map(|(position, _)| position));
            self.attempt = 0;
        }
        Some(ending.outcome)
    }

    fn last_facts(&self) -> Option<&ProjectRecord> {
        self.log.iter().rev().find_map(|written| match written {
            Written::Facts(record) => Some(record),
            _ => None,
        })
    }

    fn check(&self) {
        let mut generation = Generation::default();
        let mut facts: Option<&ProjectRecord> = None;
        let mut answered: BTreeSet<u64> = BTreeSet::new();
        for written in &self.log {
            let envelope = written.envelope();
            assert!(envelope.generation >= generation, "generations never fall");
            generation = envelope.generation;
            match written {
                Written::Facts(record) => {
                    assert!(record.envelope.covers.is_empty());
                    assert!(facts.is_none_or(|known| known.state_version() < record.state_version()));
                    if let Some(known) = facts {
                        assert_ne!(without_time(known), without_time(record), "only news are written");
                    }
                    facts = Some(record);
                }
                Written::Content(commit) => {
                    let facts = facts.expect("facts before content");
                    assert_eq!(commit.envelope.state_version, facts.state_version());
                    let aim = facts
                        .state
                        .as_ref()
                        .and_then(Aim::of)
                        .expect("facts that lead to content");
                    assert_eq!(commit.r#ref, format!("refs/heads/{}", aim.branch));
                    assert!(answered.insert(generation.get()), "one final record a look");
                }
                Written::Status(status) => {
                    let version = facts.map_or(Generation::default(), ProjectRecord::state_version);
                    assert_eq!(status.envelope.state_version, version);
                    if status.outcome == StageOutcome::Retrying || status.sha.is_some() {
                        assert!(status.envelope.covers.is_empty());
                    } else {
                        assert!(!status.envelope.covers.is_empty());
                        assert!(answered.insert(generation.get()), "one final record a look");
                    }
                    if status.outcome == StageOutcome::NothingNew {
                        let there = |written: &Written| matches!(written, Written::Content(c) if c.envelope.generation == status.awaits_generation);
                        assert!(self.log.iter().any(there), "what is awaited was written");
                    }
                }
            }
        }
        for position in &self.settled {
            assert!(
                self.log
                    .iter()
                    .any(|written| written.envelope().covers.covers(position)),
                "{position} was settled without an answer"
            );
        }
    }
}

fn without_time(record: &ProjectRecord) -> Option<events::ProjectState> {
    record.state.clone().map(|mut state| {
        state.updated_at = None;
        state
    })
}

fn position(topic: TopicName, next: u64) -> Position {
    Position {
        topic,
        partition: Partition::new(0),
        next: Offset::new(next),
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1u8..5).prop_map(Change::Push),
        1 => (0u8..3).prop_map(Change::Rename),
        1 => proptest::option::of(0u8..3).prop_map(Change::Branch),
        1 => any::<bool>().prop_map(Change::BranchThere),
        1 => any::<bool>().prop_map(Change::Visibility),
        1 => any::<bool>().prop_map(Change::Exists),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        12 => Just(None),
        1 => Just(Some(Fault::Refused)),
        1 => Just(Some(Fault::Down)),
        1 => Just(Some(Fault::TooLarge)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let between = proptest::collection::vec(prop_oneof![3 => Just(None), 1 => change().prop_map(Some)], 0..8);
    let faults = proptest::collection::vec(fault(), 0..8);
    let crash = prop_oneof![3 => Just(None), 1 => (0usize..3).prop_map(Some)];
    prop_oneof![
        3 => change().prop_map(Act::Change),
        4 => (any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(backfill, regenerate)| Act::Event { backfill, regenerate }),
        5 => (between, faults, crash, proptest::bool::weighted(0.8)).prop_map(
            |(between, faults, crash_after, settle)| Act::Look { between, faults, crash_after, settle }
        ),
        1 => Just(Act::Restart),
        1 => any::<u16>().prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_log_is_right_whatever_happens(acts in proptest::collection::vec(act(), 1..30)) {
        let mut world = World::new();
        for act in &acts {
            match act {
                Act::Change(change) => world.change(change),
                Act::Event { backfill, regenerate } => world.event(*backfill, *regenerate),
                Act::Look { between, faults, crash_after, settle } => {
                    world.look(between, faults, *crash_after, *settle);
                }
                Act::Restart => world.restart(),
                Act::Wait(by) => world.now += i64::from(*by),
            }
        }
        world.check();

        // Quiet again: one more event, and the log says what GitLab has.
        world.event(false, false);
        let outcome = world.look(&[], &[], None, true);
        prop_assert_eq!(outcome, Some(Outcome::Done));
        world.check();
        prop_assert!(world.waiting.is_empty());
        let gitlab = world.gitlab.clone();
        let facts = world.last_facts().expect("every look leaves facts").clone();
        match facts.state {
            None => prop_assert!(!gitlab.exists),
            Some(state) => {
                prop_assert!(gitlab.exists);
                prop_assert_eq!(state.slug.project(), format!("p{}", gitlab.slug));
                prop_assert_eq!(state.visibility == Visibility::Private, gitlab.private);
                let branch = gitlab.branch.filter(|_| gitlab.branch_there).map(|b| format!("b{b}"));
                prop_assert_eq!(&state.default_branch, &branch);
                let last = world.log.iter().rev().find_map(|written| match written {
                    Written::Content(commit) => Some(commit),
                    _ => None,
                });
                if branch.is_some() {
                    prop_assert_eq!(last.map(|commit| commit.sha.as_bytes()[0]), Some(gitlab.sha));
                }
            }
        }
        // And the same again is nothing new.
        let before = world.log.len();
        world.event(true, false);
        prop_assert_eq!(world.look(&[], &[], None, true), Some(Outcome::Done));
        prop_assert_eq!(world.log.len(), before + 1, "one status");
        world.check();
    }
}
