use std::sync::atomic::Ordering;

use access::Caller;
use blobs::Blobs;
use bus::{Bus, MemoryBus, NewRecord};
use events::{PROJECT_GRAPHS, PROJECTS, topic_specs};
use model::{LogId, Timestamp, Visibility};

use crate::rig::*;

#[tokio::test]
async fn a_blob_store_that_is_down_blocks_one_partition_only() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    running.ready().await;
    // 7 and 8 are in different partitions.
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.facts(&facts(8, 10, "a/c", Visibility::Public)).await;
    eventually("facts", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap()
            .len()
            == 2
    })
    .await;
    rig.blobs.down.store(true, Ordering::SeqCst);
    rig.graph(graph(7, 11, 10, Some(1), &[piece("/plans/1", "detached")], true))
        .await;
    eventually("blocked", || !running.edges.health.readiness().ready).await;
    let told = running.edges.health.readiness().components["graph-writer"].clone();
    assert!(
        told.contains("partition") && told.contains("it is down"),
        "{told}"
    );
    rig.graph(graph(8, 11, 10, Some(2), &[piece("/plans/2", "attached")], false))
        .await;
    rig.facts(&facts(9, 10, "a/d", Visibility::Public)).await;
    eventually("others go on", || names(&running.reader) == ["attached"]).await;
    eventually("facts go on", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap()
            .len()
            == 3
    })
    .await;
    assert!(!running.notes(7).answered.covers(&push(1)));
    rig.blobs.down.store(false, Ordering::SeqCst);
    eventually("caught up", || names(&running.reader) == ["attached", "detached"]).await;
    running.ready().await;
    assert!(running.notes(7).answered.covers(&push(1)));
    running.stop().await;
}

#[tokio::test]
async fn a_missing_blob_keeps_the_old_graph_and_says_so() {
    let rig = Rig::new().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    let running = rig.run().await;
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "old")], false))
        .await;
    eventually("applied", || names(&running.reader) == ["old"]).await;
    let (record, _lost) = graph(7, 12, 10, Some(4), &[piece("/plans/1", "lost")], true);
    let position = rig.append(new_record(&PROJECT_GRAPHS, &record)).await;
    eventually("answered", || running.notes(7).answered.covers(&push(4))).await;
    assert_eq!(names(&running.reader), ["old"]);
    assert_eq!(running.notes(7).left_out.unwrap().code, "blob-missing");
    let rejects = running.reader.snapshot().unwrap().rejects().unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0].0.next.next(), position.next);
    assert!(
        rejects[0].1.starts_with("blob-missing: blob sha256/"),
        "{}",
        rejects[0].1
    );
    eventually("counted", || {
        running.count("renku_view_rejects_total{code=\"blob-missing\"}") == 1.0
    })
    .await;
    running.ready().await;
    // The next look heals it.
    rig.graph(graph(7, 13, 10, None, &[piece("/plans/1", "new")], false))
        .await;
    eventually("healed", || names(&running.reader) == ["new"]).await;
    assert!(running.notes(7).left_out.is_none());
    running.stop().await;
}

#[tokio::test]
async fn a_missing_blob_of_a_superseded_record_is_no_reject() {
    let mut rig = Rig::new().await;
    // One record a batch would hide it, so the newer one is far behind the missing one.
    rig.config.transaction_bytes = 64 << 10;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    let (record, _lost) = graph(7, 11, 10, Some(4), &[piece("/plans/1", "lost")], true);
    rig.append(new_record(&PROJECT_GRAPHS, &record)).await;
    let filler = "x".repeat(25_000);
    let other = (1..)
        .find(|id| *id != 7 && partition_of(*id) == partition_of(7))
        .unwrap();
    rig.facts(&facts(other, 10, "a/o", Visibility::Private)).await;
    for generation in 1..=120 {
        rig.graph(graph(
            other,
            generation,
            10,
            None,
            &[piece("/plans/9", &filler)],
            false,
        ))
        .await;
    }
    rig.graph(graph(7, 12, 10, Some(5), &[piece("/plans/1", "new")], false))
        .await;
    let running = rig.run().await;
    running.ready().await;
    assert_eq!(names(&running.reader), ["new"]);
    assert!(running.reader.snapshot().unwrap().rejects().unwrap().is_empty());
    assert!(running.notes(7).answered.covers(&push(5)));
    running.stop().await;
}

fn partition_of(id: i64) -> model::Partition {
    model::partition_of(id.to_string().as_bytes(), 16)
}

