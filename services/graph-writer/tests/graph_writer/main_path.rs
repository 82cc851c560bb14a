use access::Caller;
use events::{Stage, StageOutcome};
use model::{Generation, Visibility};

use crate::rig::*;

#[tokio::test]
async fn a_push_becomes_queryable_and_its_covers_hold() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.status(&status(7, 11, Stage::Generated, StageOutcome::Done))
        .await;
    let pieces = [piece("/plans/1", "first"), piece("/plans/2", "second")];
    let position = rig.graph(graph(7, 11, 10, Some(3), &pieces, false)).await;
    eventually("covered", || running.notes(7).answered.covers(&push(3))).await;
    assert_eq!(names(&running.reader), ["first", "second"]);
    assert!(!running.notes(7).answered.covers(&push(4)));
    eventually("status", || running.notes(7).newest.is_some()).await;

    let snapshot = running.reader.snapshot().unwrap();
    let next = snapshot.position(&position.topic, position.partition).unwrap();
    assert_eq!(next, Some(position.next));
    assert_eq!(
        snapshot.applied_log(project(7)).unwrap(),
        [(Generation::new(11), 1)]
    );
    drop(snapshot);

    // The next push: one piece changed, one gone, one new. What did not change is not read again.
    let pieces = [piece("/plans/1", "first again"), piece("/plans/3", "third")];
    rig.graph(graph(7, 12, 10, Some(5), &pieces, false)).await;
    eventually("covered", || running.notes(7).answered.covers(&push(5))).await;
    assert_eq!(names(&running.reader), ["first again", "third"]);
    running.ready().await;
    eventually("counted", || {
        running.count("renku_view_pieces_total{change=\"written\"}") == 4.0
    })
    .await;
    eventually("counted", || {
        running.count("renku_view_pieces_total{change=\"removed\"}") == 1.0
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_graph_waits_for_its_facts() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.graph(graph(7, 11, 10, Some(3), &[piece("/plans/1", "first")], false))
        .await;
    eventually("held", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .pending(project(7))
            .unwrap()
            .is_some()
    })
    .await;
    assert!(names(&running.reader).is_empty());
    rig.facts(&facts(7, 9, "a/b", Visibility::Public)).await;
    eventually("facts", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap()
            .len()
            == 1
    })
    .await;
    assert!(names(&running.reader).is_empty() && !running.notes(7).answered.covers(&push(3)));
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    eventually("covered", || running.notes(7).answered.covers(&push(3))).await;
    assert_eq!(names(&running.reader), ["first"]);
    assert!(
        running
            .reader
            .snapshot()
            .unwrap()
            .pending(project(7))
            .unwrap()
            .is_none()
    );
    running.stop().await;
}

/// Stopped between the facts' transaction and the graph's: the waiting graph is found at the next start.
#[tokio::test]
async fn a_waiting_graph_is_found_at_start() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "first")], true))
        .await;
    eventually("held", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .pending(project(7))
            .unwrap()
            .is_some()
    })
    .await;
    rig.blobs.down.store(true, std::sync::atomic::Ordering::SeqCst);
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    eventually("blocked", || !running.edges.health.readiness().ready).await;
    running.stop().await;
    rig.blobs.down.store(false, std::sync::atomic::Ordering::SeqCst);
    let running = rig.run().await;
    eventually("applied", || names(&running.reader) == ["first"]).await;
    running.stop().await;
}

#[tokio::test]
async fn older_graphs_are_ignored_and_what_is_gone_is_gone() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.graph(graph(7, 12, 10, None, &[piece("/plans/1", "new")], false))
        .await;
    rig.graph(graph(7, 11, 10, Some(2), &[piece("/plans/1", "old")], false))
        .await;
    eventually("covered", || running.notes(7).answered.covers(&push(2))).await;
    assert_eq!(names(&running.reader), ["new"]);
    rig.append(new_record(&events::PROJECT_GRAPHS, &graph_gone(7, 13)))
        .await;
    eventually("gone", || names(&running.reader).is_empty()).await;
    rig.facts(&facts_gone(7, 14)).await;
    eventually("invisible", || {
        running
            .reader
            .snapshot()
            .unwrap()
            .visible(&Caller::Administrator, model::Day::default())
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn nothing_new_is_answered_once_what_it_awaits_is_there() {
    let rig = Rig::new().await;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    rig.status(&nothing_new(7, 12, 10, 11, 4)).await;
    eventually("read", || running.notes(7).newest.is_some()).await;
    assert!(!running.notes(7).answered.covers(&push(4)));
    rig.graph(graph(7, 11, 10, None, &[piece("/plans/1", "first")], false))
        .await;
    eventually("covered", || running.notes(7).answered.covers(&push(4))).await;
    running.stop().await;
}

#[tokio::test]
async fn a_large_graph_is_loaded_in_steps_and_flipped_in() {
    let mut rig = Rig::new().await;
    rig.config.transaction_bytes = 64 << 10;
    let running = rig.run().await;
    rig.facts(&facts(7, 10, "a/b", Visibility::Public)).await;
    let mut all = pieces(600, 1_000);
    rig.graph(graph(7, 11, 10, Some(1), &all, true)).await;
    eventually("covered", || running.notes(7).answered.covers(&push(1))).await;
    assert_eq!(names(&running.reader).len(), 600);
    // Most of it changes, some stays.
    for (id, text) in all.iter_mut().skip(100) {
        *text = piece(id, &format!("changed {}", "y".repeat(800))).1;
    }
    all.truncate(590);
    rig.graph(graph(7, 12, 10, Some(2), &all, true)).await;
    eventually("covered", || running.notes(7).answered.covers(&push(2))).await;
    let told = ask(
        &running.reader,
        Caller::Anonymous,
        "SELECT (COUNT(*) AS ?n) { ?s ?p ?n FILTER(STRSTARTS(?n, \"changed\")) }",
    );
    assert_eq!(told, ["490"]);
    let snapshot = running.reader.snapshot().unwrap();
    assert_eq!(
        snapshot.applied_log(project(7)).unwrap(),
        [(Generation::new(12), 1), (Generation::new(11), 1)]
    );
    drop(snapshot);
    eventually("collected", || {
        let sizes = running.reader.snapshot().unwrap().index_sizes().unwrap();
        // The canary's triple is there, too.
        sizes == [591; 4]
    })
    .await;
    assert_eq!(digests(&running.reader), rig.rebuilt().await);
    running.stop().await;
}
