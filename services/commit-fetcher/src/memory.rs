use std::collections::{BTreeSet, HashMap};

use bus::Record;
use events::{Covers, ProjectRecord};
use model::{Generation, Partition, ProjectId, Sha, Timestamp, TopicName};
use parking_lot::Mutex;

use crate::facts::{KnownFacts, There};
use crate::own_output::{OwnOutput, Sent};

/// What is remembered of one project between looks. A restart brings back what `renku.projects.v1` holds; the content
/// is then unknown, so the first look after it writes the content again: the same bytes with a newer generation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProjectMemory {
    /// The generation of the last look, also of one that failed.
    pub last: Generation,
    /// None: never seen.
    pub facts: Option<KnownFacts>,
    /// The content that was written last.
    pub content: Option<KnownContent>,
    /// All that was answered for since the start. Later records repeat it, so that compaction loses nothing.
    pub covers: Covers,
}

/// The content of the last commits record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownContent {
    /// The commit.
    pub sha: Sha,
    /// `refs/heads/…`.
    pub r#ref: String,
    /// The look that wrote it.
    pub generation: Generation,
}

impl ProjectMemory {
    /// Takes the generation of a look that begins now. Numbers of looks that fail are not used again.
    pub fn begin(&mut self, now: Timestamp) -> Generation {
        self.last = self.last.next(now);
        self.last
    }

    /// Takes notice of a generation that somebody has seen in the log: looks from now on are newer.
    pub fn raise(&mut self, seen: Generation) {
        self.last = self.last.max(seen);
    }

    /// Takes in a facts record that is in the log.
    pub fn wrote_facts(&mut self, record: &ProjectRecord, known: KnownFacts) {
        self.last = self
            .last
            .max(record.envelope.generation)
            .max(record.state_version());
        // Facts that leave nothing to read take the graph away: the same commit has to be written again after them.
        if known.there.as_ref().is_none_or(|there| there.aim.is_none()) {
            self.content = None;
        }
        self.facts = Some(known);
    }

    /// Takes in a facts record read back at the start, in the order of the log.
    ///
    /// The last record should be the newest. If it is not, a process that had lost its partitions wrote it, and
    /// compaction keeps it instead of the newer one: then nothing is taken as known, so that the facts are written again.
    pub fn restore(&mut self, record: &ProjectRecord, mut known: KnownFacts) {
        if let Some(newer) = self
            .facts
            .as_ref()
            .filter(|facts| facts.state_version > known.state_version)
        {
            let aim = known.there.and_then(|there| there.aim);
            let there = Some(There {
                digest: events::Sha256::ZERO,
                aim,
            });
            known = KnownFacts {
                state_version: newer.state_version,
                there,
            };
        }
        self.wrote_facts(record, known);
    }
}

/// The memories of all projects of the partitions that this process owns.
#[derive(Debug, Default)]
pub struct Memories(Mutex<HashMap<Partition, Owned>>);

#[derive(Debug, Default)]
struct Owned {
    /// Which topics' assignment holds it: partitions of one number are assigned together, but may come one by one.
    held_by: BTreeSet<TopicName>,
    output: OwnOutput,
    projects: HashMap<ProjectId, ProjectMemory>,
}

impl Memories {
    /// Whether the partition's projects are known.
    pub fn owns(&self, partition: Partition) -> bool {
        self.0.lock().contains_key(&partition)
    }

    /// Takes over a partition with what its compacted facts say.
    pub fn own(&self, partition: Partition, projects: HashMap<ProjectId, ProjectMemory>) {
        self.0.lock().insert(
            partition,
            Owned {
                held_by: BTreeSet::new(),
                output: OwnOutput::default(),
                projects,
            },
        );
    }

    /// Notes that this topic's partition of that number is assigned here.
    pub fn hold(&self, partition: Partition, topic: &TopicName) {
        if let Some(owned) = self.0.lock().get_mut(&partition) {
            owned.held_by.insert(topic.clone());
        }
    }

    /// This topic's partition of that number went elsewhere. With the last one the memories go: whoever owns it
    /// writes facts from now on, so what is known here gets old.
    pub fn let_go(&self, partition: Partition, topic: &TopicName) {
        let mut all = self.0.lock();
        if let Some(owned) = all.get_mut(&partition) {
            owned.held_by.remove(topic);
            if owned.held_by.is_empty() {
                all.remove(&partition);
            }
        }
    }

