//! Whatever the order in which topics are read, cut into batches and read again: one log, one view.

use std::path::Path;
use std::sync::Arc;

use blobs::Blobs;
use events::{EventStatus, ProjectGraph, ProjectRecord, Stage, StageOutcome, TopicValue, encode};
use graph_writer::{
    Asked, Batch, GraphChange, Item, Newest, Prepared, Preparer, Read, View, newest, open_view,
};
use model::{Offset, Partition, Position, ProjectId, Visibility};
use proptest::prelude::*;
use store::{Reader, Writer};

use crate::rig::*;

#[derive(Clone, Debug)]
enum Told {
    Facts(ProjectRecord),
    Graph(ProjectGraph),
    Status(EventStatus),
}

fn project_ids() -> impl Strategy<Value = i64> {
    1..4i64
}

fn told() -> impl Strategy<Value = (Told, Vec<Blob>)> {
    let visibility = prop_oneof![Just(Visibility::Public), Just(Visibility::Private)];
    let facts = (project_ids(), 1..6u64, 0..3u8, visibility).prop_map(|(id, version, slug, visibility)| {
        (
            Told::Facts(facts(id, version, &format!("g/{id}-{slug}"), visibility)),
            Vec::new(),
        )
    });
    let gone =
        (project_ids(), 1..6u64).prop_map(|(id, version)| (Told::Facts(facts_gone(id, version)), Vec::new()));
    let content = proptest::collection::btree_map("/plans/[0-9]", "[ab]", 0..8);
    let graph = (project_ids(), 1..8u64, 1..6u64, 0..9u64, content, any::<bool>()).prop_map(
        |(id, generation, version, push, content, detached)| {
            let pieces: Vec<_> = content.iter().map(|(id, name)| piece(id, name)).collect();
            let (record, blobs) = graph(id, generation, version, Some(push), &pieces, detached);
            (Told::Graph(record), blobs)
        },
    );
    let no_graph = (project_ids(), 1..8u64)
        .prop_map(|(id, generation)| (Told::Graph(graph_gone(id, generation)), Vec::new()));
    let status = (project_ids(), 1..8u64, any::<bool>()).prop_map(|(id, generation, done)| {
        let outcome = if done {
            StageOutcome::Done
        } else {
            StageOutcome::Retrying
        };
        (
            Told::Status(status(id, generation, Stage::Fetched, outcome)),
            Vec::new(),
        )
    });
    prop_oneof![4 => facts, 1 => gone, 6 => graph, 1 => no_graph, 2 => status]
}

struct Node {
    _folder: tempfile::TempDir,
    view: View,
    preparer: Preparer,
    reader: Reader,
}