#[tokio::test]
async fn unreadable_records_hide_projects_and_keep_graphs() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "old")], false))
        .await;
    eventually("applied", || names(&running.reader) == ["old"]).await;

    let garbage = |topic| NewRecord::new(topic, "7", "no avro", Timestamp::from_micros(1));
    rig.append(garbage(PROJECT_GRAPHS)).await;
    eventually("left out", || {
        running.reader.snapshot().unwrap().rejects().unwrap().len() == 1
    })
    .await;
    assert_eq!(names(&running.reader), ["old"]);

    rig.append(garbage(PROJECTS)).await;
    eventually("hidden", || names(&running.reader).is_empty()).await;
    let snapshot = running.reader.snapshot().unwrap();
    assert!(
        snapshot
            .visible(&Caller::Administrator, model::Day::default())
            .unwrap()
            .is_empty()
    );
    drop(snapshot);
    eventually("counted", || {
        running.count("renku_view_projects_hidden_total") == 1.0
    })
    .await;

    rig.facts(&facts(7, 12, "a/b", Visibility::Public)).await;
    eventually("seen again", || names(&running.reader) == ["old"]).await;
    running.ready().await;
    running.stop().await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_pieces_is_left_out() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    let reserved = (
        "/plans/1".to_owned(),
        "<urn:renku:graph> <http://schema.org/name> \"x\" .\n".to_owned(),
    );
    rig.graph(graph(7, 11, 10, Some(1), &[reserved], false)).await;
    eventually("left out", || running.notes(7).left_out.is_some()).await;
    assert_eq!(running.notes(7).left_out.unwrap().code, "bad-piece");
    let (mut lies, _) = graph(7, 12, 10, Some(2), &[piece("/plans/1", "x")], false);
    lies.graph.as_mut().unwrap().bucket_bits = 3;
    rig.append(new_record(&PROJECT_GRAPHS, &lies)).await;
    eventually("left out", || {
        running.notes(7).left_out.unwrap().code == "record-inconsistent"
    })
    .await;
    assert!(names(&running.reader).is_empty());
    running.ready().await;
    running.stop().await;
}

#[tokio::test]
async fn a_view_of_another_log_is_built_anew() {
    let mut rig = Rig::new().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.graph(graph(
        7,
        11,
        10,
        None,
        &[piece("/plans/1", "of the first log")],
        false,
    ))
    .await;
    let running = rig.run().await;
    running.ready().await;
    assert_eq!(names(&running.reader), ["of the first log"]);
    running.stop().await;

    rig.bus = MemoryBus::new(LogId(2));
    rig.bus.ensure_topics(&topic_specs()).await.unwrap();
    rig.facts(&facts(8, 3, "c/d", Visibility::Public)).await;
    rig.graph(graph(
        8,
        4,
        3,
        None,
        &[piece("/plans/1", "of the second log")],
        false,
    ))
    .await;
    let running = rig.run().await;
    running.ready().await;
    assert_eq!(names(&running.reader), ["of the second log"]);
    eventually("counted", || {
        running.count("renku_view_rebuilds_total{reason=\"other-log\"}") == 1.0
    })
    .await;
    assert_eq!(digests(&running.reader), rig.rebuilt().await);
    running.stop().await;
}

#[tokio::test]
async fn a_view_that_knows_more_than_the_log_is_built_anew() {
    let mut rig = Rig::new().await;
    for version in 1..=5 {
        rig.facts(&facts(7, version, "a/b", Visibility::Public)).await;
    }
    let running = rig.run().await;
    running.ready().await;
    running.stop().await;
    // The same log, as an older copy of it has it.
    rig.bus = MemoryBus::new(LogId(1));
    rig.bus.ensure_topics(&topic_specs()).await.unwrap();
    rig.facts(&facts(7, 1, "a/z", Visibility::Public)).await;
    let running = rig.run().await;
    running.ready().await;
    eventually("counted", || {
        running.count("renku_view_rebuilds_total{reason=\"past-end\"}") == 1.0
    })
    .await;
    let snapshot = running.reader.snapshot().unwrap();
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    assert!(
        snapshot
            .project_by_slug(&visible, &"a/z".parse().unwrap())
            .unwrap()
            .is_some()
    );
    drop(snapshot);
    running.stop().await;
}

/// Removing blobs that a large load needs, in its midst, leaves the old graph.
#[tokio::test]
async fn a_large_graph_without_its_blobs_is_left_out() {
    let mut rig = Rig::new().await;
    rig.config.transaction_bytes = 64 << 10;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    let (record, blobs) = graph(7, 11, 10, Some(1), &pieces(300, 1_000), true);
    // All but one of the texts.
    rig.blobs
        .put_many(blobs.into_iter().skip(1).collect())
        .await
        .unwrap();
    rig.append(new_record(&PROJECT_GRAPHS, &record)).await;
    let running = rig.run().await;
    eventually("answered", || running.notes(7).answered.covers(&push(1))).await;
    assert_eq!(running.notes(7).left_out.unwrap().code, "blob-missing");
    running.ready().await;
    eventually("collected", || {
        // Nothing but the canary's triple.
        running.reader.snapshot().unwrap().index_sizes().unwrap() == [1; 4]
    })
    .await;
    running.stop().await;
}
