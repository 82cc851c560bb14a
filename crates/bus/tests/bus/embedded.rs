//! What is particular to the embedded log.

use std::time::Duration;

use bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions, GroupOptions, ReadLimits};
use model::{CleanUp, LogId, Offset};

use crate::harness::*;

#[tokio::test]
async fn a_second_opening_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), 1);
    let error = EmbeddedBus::open(folder.path(), options(2)).unwrap_err();
    assert!(matches!(error, BusError::Locked { .. }));
    assert!(error.to_string().contains("another process"));
    drop(first);
    assert_eq!(open(folder.path(), 3).log_id(&[]).await.unwrap(), LogId(1));
}

#[tokio::test]
async fn what_is_no_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.sqlite"), vec![7; 8192]).unwrap();
    let error = EmbeddedBus::open(folder.path(), options(1)).unwrap_err();
    assert!(matches!(error, BusError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("log.sqlite"));
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), 1);
    declare(&bus).await;
    bus.append(
        (0..400)
            .map(|n| record(AGED, "k", &"x".repeat(500 + n)))
            .collect(),
    )
    .await
    .unwrap();
    bus.close().await.unwrap();
    drop(bus);
    let file = folder.path().join("log.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    let length = bytes.len();
    for at in (length / 2..length).step_by(4096) {
        bytes[at..at + 200].fill(0xee);
    }
    std::fs::write(&file, bytes).unwrap();
    let answer = match EmbeddedBus::open(folder.path(), options(2)) {
        Ok(bus) => {
            let mut reader = bus
                .read(starts(&bus, &AGED).await, ReadLimits::default())
                .await
                .unwrap();
            let mut read = 0;
            loop {
                match soon(reader.next()).await {
                    Ok(records) => read += records.len(),
                    Err(error) => break error,
                }
                assert!(read < 400, "the damage was not seen");
            }
        }
        Err(error) => error,
    };
    assert!(matches!(answer, BusError::Corrupt { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 1));
    let connection = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
    connection.execute("UPDATE log SET format = 9", []).unwrap();
    drop(connection);
    let error = EmbeddedBus::open(folder.path(), options(1)).unwrap_err();
    assert!(matches!(
        error,
        BusError::Format {
            found: 9,
            known: 1,
            ..
        }
    ));
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_losing_anything() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(
        folder.path(),
        EmbeddedOptions {
            most_pages: Some(120),
            ..options(1)
        },
    )
    .unwrap();
    declare(&bus).await;
    let mut accepted = 0;
    let error = loop {
        match bus.append(vec![record(AGED, "k", &"x".repeat(20_000))]).await {
            Ok(positions) => {
                accepted += 1;
                assert_eq!(positions[0].next, Offset::new(accepted));
            }
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, BusError::Full(_)) && error.is_transient(),
        "{error:?}"
    );
    assert!(accepted > 5);
    // A small one may still fit; nothing of the refused one is seen.
    let mut reader = bus
        .read(starts(&bus, &AGED).await, ReadLimits::default())
        .await
        .unwrap();
    let mut seen = 0;
    while seen < accepted {
        seen += soon(reader.next()).await.unwrap().len() as u64;
    }
    // There is room again.
    while bus.clean_up(at(50)).await.unwrap() {}
    let positions = bus.append(vec![record(AGED, "k", "again")]).await.unwrap();
    assert_eq!(positions[0].next, Offset::new(accepted + 1));
}

#[tokio::test]
async fn appends_go_on_between_steps_of_clean_up() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), 1);
    declare(&bus).await;
    for _ in 0..10 {
        bus.append(
            (0..200)
                .map(|n| record(COMPACTED, &(n % 3).to_string(), "v"))
                .collect(),
        )
        .await
        .unwrap();
    }
    let mut steps = 0;
    while bus.clean_up(at(1)).await.unwrap() {
        bus.append(vec![record(T, "k", "v")]).await.unwrap();
        steps += 1;
    }
    assert!(steps >= 7, "{steps} steps for 1,997 records");
}

#[tokio::test]
async fn a_topic_that_becomes_compacted_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), 1);
    declare(&bus).await;
    bus.append(
        (0..100)
            .map(|n| record(AGED, &(n % 4).to_string(), &n.to_string()))
            .collect(),
    )
    .await
    .unwrap();
    bus.ensure_topics(&[spec(AGED, 1, CleanUp::Compact)])
        .await
        .unwrap();
    bus.append(vec![record(AGED, "0", "newest")]).await.unwrap();
    while bus.clean_up(at(1)).await.unwrap() {}
    let mut kept = Vec::new();
    bus::restore(&bus, &AGED, None, ReadLimits::default(), |r| kept.push(value(&r)))
        .await
        .unwrap();
    assert_eq!(kept, ["97", "98", "99", "newest"]);
}

#[tokio::test]
async fn a_reader_that_keeps_up_is_served_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(folder.path(), EmbeddedOptions::new(LogId(1))).unwrap();
    declare(&bus).await;
    let mut reader = bus
        .read(starts(&bus, &T).await, ReadLimits::default())
        .await
        .unwrap();
    let started = std::time::Instant::now();
    for n in 0..200 {
        bus.append(vec![record(T, &n.to_string(), "v")]).await.unwrap();
        assert_eq!(soon(reader.next()).await.unwrap().len(), 1);
    }
    println!("append to read: {:?} each", started.elapsed() / 200);
}

#[tokio::test]
async fn positions_are_stored_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), 1);
    declare(&bus).await;
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let read = take(&mut *member, 1).await;
    member.settle(&read[0].slot(), read[0].offset);
    let connection = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
    soon(async {
        loop {
            let stored: i64 = connection
                .query_row("SELECT count(*) FROM positions", [], |r| r.get(0))
                .unwrap();
            if stored == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_log_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), 1);
    declare(&bus).await;
    bus.close().await.unwrap();
    assert!(matches!(
        bus.append(vec![record(T, "k", "v")]).await,
        Err(BusError::Closed)
    ));
}
