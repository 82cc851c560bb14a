//! What a caller loses he loses at once, also in the middle of an answer; and the canary tells when that fails.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::StatusCode;
use model::{Generation, Visibility};
use runtime::Stop;
use tower::ServiceExt as _;

use crate::rig::{Rig, project, query_request, state};

const ALL: &str = "SELECT * { ?s <http://schema.org/value> ?o }";

async fn first_block(body: &mut Body) {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    assert!(!frame.unwrap().unwrap().into_data().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_ends_when_its_caller_loses_something() {
    for lost in [true, false] {
        let mut rig = Rig::new();
        rig.fill(10, 200_000);
        let asked = rig.service.router().oneshot(query_request(ALL, "text/csv"));
        let told = asked.await.unwrap();
        assert_eq!(told.status(), StatusCode::OK);
        let mut body = told.into_body();
        first_block(&mut body).await;
        // The rest waits for its reader. What is lost, or not, is lost in the meantime.
        let changed = if lost { 10 } else { 1 };
        let mut txn = rig.writer.begin().unwrap();
        let mut facts = txn.facts(project(changed)).unwrap().unwrap();
        facts.state_version = Generation::new(2);
        let live = facts.live.as_mut().unwrap();
        live.visibility = if lost {
            Visibility::Private
        } else {
            Visibility::Public
        };
        txn.apply_facts(project(changed), &facts).unwrap();
        txn.commit().unwrap();
        let rest = tokio::time::timeout(Duration::from_secs(20), to_bytes(body, usize::MAX)).await;
        assert_eq!(rest.unwrap().is_err(), lost);
        let after = rig.query(ALL).await;
        assert_eq!(after.text().lines().count() == 1, lost, "only the head is left");
    }
}

#[tokio::test]
async fn a_project_more_is_no_reason_to_end_an_answer() {
    let mut rig = Rig::new();
    rig.fill(10, 200_000);
    let asked = rig.service.router().oneshot(query_request(ALL, "text/csv"));
    let mut body = asked.await.unwrap().into_body();
    first_block(&mut body).await;
    rig.put(11, state("g/new", Visibility::Public), "");
    assert!(to_bytes(body, usize::MAX).await.is_ok());
}

#[tokio::test]
async fn the_canary_is_looked_for() {
    let mut rig = Rig::new();
    let read = |rig: &Rig, name: &str| {
        let text = rig.edges.metrics.exposition().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    for planted in [false, true] {
        if planted {
            rig.writer.plant_canary(0x0bad_cafe).unwrap();
        }
        let stop = Stop::new();
        // It looks once before it sees that it is to end.
        stop.request();
        rig.service.clone().probe(stop).await.unwrap();
        let wanted = if planted { "1" } else { "0" };
        assert_eq!(read(&rig, "renku_canary_proved").as_deref(), Some(wanted));
        assert_eq!(read(&rig, "renku_canary_seen_total").as_deref(), Some("0"));
    }
    let told = rig
        .query("SELECT * { ?s <https://canary.invalid/says> ?word }")
        .await;
    assert_eq!(told.text().lines().count(), 1, "{told:?}");
}