impl Node {
    fn new(blobs: Arc<dyn Blobs>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader): (Writer, Reader) = open(folder.path());
        let preparer = Preparer::new(writer.inventory(), blobs, u64::MAX);
        Self {
            _folder: folder,
            view: View::new(writer),
            preparer,
            reader,
        }
    }

    async fn take(&mut self, batch: Vec<Told>) {
        let (mut items, mut graphs) = (Vec::new(), Vec::new());
        for told in batch {
            match told {
                Told::Facts(record) => items.push(Item::Facts(Box::new(record), None)),
                Told::Status(record) => items.push(Item::Status(Box::new(record))),
                Told::Graph(graph) => graphs.push(read(graph)),
            }
        }
        self.commit(items).await;
        let mut items = Vec::new();
        for newest in newest(graphs).into_values() {
            items.extend(self.prepare(newest).await);
        }
        self.commit(items).await;
    }

    async fn prepare(&self, newest: Newest) -> Option<Item> {
        match self.preparer.prepare(newest, None).await.unwrap() {
            Prepared::Small(item) => Some(Item::Graph(Box::new(item))),
            other => panic!("{other:?}"),
        }
    }

    async fn commit(&mut self, items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        let position = Position {
            topic: events::PROJECTS,
            partition: Partition::new(0),
            next: Offset::new(1),
        };
        let batch = Batch {
            items,
            positions: vec![position],
        };
        let committed = self.view.commit(&batch).unwrap();
        let mut wake = committed.wake;
        while let Some(project) = wake.pop() {
            if let Some(item) = self.waiting(project).await {
                let batch = Batch {
                    items: vec![item],
                    positions: Vec::new(),
                };
                wake.extend(self.view.commit(&batch).unwrap().wake);
            }
        }
    }

    async fn waiting(&self, project: ProjectId) -> Option<Item> {
        let (graph, bytes) = self.preparer.waiting(project).unwrap()?;
        let read = Read { bytes, ..read(graph) };
        let item = self
            .prepare(Newest {
                read,
                covers: Vec::new(),
                superseded: 0,
                asked: Asked::default(),
            })
            .await?;
        match &item {
            Item::Graph(graph) if matches!(graph.change, GraphChange::Hold) => None,
            _ => Some(item),
        }
    }

    /// What everybody could ask: digests, names seen, and what is answered for.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let answered: Vec<_> = (1..4)
            .map(|id| {
                let notes = notes(&self.reader, id);
                let held: Vec<_> = (0..9)
                    .map(|offset| notes.answered.covers(&push(offset)))
                    .collect();
                (held, notes.newest.map(|newest| newest.rank()))
            })
            .collect();
        (digests(&self.reader), names(&self.reader), answered)
    }
}

fn read(graph: ProjectGraph) -> Read {
    let bytes = encode(ProjectGraph::SUBJECT, &graph).unwrap().into();
    Read {
        partition: Partition::new(0),
        offset: Offset::default(),
        graph,
        bytes,
        asked: Asked::default(),
    }
}

fn open(folder: &Path) -> (Writer, Reader) {
    open_view(folder, options()).unwrap()
}

/// One order of the same records: each topic keeps its own, and some are read a second time.
fn deal(records: &[Told], picks: &[(u8, u8)]) -> Vec<Vec<Told>> {
    let mut topics: [Vec<Told>; 3] = Default::default();
    for told in records {
        let topic = match told {
            Told::Facts(_) => 0,
            Told::Graph(_) => 1,
            Told::Status(_) => 2,
        };
        topics[topic].push(told.clone());
    }
    let mut at = [0; 3];
    let mut batches = Vec::new();
    for (topic, size) in picks {
        let topic = usize::from(*topic % 3);
        // A batch may begin before where the last one ended, as after a crash.
        let from = at[topic] - usize::from(*size % 3).min(at[topic]);
        let to = (at[topic] + 1 + usize::from(*size % 5)).min(topics[topic].len());
        batches.push(topics[topic][from..to].to_vec());
        at[topic] = to;
    }
    for (topic, records) in topics.iter().enumerate() {
        batches.push(records[at[topic]..].to_vec());
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_log_one_view(
        records in proptest::collection::vec(told(), 1..24),
        last in any::<[bool; 3]>(),
        picks in proptest::collection::vec(any::<(u8, u8)>(), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let blobs = MovableBlobs::new();
            let mut log = Vec::new();
            for (told, named) in records {
                blobs.put_many(named).await.unwrap();
                log.push(told);
            }
            // Facts are in the log before the content that was made with them.
            log.extend(last.iter().zip(1..).map(|(lives, id)| match lives {
                true => Told::Facts(facts(id, 6, &format!("g/{id}"), Visibility::Public)),
                false => Told::Facts(facts_gone(id, 6)),
            }));
            let mut straight = Node::new(blobs.clone());
            for told in &log {
                straight.take(vec![told.clone()]).await;
            }
            let mut other = Node::new(blobs);
            for batch in deal(&log, &picks) {
                other.take(batch).await;
            }
            prop_assert_eq!(straight.state(), other.state());
            let sizes = straight.reader.snapshot().unwrap().index_sizes().unwrap();
            prop_assert!(sizes.iter().all(|size| *size == sizes[0]), "{:?}", sizes);
            Ok(())
        })?;
    }
}
