//! What this process has written to the topics that its role alone writes.
//!
//! The role reads its own output. A record that comes back and is not known here was written by somebody else: by a process
//! that had lost the partition without knowing, by one that is dead and whose write was on its way, by the one before
//! this one, just before it ended; or by this one, which was told that the write had failed. What such a record says may be older than what is known although its number
//! is higher, as numbers come from clocks. So the project is looked at again, and that look is the newest.

use std::collections::HashMap;

use bus::{NewRecord, Record};
use events::{COMMITS, PROJECTS};
use model::{Generation, ProjectId, TopicName};

/// The header with a digest of the record.
const ID: &str = "ce_id";

/// Whether this role alone writes the topic, so that it reads what others wrote there by mistake.
pub fn is_output(topic: &TopicName) -> bool {
    *topic == PROJECTS || *topic == COMMITS
}

/// Records that are on their way through the log and back, per project.
#[derive(Debug, Default)]
pub struct OwnOutput(HashMap<ProjectId, Vec<Sent>>);

/// What is noted of a record that was appended.
#[derive(Clone, Debug)]
pub struct Sent {
    topic: TopicName,
    generation: Generation,
    id: String,
}

impl Sent {
    /// None for a record without an id, which this role does not write.
    pub fn of(generation: Generation, record: &NewRecord) -> Option<Self> {
        Some(Self {
            topic: record.topic.clone(),
            generation,
            id: record.headers.text(ID)?.to_owned(),
        })
    }
}

impl OwnOutput {
    /// Records of this project are in the log. To be called before the next turn of the project.
    pub fn sent(&mut self, project: ProjectId, records: Vec<Sent>) {
        self.0.entry(project).or_default().extend(records);
    }

    /// Those of a project's records, in the order of the log, that are not from here.
    pub fn foreign<'a>(&self, project: ProjectId, records: &[&'a Record]) -> Vec<&'a Record> {
        let mut sent = self.0.get(&project).cloned().unwrap_or_default();
        let mut foreign = records.to_vec();
        foreign.retain(|record| !came_back(&mut sent, record));
        foreign
    }

    /// These records of a project are done with, and are not expected any more.
    pub fn settled(&mut self, project: ProjectId, records: &[&Record]) {
        let Some(sent) = self.0.get_mut(&project) else {
            return;
        };
        for record in records {
            came_back(sent, record);
        }
        if sent.is_empty() {
            self.0.remove(&project);
        }
    }
}

/// Whether the record was sent from here and is not behind a later one: there it would be as wrong as anybody else's.
fn came_back(sent: &mut Vec<Sent>, record: &Record) -> bool {
    let id = record.headers.text(ID);
    let Some(generation) = sent
        .iter()
        .find(|sent| sent.topic == record.topic && Some(&*sent.id) == id)
        .map(|sent| sent.generation)
    else {
        return false;
    };
    sent.retain(|sent| sent.topic != record.topic || sent.generation > generation);
    true
}

#[cfg(test)]
mod tests {
    use model::{Offset, Partition};

    use super::*;
    use crate::samples;

    #[test]
    fn own_records_are_known_once_and_in_order() {
        let mut output = OwnOutput::default();
        let project = ProjectId::new(7).unwrap();
        let records: Vec<Record> = (5..9)
            .map(|version| {
                let record = samples::facts_record(7, version);
                if version < 8 {
                    let sent = Sent::of(Generation::new(version), &record);
                    output.sent(project, sent.into_iter().collect());
                }
                samples::read_back(record, Partition::new(0), Offset::new(version))
            })
            .collect();
        let all: Vec<&Record> = records.iter().collect();
        let foreign = |output: &OwnOutput, records: &[&Record]| {
            let foreign = output.foreign(project, records).into_iter();
            foreign.map(|record| record.offset.get()).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!(foreign(&output, &all), [8], "asking changes nothing");
        }
        assert_eq!(foreign(&output, &[all[1], all[0], all[2], all[2]]), [5, 7]);
        output.settled(project, &all[1..2]);
        assert_eq!(foreign(&output, &all), [5, 6, 8]);
        output.settled(project, &all);
        assert!(output.0.is_empty());
    }
}
