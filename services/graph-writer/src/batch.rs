//! A batch of graph records, brought down to one a project: the newest decides, all are answered for. Pure.

use std::collections::BTreeMap;

use crate::asked::Asked;
use bytes::Bytes;
use events::{Covers, ProjectGraph};
use model::{Digest, Generation, Offset, Partition, ProjectId, StateVersion};

/// A graph record that was read and understood.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where it was.
    pub partition: Partition,
    /// Where it was.
    pub offset: Offset,
    /// What it says.
    pub graph: ProjectGraph,
    /// The value's bytes, to be kept if it has to wait for facts.
    pub bytes: Bytes,
    /// What asked for it.
    pub asked: Asked,
}

/// The graph of one project that a batch comes to.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The record that decides.
    pub read: Read,
    /// Covers of all records of the project, each with the graph and facts that it was written for.
    pub covers: Vec<(Covers, Generation, StateVersion)>,
    /// Records that a newer one of the batch made needless.
    pub superseded: usize,
    /// What asked for all of them.
    pub asked: Asked,
}

/// What decides between two graphs of a project: the generation, then the digest.
pub fn rank(graph: &ProjectGraph) -> (Generation, Digest) {
    (graph.envelope.generation, graph.digest())
}

/// Brings a batch down to one record a project, in the order of projects.
pub fn newest(batch: Vec<Read>) -> BTreeMap<ProjectId, Newest> {
    let mut projects: BTreeMap<ProjectId, Newest> = BTreeMap::new();
    for mut read in batch {
        let asked = std::mem::take(&mut read.asked);
        let envelope = &read.graph.envelope;
        let covers = (
            envelope.covers.clone(),
            envelope.generation,
            envelope.state_version,
        );
        match projects.get_mut(&read.graph.project_id) {
            None => {
                let newest = Newest {
                    covers: vec![covers],
                    superseded: 0,
                    asked,
                    read,
                };
                projects.insert(newest.read.graph.project_id, newest);
            }
            Some(newest) => {
                newest.covers.push(covers);
                newest.superseded += 1;
                newest.asked.merge(asked);
                if rank(&read.graph) > rank(&newest.read.graph) {
                    newest.read = read;
                }
            }
        }
    }
    for newest in projects.values_mut() {
        newest.covers.retain(|(covers, _, _)| !covers.is_empty());
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{Envelope, Graph, Sha256};
    use model::{Timestamp, TopicName};

    fn read(project: i64, offset: u64, generation: u64, content: &[u8]) -> Read {
        let pushes = TopicName::from_static("p");
        let mut envelope = Envelope::unlooked(Timestamp::default());
        envelope.generation = Generation::new(generation);
        envelope.covers = Covers::record(&pushes, Partition::new(0), Offset::new(offset));
        let graph = Graph {
            sha: model::Sha::ZERO,
            bucket_bits: 0,
            buckets: vec![Sha256::of(content)],
            pieces: 1,
            bytes: 1,
            warnings: Vec::new(),
            attached: Vec::new(),
        };
        let project_id = ProjectId::new(project).unwrap();
        let graph = ProjectGraph {
            envelope,
            project_id,
            graph: Some(graph),
        };
        Read {
            partition: Partition::new(0),
            offset: Offset::new(offset),
            graph,
            bytes: Bytes::new(),
            asked: Asked::default(),
        }
    }

    #[test]
    fn the_newest_decides_and_all_are_answered_for() {
        let (smaller, larger) = if rank(&read(1, 0, 7, b"a").graph) < rank(&read(1, 0, 7, b"b").graph) {
            (b"a", b"b")
        } else {
            (b"b", b"a")
        };
        let projects = newest(vec![
            read(1, 0, 7, larger),
            read(2, 1, 3, b"x"),
            read(1, 2, 7, smaller),
            read(1, 3, 6, b"old"),
        ]);
        let first = &projects[&ProjectId::new(1).unwrap()];
        assert_eq!((first.read.offset, first.superseded), (Offset::new(0), 2));
        assert_eq!(
            first
                .covers
                .iter()
                .map(|(_, generation, _)| generation.get())
                .collect::<Vec<_>>(),
            [7, 7, 6]
        );
        assert_eq!(projects[&ProjectId::new(2).unwrap()].superseded, 0);
    }
}
