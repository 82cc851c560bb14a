//! Killed at every seam, the view is afterwards what an uninterrupted run makes.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blobs::{BlobError, Blobs, FolderBlobs};
use bus::{Bus, EmbeddedBus, EmbeddedOptions, NewRecord};
use bytes::Bytes;
use events::{PROJECT_GRAPHS, PROJECTS, topic_specs};
use graph_writer::Config;
use model::{BlobName, LogId, Timestamp, Visibility};
use runtime::failpoint;
use tokio::sync::{Notify, Semaphore};

use crate::rig::*;

const FOLDER: &str = "GRAPH_WRITER_TEST_FOLDER";
const VIEW: &str = "GRAPH_WRITER_TEST_VIEW";
const PLAN: &str = "GRAPH_WRITER_TEST_PLAN";

const POINTS: [&str; 7] = [
    "graph-writer.before-transaction",
    "graph-writer.after-transaction",
    "graph-writer.before-commit",
    "graph-writer.after-commit",
    "graph-writer.before-next-poll",
    "graph-writer.during-flip",
    "graph-writer.before-flip",
];

fn config() -> Config {
    Config {
        transaction_bytes: 64 << 10,
        ..Config::default()
    }
}

fn open_bus(folder: &Path) -> EmbeddedBus {
    EmbeddedBus::open(&folder.join("bus"), EmbeddedOptions::new(LogId(7))).unwrap()
}

fn open_blobs(folder: &Path) -> Arc<dyn Blobs> {
    Arc::new(FolderBlobs::open(&folder.join("blobs"), Arc::new(model::Timestamp::default)).unwrap())
}

/// Twenty projects with a few pushes each, one of them large, one gone, one waiting for facts that come last.
async fn fill(folder: &Path) {
    let (bus, blobs) = (open_bus(folder), open_blobs(folder));
    bus.ensure_topics(&topic_specs()).await.unwrap();
    let mut records: Vec<NewRecord> = Vec::new();
    for id in 1..=20 {
        records.push(new_record(
            &PROJECTS,
            &facts(id, 10, &format!("g/{id}"), Visibility::Public),
        ));
        for generation in 11..=14 {
            let pieces: Vec<_> = (0..generation as usize)
                .map(|n| piece(&format!("/plans/{n}"), &format!("{id} {}", n as u64 * generation)))
                .collect();
            let (record, named) = graph(id, generation, 10, None, &pieces, id % 3 == 0);
            blobs.put_many(named).await.unwrap();
            records.push(new_record(&PROJECT_GRAPHS, &record));
        }
    }
    let (record, named) = graph(21, 11, 10, None, &pieces(400, 700), true);
    blobs.put_many(named).await.unwrap();
    records.push(new_record(&PROJECT_GRAPHS, &record));
    records.push(new_record(&PROJECT_GRAPHS, &graph_gone(3, 20)));
    records.push(new_record(
        &PROJECTS,
        &facts(21, 10, "g/large", Visibility::Public),
    ));
    bus.append(records).await.unwrap();
    bus.close().await.unwrap();
}

async fn run_to_the_end(folder: &Path, view: &Path) -> (String, Vec<String>) {
    let bus = open_bus(folder);
    let running = Running::start(view, Arc::new(bus.clone()), open_blobs(folder), &config()).await;
    running.ready().await;
    eventually("the large one is in", || {
        let snapshot = running.reader.snapshot().unwrap();
        snapshot.pending(project(21)).unwrap().is_none()
            && snapshot.applied_log(project(21)).unwrap().len() == 1
    })
    .await;
    for id in 1..=21 {
        let log = running
            .reader
            .snapshot()
            .unwrap()
            .applied_log(project(id))
            .unwrap();
        assert!(log.iter().all(|(_, times)| *times == 1), "project {id}: {log:?}");
    }
    let digests = digests(&running.reader);
    running.stop().await;
    bus.close().await.unwrap();
    digests
}

/// Blobs that hold up the reading of some of them until they may be read.
struct Held {
    inner: Arc<dyn Blobs>,
    names: HashSet<BlobName>,
    wanted: Notify,
    may_be_read: Semaphore,
}

#[async_trait]
impl Blobs for Held {
    async fn put_many(&self, values: Vec<Blob>) -> Result<(), BlobError> {
        self.inner.put_many(values).await
    }

    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError> {
        if names.iter().any(|name| self.names.contains(name)) {
            self.wanted.notify_one();
            let _may = self.may_be_read.acquire().await.unwrap();
        }
        self.inner.get_many(names).await
    }

    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.inner.touch_many(names).await
    }

    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.inner.contains_many(names).await
    }

    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        self.inner.unused_since(before, limit).await
    }

    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        self.inner.remove_unused(names, before).await
    }
}

