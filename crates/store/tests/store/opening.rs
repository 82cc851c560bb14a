//! Folders: whose they are, and what two processes may do.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use access::Caller;
use model::{LogId, Offset, Partition, Position, TopicName};
use store::{StoreError, StoreOptions, open_reader};

use crate::support::{Known, ask, open, options, project};

/// Where a child process is to work. Without it the child tests have nothing to do.
pub const FOLDER: &str = "RENKU_STORE_TEST_FOLDER";

/// Starts this test executable again, for one test, on a folder.
pub fn child(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about in 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn known(generation: u64) -> Known {
    Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        generation,
        pieces: [(
            "/p".to_owned(),
            vec![format!("<urn:a:s> <urn:a:p> \"generation {generation}\" .")],
        )]
        .into(),
    }
}

#[test]
fn positions_and_rows_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let position = |partition, next| Position {
        topic: TopicName::from_static("renku.projects.v1"),
        partition: Partition::new(partition),
        next: Offset::new(next),
    };
    let mut batch = writer.begin().unwrap();
    batch.set_log(LogId(7)).unwrap();
    batch.set_position(&position(3, 42)).unwrap();
    batch.set_position(&position(0, 1)).unwrap();
    batch.put_reject(&position(3, 41), "cannot be read").unwrap();
    batch.put_status(project(1), "abc", b"row").unwrap();
    batch.put_note(project(1), b"note").unwrap();
    batch.apply_facts(project(1), &known(1).facts()).unwrap();
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(snapshot.log().unwrap(), Some(LogId(7)));
    assert_eq!(snapshot.positions().unwrap(), [position(0, 1), position(3, 42)]);
    assert_eq!(
        snapshot
            .position(&position(3, 0).topic, Partition::new(3))
            .unwrap(),
        Some(Offset::new(42))
    );
    assert_eq!(
        snapshot.rejects().unwrap(),
        [(position(3, 41), "cannot be read".to_owned())]
    );
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    assert_eq!(
        snapshot.statuses(&visible, project(1)).unwrap(),
        [("abc".to_owned(), b"row".to_vec())]
    );
    assert_eq!(snapshot.note(project(1)).unwrap().unwrap(), b"note");
    assert_eq!(
        snapshot
            .project_by_slug(&visible, &"a/one".parse().unwrap())
            .unwrap(),
        Some(project(1))
    );
}

#[test]
fn a_folder_has_one_writer_and_one_host() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        open_reader(folder.path(), options()),
        Err(StoreError::Absent { .. })
    ));
    let both = open(folder.path());
    assert!(matches!(
        store::open(folder.path(), options()),
        Err(StoreError::AlreadyWritten { .. })
    ));
    assert!(matches!(
        open_reader(folder.path(), options()),
        Err(StoreError::AlreadyOpen { .. })
    ));
    drop(both);
    let other = StoreOptions {
        map_size: 1 << 30,
        ..StoreOptions::new("other.example")
    };
    assert!(matches!(
        store::open(folder.path(), other),
        Err(StoreError::OtherHost { found, .. }) if found == "renku.example"
    ));
    open(folder.path());
}

#[test]
fn a_full_map_is_an_error_that_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let small = StoreOptions {
        map_size: 1 << 20,
        ..options()
    };
    let (mut writer, reader) = store::open(folder.path(), small).unwrap();
    let mut batch = writer.begin().unwrap();
    known(1).put_all(&mut batch, project(1));
    batch.commit().unwrap();
    let mut large = known(2);
    let said = (0..20_000).map(|n| format!("<urn:a:{n}> <urn:a:p> \"{n}\" ."));
    large.pieces.insert("/large".into(), said.collect());
    let full = writer.begin().and_then(|mut batch| {
        batch.apply_graph(project(1), &large.state(), &large.difference(&known(1).pieces))?;
        batch.commit()
    });
    assert!(matches!(full, Err(StoreError::MapFull)), "{full:?}");
    let value = "SELECT ?o { <urn:a:s> <urn:a:p> ?o }";
    assert_eq!(
        ask(&reader.snapshot().unwrap(), Caller::Anonymous, value),
        ["\"generation 1\""]
    );
    drop((writer, reader));
    let (mut writer, reader) = open(folder.path());
    let mut batch = writer.begin().unwrap();
    batch
        .apply_graph(project(1), &large.state(), &large.difference(&known(1).pieces))
        .unwrap();
    batch.commit().unwrap();
    assert_eq!(
        ask(&reader.snapshot().unwrap(), Caller::Anonymous, value),
        ["\"generation 2\""]
    );
}