    /// Starts a look: its generation, and what is known. None when the partition is not owned.
    pub fn begin(
        &self,
        partition: Partition,
        project: ProjectId,
        now: Timestamp,
    ) -> Option<(Generation, ProjectMemory)> {
        let mut all = self.0.lock();
        let memory = all.get_mut(&partition)?.projects.entry(project).or_default();
        let generation = memory.begin(now);
        Some((generation, memory.clone()))
    }

    /// Changes what is known, if the partition is still owned.
    pub fn update(&self, partition: Partition, project: ProjectId, change: impl FnOnce(&mut ProjectMemory)) {
        if let Some(owned) = self.0.lock().get_mut(&partition) {
            change(owned.projects.entry(project).or_default());
        }
    }

    /// Records of the role's output, of one project, were appended.
    pub fn sent(&self, partition: Partition, project: ProjectId, records: Vec<Sent>) {
        if let Some(owned) = self.0.lock().get_mut(&partition) {
            owned.output.sent(project, records);
        }
    }

    /// Those of these records of the role's output, of one project, that this process has not written since it owns
    /// the partition.
    pub fn foreign<'a>(
        &self,
        partition: Partition,
        project: ProjectId,
        records: &[&'a Record],
    ) -> Vec<&'a Record> {
        match self.0.lock().get(&partition) {
            Some(owned) => owned.output.foreign(project, records),
            None => records.to_vec(),
        }
    }

    /// These records of the role's output, of one project, are done with.
    pub fn settled(&self, partition: Partition, project: ProjectId, records: &[&Record]) {
        if let Some(owned) = self.0.lock().get_mut(&partition) {
            owned.output.settled(project, records);
        }
    }

    /// How many projects are known.
    pub fn known(&self) -> usize {
        self.0.lock().values().map(|owned| owned.projects.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn an_old_record_behind_a_newer_one_is_not_trusted() {
        let mut old = samples::facts(7, "a/b", Some("main"));
        let mut new = samples::facts(7, "a/c", Some("main"));
        for (record, version) in [(&mut old, 5), (&mut new, 9)] {
            record.envelope.generation = Generation::new(version);
            record.envelope.state_version = Generation::new(version);
        }
        let mut memory = ProjectMemory::default();
        for record in [&new, &old] {
            memory.restore(record, KnownFacts::of(record).unwrap());
        }
        let facts = memory.facts.clone().unwrap();
        assert_eq!((memory.last.get(), facts.state_version.get()), (9, 9));
        assert!(!facts.says(old.project_id, old.state.as_ref().unwrap()).unwrap());
        assert!(!facts.says(new.project_id, new.state.as_ref().unwrap()).unwrap());
    }

    #[test]
    fn the_same_commit_is_written_again_after_facts_that_left_nothing_to_read() {
        let mut memory = ProjectMemory::default();
        let on = samples::facts(7, "a/b", Some("main"));
        let off = samples::facts(7, "a/b", None);
        let content = KnownContent {
            sha: Sha::new([1; 20]),
            r#ref: "refs/heads/main".into(),
            generation: Generation::new(5),
        };
        memory.wrote_facts(&on, KnownFacts::of(&on).unwrap());
        memory.content = Some(content.clone());
        memory.wrote_facts(&on, KnownFacts::of(&on).unwrap());
        assert_eq!(
            memory.content,
            Some(content),
            "what is written is not written twice"
        );
        memory.wrote_facts(&off, KnownFacts::of(&off).unwrap());
        assert_eq!(
            memory.content, None,
            "the views dropped the graph with these facts"
        );
        memory.wrote_facts(&on, KnownFacts::of(&on).unwrap());
        assert_eq!(memory.content, None);
    }

    #[test]
    fn memories_go_with_the_last_topic() {
        let memories = Memories::default();
        let (partition, project) = (Partition::new(3), ProjectId::new(7).unwrap());
        let now = Timestamp::from_micros(5);
        assert!(memories.begin(partition, project, now).is_none());
        memories.own(partition, HashMap::new());
        for topic in [events::PUSH_EVENTS, events::PUSH_EVENTS_BACKFILL] {
            memories.hold(partition, &topic);
        }
        assert_eq!(memories.begin(partition, project, now).unwrap().0.get(), 5);
        memories.let_go(partition, &events::PUSH_EVENTS);
        assert_eq!(
            memories.begin(partition, project, now).unwrap().0.get(),
            6,
            "a number is used once"
        );
        memories.let_go(partition, &events::PUSH_EVENTS_BACKFILL);
        assert!(!memories.owns(partition));
        memories.update(partition, project, |memory| memory.covers = Covers::default());
        assert_eq!(memories.known(), 0);
    }
}
