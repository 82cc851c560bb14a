//! A view reads the log again: because it was told to, or because it was deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use access::Caller;
use blobs::Blobs;
use bus::Bus;
use events::{PROJECT_GRAPHS, PROJECTS};
use graph_writer::NotReplayed;
use model::Visibility;

use crate::rig::*;

/// A running view with a graph whose newer version was left out, for want of its blobs; those blobs.
async fn with_a_reject(rig: &Rig) -> (Running, Vec<(model::BlobName, bytes::Bytes)>) {
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.facts(&facts(8, 10, "a/c", Visibility::Public)).await;
    rig.graph(graph(8, 11, 10, None, &[piece("/plans/2", "other")], false))
        .await;
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "old")], false))
        .await;
    let running = rig.run().await;
    running.ready().await;
    assert_eq!(names(&running.reader), ["old", "other"]);
    let (record, lost) = graph(7, 12, 10, Some(4), &[piece("/plans/1", "lost")], true);
    rig.append(new_record(&PROJECT_GRAPHS, &record)).await;
    eventually("left out", || running.notes(7).left_out.is_some()).await;
    (running, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tries_again_what_was_left_out_while_everything_is_shown() {
    let rig = Rig::new().await;
    let (running, lost) = with_a_reject(&rig).await;
    rig.blobs.put_many(lost).await.unwrap();

    let (looks, stop) = (running.reader.clone(), Arc::new(AtomicBool::new(false)));
    let (health, stopped) = (running.edges.health.clone(), stop.clone());
    let watching = tokio::task::spawn_blocking(move || {
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(names(&looks).len(), 2, "nothing is gone meanwhile");
            assert!(health.readiness().ready, "what is shown stays good");
        }
    });
    running.replays.ask(false).await.unwrap();
    eventually("applied", || names(&running.reader) == ["lost", "other"]).await;
    stop.store(true, Ordering::SeqCst);
    watching.await.unwrap();
    let snapshot = running.reader.snapshot().unwrap();
    assert_eq!(snapshot.rejects().unwrap(), []);
    drop(snapshot);
    assert!(running.notes(7).left_out.is_none());
    assert_eq!(digests(&running.reader), rig.rebuilt().await);
    // It goes on as before.
    rig.graph(graph(8, 13, 10, None, &[piece("/plans/2", "new")], false))
        .await;
    eventually("goes on", || names(&running.reader) == ["lost", "new"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_replay_from_empty_is_a_rebuild() {
    let rig = Rig::new().await;
    let (running, lost) = with_a_reject(&rig).await;
    rig.blobs.put_many(lost).await.unwrap();
    running.replays.ask(true).await.unwrap();
    running.ready().await;
    assert_eq!(names(&running.reader), ["lost", "other"]);
    assert_eq!(digests(&running.reader), rig.rebuilt().await);
    let rebuilds = "renku_view_rebuilds_total{reason=\"asked-for\"}";
    assert_eq!(running.count(rebuilds), 1.0);
    assert_eq!(running.reader.snapshot().unwrap().rejects().unwrap(), []);
    let replays = running.replays.clone();
    running.stop().await;
    assert_eq!(replays.ask(false).await, Err(NotReplayed::Stopping));
}

/// The log has as many projects as `PROJECTS_IN_LOG`, each with pieces and a longer history than the view needs.
const PROJECTS_IN_LOG: i64 = 400;
const PIECES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_view_comes_back_and_says_how_far_it_is() {
    let rig = Rig::new().await;
    let (mut records, mut quads) = (Vec::new(), 0);
    for id in 1..=PROJECTS_IN_LOG {
        for version in 1..=6 {
            let visible = facts(id, version, &format!("a/p{id}"), Visibility::Public);
            records.push(new_record(&PROJECTS, &visible));
        }
        let texts: Vec<_> = (0..PIECES)
            .map(|number| piece(&format!("/plans/{id}-{number}"), "a name"))
            .collect();
        quads += texts.len();
        let (record, blobs) = graph(id, 11, 6, None, &texts, false);
        rig.blobs.put_many(blobs).await.unwrap();
        records.push(new_record(&PROJECT_GRAPHS, &record));
    }
    for batch in records.chunks(1_000) {
        rig.bus.append(batch.to_vec()).await.unwrap();
    }
    let running = rig.run().await;
    running.ready().await;
    let before = digests(&running.reader);
    running.stop().await;
    for file in std::fs::read_dir(rig.folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let began = Instant::now();
    let running = rig.run().await;
    let total = "renku_view_catch_up_records{topic=\"projects\"}";
    let left = "renku_view_catch_up_left_records{topic=\"projects\"}";
    eventually("progress is told", || {
        running.count(total) == 6.0 * PROJECTS_IN_LOG as f64
    })
    .await;
    running.ready().await;
    let took = began.elapsed();
    assert_eq!(running.count(left), 0.0);
    assert_eq!(digests(&running.reader), before);
    let shown = names(&running.reader).len();
    assert_eq!(shown, quads);
    println!("{PROJECTS_IN_LOG} projects, {quads} pieces: {took:?}");
    let caller = Caller::Administrator;
    let snapshot = running.reader.snapshot().unwrap();
    let visible = snapshot.visible(&caller, model::Day::default()).unwrap();
    assert_eq!(visible.len(), PROJECTS_IN_LOG as usize);
    drop(snapshot);
    running.stop().await;
}