/// While a large graph is on its way in, one of another partition is committed; then the process is killed before the flip.
async fn commit_another_partition_between(folder: &Path, view: &Path) {
    let (bus, blobs) = (open_bus(folder), open_blobs(folder));
    let large = pieces(400, 700);
    let held = Arc::new(Held {
        inner: blobs.clone(),
        names: large
            .iter()
            .map(|(_, text)| blobs::digest_name(text.as_bytes()))
            .collect(),
        wanted: Notify::new(),
        may_be_read: Semaphore::new(0),
    });
    let running = Running::start(view, Arc::new(bus.clone()), held.clone(), &config()).await;
    eventually("the facts are in", || {
        let snapshot = running.reader.snapshot().unwrap();
        snapshot
            .visible(&access::Caller::Anonymous, model::Day::default())
            .unwrap()
            .len()
            == 2
    })
    .await;
    let (record, named) = graph(1, 11, 10, None, &large, true);
    blobs.put_many(named).await.unwrap();
    let at = bus
        .append(vec![new_record(&PROJECT_GRAPHS, &record)])
        .await
        .unwrap();
    let partition = at[0].partition;
    held.wanted.notified().await;
    let (record, named) = graph(2, 11, 10, None, &[piece("/plans/2", "small")], false);
    blobs.put_many(named).await.unwrap();
    let at = bus
        .append(vec![new_record(&PROJECT_GRAPHS, &record)])
        .await
        .unwrap();
    assert_ne!(at[0].partition, partition);
    eventually("the small one is in, and its position", || {
        let snapshot = running.reader.snapshot().unwrap();
        let position = snapshot.position(&at[0].topic, at[0].partition).unwrap();
        position.is_some_and(|next| next >= at[0].next)
    })
    .await;
    held.may_be_read.add_permits(1_000);
    // The failpoint ends the process.
    tokio::time::sleep(SOON).await;
}

#[test]
fn between_child() {
    let (Some(folder), Some(view), Some(plan)) = (
        std::env::var_os(FOLDER),
        std::env::var_os(VIEW),
        std::env::var_os(PLAN),
    ) else {
        return;
    };
    failpoint::arm_from_spec(plan.to_str().unwrap()).unwrap();
    runtime().block_on(commit_another_partition_between(
        Path::new(&folder),
        Path::new(&view),
    ));
}

#[test]
fn a_large_graph_is_not_lost_when_another_partition_is_committed_before_its_flip() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let folder = folder.path();
    runtime.block_on(async {
        let bus = open_bus(folder);
        bus.ensure_topics(&topic_specs()).await.unwrap();
        let records = [1, 2].map(|id| {
            let facts = facts(id, 10, &format!("g/{id}"), Visibility::Public);
            new_record(&PROJECTS, &facts)
        });
        bus.append(records.to_vec()).await.unwrap();
        bus.close().await.unwrap();
    });
    let view = folder.join("view");
    assert!(
        run_child(
            "kills::between_child",
            folder,
            &view,
            "graph-writer.before-flip=kill"
        ),
        "not killed before the flip"
    );
    runtime.block_on(async {
        let bus = open_bus(folder);
        let running = Running::start(&view, Arc::new(bus.clone()), open_blobs(folder), &config()).await;
        running.ready().await;
        eventually("the large one is in", || names(&running.reader).len() == 401).await;
        running.stop().await;
        bus.close().await.unwrap();
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// What the child process does: runs the role until the failpoint kills it, or all is applied.
#[test]
fn child() {
    let (Some(folder), Some(view), Some(plan)) = (
        std::env::var_os(FOLDER),
        std::env::var_os(VIEW),
        std::env::var_os(PLAN),
    ) else {
        return;
    };
    failpoint::arm_from_spec(plan.to_str().unwrap()).unwrap();
    runtime().block_on(run_to_the_end(Path::new(&folder), Path::new(&view)));
}

fn run_child(child: &str, folder: &Path, view: &Path, plan: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--test-threads=1"])
        .env(FOLDER, folder)
        .env(VIEW, view)
        .env(PLAN, plan)
        .output()
        .unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&status.status) == Some(9);
    assert!(
        killed || status.status.success(),
        "{plan}: {}",
        String::from_utf8_lossy(&status.stdout)
    );
    killed
}

#[test]
fn killed_anywhere_the_view_is_the_same() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wanted = runtime.block_on(async {
        fill(folder).await;
        run_to_the_end(folder, &folder.join("undisturbed")).await
    });
    let mut kills = 0;
    for point in POINTS {
        for hit in [1, 2, 4] {
            let view = folder.join(format!("{point}-{hit}"));
            if run_child("kills::child", folder, &view, &format!("{point}=kill@{hit}")) {
                kills += 1;
                assert_eq!(
                    runtime.block_on(run_to_the_end(folder, &view)),
                    wanted,
                    "{point}, hit {hit}"
                );
            }
        }
    }
    assert!(kills >= 10, "only {kills} kills");
}

/// The same in process: every task of the role ends with an error, and the next role goes on.
#[tokio::test]
async fn an_error_at_a_seam_ends_the_role_and_the_next_goes_on() {
    let rig = Rig::new().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "first")], false))
        .await;
    // Other tests of this process meet the point too, so only this thread is armed: a commit without the role.
    let (writer, reader) = graph_writer::open_view(rig.folder.path(), options()).unwrap();
    let mut view = graph_writer::View::new(writer);
    let item = graph_writer::Item::Facts(Box::new(facts(7, 10, "a/b", Visibility::Public)), None);
    let batch = graph_writer::Batch {
        items: vec![item],
        positions: Vec::new(),
    };
    let hook = failpoint::on_this_thread(|name| match name {
        "graph-writer.before-commit" => failpoint::Action::Error,
        _ => failpoint::Action::Nothing,
    });
    assert!(view.commit(&batch).is_err());
    drop(hook);
    assert!(
        reader
            .snapshot()
            .unwrap()
            .visible(&access::Caller::Anonymous, model::Day::default())
            .unwrap()
            .is_empty()
    );
    drop((view, reader));
    let running = rig.run().await;
    tokio::time::timeout(Duration::from_secs(20), running.ready())
        .await
        .unwrap();
    assert_eq!(names(&running.reader), ["first"]);
    running.stop().await;
}