#[test]
fn reader_slots_are_bounded_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let few = StoreOptions {
        max_readers: 3,
        ..options()
    };
    let (_writer, reader) = store::open(folder.path(), few).unwrap();
    let held: Vec<_> = (0..3).map(|_| reader.snapshot().unwrap()).collect();
    assert!(matches!(reader.snapshot(), Err(StoreError::ReadersFull(3))));
    drop(held);
    reader.snapshot().unwrap();
}

#[test]
fn child_writes_generations() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let (mut writer, _reader) = open(Path::new(&folder));
    let mut before = Default::default();
    for generation in 1.. {
        let now = known(generation);
        let mut batch = writer.begin().unwrap();
        batch.apply_facts(project(1), &now.facts()).unwrap();
        batch
            .apply_graph(project(1), &now.state(), &now.difference(&before))
            .unwrap();
        batch.commit().unwrap();
        before = now.pieces;
    }
}

#[test]
fn another_process_reads_while_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writing = child("opening::child_writes_generations", folder.path());
    let mut reader = None;
    until("the view", || {
        reader = open_reader(folder.path(), options()).ok();
        reader.is_some()
    });
    let reader = reader.unwrap();
    let newest = || {
        let snapshot = reader.snapshot().unwrap();
        let visible = snapshot
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap();
        let applied = snapshot.applied(&visible, project(1)).unwrap()?;
        // Quads and rows are of one moment.
        let said = ask(
            &snapshot,
            Caller::Anonymous,
            "SELECT ?o { <urn:a:s> <urn:a:p> ?o }",
        );
        assert_eq!(said, [format!("\"generation {}\"", applied.generation)]);
        Some(applied.generation.get())
    };
    until("the first generation", || newest().is_some());
    let first = newest();
    until("a later one", || newest() > first);
    let held = reader.snapshot().unwrap();
    writing.kill().unwrap();
    writing.wait().unwrap();
    assert!(newest() > first);
    drop(held);
    drop(reader);
    // The writer's folder is free again.
    let (writer, _reader) = open(folder.path());
    writer.clear_stale_readers().unwrap();
}

/// A file system of its own, as small as a disk that is soon full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where file systems may not be mounted.
    fn mount(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }

    fn grow(&self, bytes: usize) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={bytes}")])
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_works_again_with_room() {
    let Some(disk) = SmallDisk::mount(2 << 20) else {
        println!("file systems may not be mounted here: nothing was tried");
        return;
    };
    let (mut writer, reader) = open(&disk.0.path().join("view"));
    let mut batch = writer.begin().unwrap();
    known(1).put_all(&mut batch, project(1));
    batch.commit().unwrap();
    let mut large = known(2);
    let said = (0..30_000).map(|n| format!("<urn:a:{n}> <urn:a:p> \"{n}\" ."));
    large.pieces.insert("/large".into(), said.collect());
    let apply = |writer: &mut store::Writer| {
        writer.begin().and_then(|mut batch| {
            batch.apply_graph(project(1), &large.state(), &large.difference(&known(1).pieces))?;
            batch.commit()
        })
    };
    let value = "SELECT ?o { <urn:a:s> <urn:a:p> ?o }";
    for _ in 0..3 {
        let full = apply(&mut writer).unwrap_err();
        assert!(
            matches!(full, StoreError::DiskFull(_)) && full.is_transient(),
            "{full:?}"
        );
        assert_eq!(
            ask(&reader.snapshot().unwrap(), Caller::Anonymous, value),
            ["\"generation 1\""]
        );
    }
    disk.grow(64 << 20);
    apply(&mut writer).unwrap();
    assert_eq!(
        ask(&reader.snapshot().unwrap(), Caller::Anonymous, value),
        ["\"generation 2\""]
    );
}
