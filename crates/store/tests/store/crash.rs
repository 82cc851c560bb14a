//! Killed at any instant, a view is what some prefix of its transactions left.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use access::Caller;
use model::{Offset, Partition, Position, TopicName};
use store::{Reader, Writer};

use crate::merge::lines;
use crate::opening::{FOLDER, child, until};
use crate::support::{Dice, Known, open, piece, project};

const GRAPHS: TopicName = TopicName::from_static("renku.project-graphs.v1");

/// The graph of project 1 after so many records. A function of the number alone.
fn after(records: u64) -> Known {
    let mut known = Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        generation: records,
        ..Known::default()
    };
    for record in records.saturating_sub(8)..records {
        let dice = &mut Dice::new(record);
        let name = format!("/piece/{}", dice.below(5));
        known.pieces.insert(name, lines(dice));
    }
    known
}

fn position(writer_says: u64) -> Position {
    Position {
        topic: GRAPHS,
        partition: Partition::new(0),
        next: Offset::new(writer_says),
    }
}

fn applied(reader: &Reader) -> u64 {
    reader
        .snapshot()
        .unwrap()
        .position(&GRAPHS, Partition::new(0))
        .unwrap()
        .map_or(0, Offset::get)
}

fn apply_next(writer: &mut Writer, record: u64) {
    let (before, now) = (after(record - 1), after(record));
    if record.is_multiple_of(7) {
        let mut batch = writer.begin().unwrap();
        let load = batch.begin_load(project(1)).unwrap();
        batch.commit().unwrap();
        for (name, lines) in &now.pieces {
            let mut batch = writer.begin().unwrap();
            batch.load(&load, &[piece(name, lines)]).unwrap();
            batch.commit().unwrap();
        }
        let mut batch = writer.begin().unwrap();
        batch.flip(load, &now.state()).unwrap();
        batch.set_position(&position(record)).unwrap();
        batch.commit().unwrap();
    } else {
        let mut batch = writer.begin().unwrap();
        batch.apply_facts(project(1), &now.facts()).unwrap();
        batch
            .apply_graph(project(1), &now.state(), &now.difference(&before.pieces))
            .unwrap();
        batch.set_position(&position(record)).unwrap();
        batch.commit().unwrap();
    }
    writer.collect(5).unwrap();
}

#[test]
fn child_applies_records() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let (mut writer, reader) = open(Path::new(&folder));
    for record in applied(&reader) + 1.. {
        apply_next(&mut writer, record);
    }
}

#[test]
fn killed_at_any_instant() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 0..15u64 {
        let mut running = child("crash::child_applies_records", folder.path());
        until("the view", || folder.path().join("data.mdb").is_file());
        std::thread::sleep(Duration::from_millis(40 + Dice::new(round).below(120) as u64));
        running.kill().unwrap();
        running.wait().unwrap();
        let (mut writer, reader) = open(folder.path());
        while writer.collect(100).unwrap() {}
        let records = applied(&reader);
        assert!(records >= seen, "round {round}: {records} after {seen}");
        seen = records;
        if records == 0 {
            continue;
        }
        let fresh_folder = tempfile::tempdir().unwrap();
        let (mut fresh, fresh_reader) = open(fresh_folder.path());
        let mut batch = fresh.begin().unwrap();
        let now = after(records);
        batch.apply_facts(project(1), &now.facts()).unwrap();
        batch
            .apply_graph(project(1), &now.state(), &now.difference(&BTreeMap::new()))
            .unwrap();
        batch.commit().unwrap();
        let (live, fresh) = (reader.snapshot().unwrap(), fresh_reader.snapshot().unwrap());
        assert_eq!(live.digest().unwrap(), fresh.digest().unwrap(), "round {round}");
        assert_eq!(live.index_sizes().unwrap(), fresh.index_sizes().unwrap());
        assert_eq!(live.terms().unwrap(), fresh.terms().unwrap());
        let digest = |snapshot: &store::Snapshot| {
            let visible = snapshot
                .visible(&Caller::Anonymous, model::Day::default())
                .unwrap();
            snapshot.content_digest(&visible, project(1)).unwrap()
        };
        assert_eq!(digest(&live), digest(&fresh), "round {round}");
        let log = live.applied_log(project(1)).unwrap();
        assert!(log.iter().all(|(_, times)| *times == 1), "round {round}: {log:?}");
    }
    assert!(seen > 15, "only {seen} records in 15 rounds");
}
