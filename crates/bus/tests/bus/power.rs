//! Kills, and files that lost their end.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bus::{Bus, BusError, EmbeddedBus, ReadLimits};
use model::{LogId, Offset};

use crate::harness::*;

const FOLDER: &str = "RENKU_TEST_LOG_FOLDER";

/// Not a test of its own: the process that is killed. It appends for ever and prints what was acknowledged.
#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "how the parent tells its child where to write"
)]
async fn child_that_appends() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let bus = open(Path::new(&folder), 99);
    declare(&bus).await;
    let mut out = std::io::stdout();
    let first = bus.extents(&AGED).await.unwrap()[0].end.get();
    for n in first.. {
        let records = vec![
            record(AGED, "k", &n.to_string()),
            record(COMPACTED, "k", &n.to_string()),
        ];
        let positions = bus.append(records).await.unwrap();
        assert_eq!(positions[0].next, Offset::new(n + 1));
        writeln!(out, "acknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

fn run_and_kill(folder: &Path, after: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["power::child_that_appends", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut seen = 0;
    for line in lines {
        let line = line.unwrap();
        if let Some(n) = line
            .rsplit("acknowledged ")
            .next()
            .and_then(|n| n.parse::<u64>().ok())
        {
            last = Some(n);
            seen += 1;
            if seen == after {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    last.expect("nothing was acknowledged")
}

async fn all_values(bus: &EmbeddedBus) -> Vec<u64> {
    let mut values = Vec::new();
    bus::restore(bus, &AGED, None, ReadLimits::default(), |r| {
        values.push(value(&r).parse().unwrap())
    })
    .await
    .unwrap();
    values
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=8 {
        let last = run_and_kill(folder.path(), 7 * round + round * round);
        let bus = open(folder.path(), 50);
        let values = all_values(&bus).await;
        assert_eq!(values, (0..values.len() as u64).collect::<Vec<_>>());
        assert!(
            values.len() as u64 > last,
            "{} records, {last} was acknowledged",
            values.len()
        );
        assert_eq!(
            bus.log_id(&[]).await.unwrap(),
            LogId(99),
            "a kill loses nothing, so the log stays the same"
        );
    }
}

/// A write-ahead log that was cut loses a suffix; the log says so by a new id and never gives an offset again.
#[tokio::test]
async fn a_cut_write_ahead_log_loses_a_suffix_only() {
    let whole = tempfile::tempdir().unwrap();
    let bus = open(whole.path(), 1);
    declare(&bus).await;
    for n in 0..60 {
        bus.append(vec![record(AGED, "k", &n.to_string())]).await.unwrap();
    }
    // As a kill leaves the files.
    let copy_to = |folder: &Path| {
        for name in ["log.sqlite", "log.sqlite-wal", "log.ends"] {
            std::fs::copy(whole.path().join(name), folder.join(name)).unwrap();
        }
    };
    let length = std::fs::metadata(whole.path().join("log.sqlite-wal"))
        .unwrap()
        .len();
    let mut lost = 0;
    for cut in (0..24).map(|n| length * n / 24).chain([length - 1, length]) {
        let folder = tempfile::tempdir().unwrap();
        copy_to(folder.path());
        let wal = std::fs::File::options()
            .write(true)
            .open(folder.path().join("log.sqlite-wal"))
            .unwrap();
        wal.set_len(cut).unwrap();
        let bus = open(folder.path(), 2);
        let Ok(extents) = bus.extents(&AGED).await else {
            // Cut before the topics were made.
            assert!(matches!(bus.extents(&AGED).await, Err(BusError::UnknownTopic(_))));
            assert_eq!(bus.log_id(&[]).await.unwrap(), LogId(2));
            continue;
        };
        let values = all_values(&bus).await;
        assert_eq!(values, (0..values.len() as u64).collect::<Vec<_>>(), "a prefix");
        let same = bus.log_id(&[]).await.unwrap() == LogId(1);
        assert_eq!(
            same,
            values.len() == 60,
            "the id tells whether something was lost"
        );
        assert_eq!(extents[0].end, Offset::new(60), "no offset is given twice");
        lost += u32::from(!same);
        let next = bus.append(vec![record(AGED, "k", "60")]).await.unwrap();
        assert_eq!(next[0].next, Offset::new(61));
        // The new id is kept.
        let id = bus.log_id(&[]).await.unwrap();
        drop(bus);
        assert_eq!(open(folder.path(), 3).log_id(&[]).await.unwrap(), id);
    }
    assert!(lost > 10);
}
