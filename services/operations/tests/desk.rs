//! The operator's desk over HTTP, on the log in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use access::{Denial, GroupPath};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bus::worker::parked_record;
use bus::{Bus, MemoryBus, NewRecord, Origin, ReadLimits, Record, record_of, value_of};
use events::{Decoder, LookReason, PUSH_EVENTS, PUSH_EVENTS_BACKFILL, PushEvent, parked, topic_specs};
use model::{
    Day, Generation, LogId, Offset, Owner, Partition, Position, ProjectId, Reason, Timestamp, TopicName,
    UserId, Visibility,
};
use operations::{AskReplay, Operations};
use runtime::{Edges, ManualClock, SeededRandomness};
use serde_json::{Value, json};
use store::{Facts, FactsMember, LiveFacts, Reader, StoreOptions};
use tower::ServiceExt as _;

struct Desk {
    bus: MemoryBus,
    router: Router,
}

impl Desk {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(reader: Option<Reader>) -> Self {
        let bus = MemoryBus::new(LogId(1));
        bus.ensure_topics(&topic_specs()).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let edges = Edges::with(clock, Arc::new(SeededRandomness::new(1)));
        let router = Operations::new(Arc::new(bus.clone()), reader, &edges).router();
        Self { bus, router }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        (
            status,
            serde_json::from_slice(&body).unwrap_or(Value::String(text)),
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.ask(request).await
    }

    async fn all(&self, topic: &TopicName) -> Vec<Record> {
        let mut records = Vec::new();
        bus::restore(&self.bus, topic, None, ReadLimits::default(), |record| {
            records.push(record)
        })
        .await
        .unwrap();
        records
    }

    /// Parks one push event of the project, as commit-fetcher does.
    async fn park(&self, project: i64, code: &'static str) -> NewRecord {
        let event = PushEvent::new(
            ProjectId::new(project).unwrap(),
            LookReason::Push,
            Timestamp::from_micros(5),
        );
        let origin = Origin {
            source: "test",
            at: Timestamp::from_micros(5),
            traceparent: None,
            id: None,
        };
        let new = record_of(&PUSH_EVENTS, &event, origin).unwrap();
        let position = self.bus.append(vec![new.clone()]).await.unwrap().remove(0);
        let read = self.all(&PUSH_EVENTS).await;
        let record = read.iter().find(|record| record.next() == position).unwrap();
        let reason = Reason {
            code,
            owner: Owner::Caller,
            message: format!("project {project} is odd"),
        };
        let lane = parked(&PUSH_EVENTS);
        let parked = parked_record(
            record,
            lane,
            "commit-fetcher",
            &reason,
            3,
            Timestamp::from_micros(9),
        );
        self.bus.append(vec![parked]).await.unwrap();
        new
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let (status, body) = self.get(&format!("/admin/parked{query}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let list = body.as_array().unwrap();
        list.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn parked_records_are_listed_and_shown() {
    let desk = Desk::new().await;
    desk.park(7, "no-project").await;
    desk.park(8, "gave-up").await;
    assert_eq!(desk.names("").await.len(), 2);
    assert_eq!(desk.names("?code=gave-up").await.len(), 1);
    assert_eq!(desk.names("?key=7&owner=caller").await.len(), 1);
    assert_eq!(desk.names("?key=9").await.len(), 0);
    assert_eq!(desk.names("?limit=1").await.len(), 1);
    let name = desk.names("?key=7").await.remove(0);
    let path = name.replace('@', "/");
    let (status, body) = desk.get(&format!("/admin/parked/{path}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["code"], "no-project");
    assert_eq!(body["attempt"], 3);
    assert_eq!(body["decoded"]["project_id"], 7);
    for (wrong, status) in [
        ("/admin/parked?topic=renku.nothing.v1", StatusCode::BAD_REQUEST),
        ("/admin/parked?colour=red", StatusCode::BAD_REQUEST),
        ("/admin/parked/renku.push-events.v1/3/999", StatusCode::NOT_FOUND),
        ("/admin/parked/renku.push-events.v1/99/0", StatusCode::NOT_FOUND),
        ("/admin/views/rejects", StatusCode::CONFLICT),
    ] {
        assert_eq!(desk.get(wrong).await.0, status, "{wrong}");
    }
}

#[tokio::test]
async fn a_requeued_record_is_in_its_topic_again_as_it_was_and_no_more_in_the_list() {
    let desk = Desk::new().await;
    let sent = desk.park(7, "gave-up").await;
    desk.park(8, "gave-up").await;
    let name = desk.names("?key=7").await.remove(0);
    let order = json!({"action": "requeue", "ids": [name]});
    let (status, body) = desk.post("/admin/parked", order.clone()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["resolved"], json!([name]));
    let again = desk.all(&PUSH_EVENTS).await;
    let again: Vec<_> = again.iter().filter(|record| record.key == sent.key).collect();
    assert_eq!(again.len(), 2);
    assert_eq!((&again[1].value, &again[1].headers), (&sent.value, &sent.headers));
    assert_eq!(desk.names("").await.len(), 1);
    // Once is enough.
    let (_, body) = desk.post("/admin/parked", order).await;
    assert_eq!(body, json!({"resolved": [], "unknown": [name]}));
    assert_eq!(desk.all(&PUSH_EVENTS).await.len(), 3);
}

#[tokio::test]
async fn dropping_takes_a_filter_but_not_everything() {
    let desk = Desk::new().await;
    for project in 1..5 {
        desk.park(project, if project % 2 == 0 { "even" } else { "odd" })
            .await;
    }
    for all in [
        json!({"action": "drop"}),
        json!({"action": "drop", "filter": {"limit": 100}}),
        json!({"action": "drop", "filter": {"code": "odd"}, "ids": ["renku.commits.v1/1@1"]}),
    ] {
        let (status, _) = desk.post("/admin/parked", all).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let order = json!({"action": "drop", "filter": {"code": "even"}});
    let (status, body) = desk.post("/admin/parked", order).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["resolved"].as_array().unwrap().len(), 2);
    assert_eq!(desk.names("").await.len(), 2);
    assert_eq!(desk.all(&PUSH_EVENTS).await.len(), 4, "nothing was sent again");
}

#[tokio::test]
async fn a_rebuild_asks_for_looks_that_make_graphs_again() {
    let desk = Desk::new().await;
    let (status, body) = desk.post("/admin/rebuild", json!({"id": 7})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let asked = desk.all(&PUSH_EVENTS_BACKFILL).await;
    let event: PushEvent = value_of(&Decoder::default(), &asked[0]).unwrap().unwrap();
    assert!(event.regenerate);
    assert_eq!(event.envelope.campaign.as_deref(), body["campaign"].as_str());
    let (status, _) = desk.post("/admin/rebuild", json!({"slug": "a/b"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, body) = desk.post("/admin/rebuild", json!({"all": true})).await;
    assert_eq!((status, &body["projects"]), (StatusCode::OK, &json!(0)));
}

#[tokio::test]
async fn positions_tell_the_lag_of_every_reader() {
    let desk = Desk::new().await;
    desk.park(7, "odd").await;
    let (status, body) = desk.get("/admin/positions").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let rows = body["positions"].as_array().unwrap();
    let lag: u64 = rows
        .iter()
        .filter(|row| row["reader"] == "commit-fetcher" && row["topic"] == "renku.push-events.v1")
        .map(|row| row["lag"].as_u64().unwrap())
        .sum();
    assert_eq!(lag, 1);
}

#[tokio::test]
async fn a_replay_is_for_the_process_that_writes_the_view() {
    let desk = Desk::new().await;
    let path = "/admin/views/graph/replay";
    let (status, body) = desk.post(path, json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let edges = Edges::with(clock, Arc::new(SeededRandomness::new(1)));
    let ask = AskReplay::new(|from_empty| async move {
        if from_empty {
            Err("it is being stopped".to_owned())
        } else {
            Ok(())
        }
    });
    let router = Operations::new(Arc::new(desk.bus.clone()), None, &edges)
        .with_replay(ask)
        .router();
    desk.park(7, "no-project").await;
    let desk = Desk { router, ..desk };
    let (status, body) = desk.post(path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["from_empty"], false);
    assert_eq!(body["goal"].as_array().unwrap().len(), 64);
    let (status, body) = desk.post(path, json!({"from_empty": true})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        body["message"].as_str().unwrap().ends_with("it is being stopped"),
        "{body}"
    );
    let (status, _) = desk.post("/admin/blobs/sweep", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn it_is_explained_who_sees_what_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = store::open(folder.path(), StoreOptions::new("renku.example")).unwrap();
    let member = |user, until| FactsMember {
        user: UserId::new(user).unwrap(),
        until,
    };
    let facts = Facts {
        state_version: Generation::new(5),
        generation: Generation::new(5),
        live: Some(LiveFacts {
            slug: "team/sub/secret".parse().unwrap(),
            visibility: Visibility::Private,
            // The desk's clock stands at the first day.
            members: vec![
                member(7, None),
                member(8, Some(Day::from_number(0))),
                member(9, None),
            ],
        }),
        payload: Vec::new(),
    };
    let mut batch = writer.begin().unwrap();
    let project = ProjectId::new(3).unwrap();
    batch.apply_facts(project, &facts).unwrap();
    let at = Position {
        topic: "renku.projects.v1".parse().unwrap(),
        partition: Partition::new(2),
        next: Offset::new(41),
    };
    batch.put_source(project, &at).unwrap();
    let denial = Denial {
        user: Some(UserId::new(9).unwrap()),
        below: GroupPath::new("team"),
        signed_in: false,
        version: Generation::new(6),
    };
    batch.deny("group/1/user/9", &denial).unwrap();
    batch.commit().unwrap();
    let desk = Desk::with(Some(reader)).await;
    for (user, visible, why) in [
        ("&user=7", true, "member"),
        ("&user=8", false, "membership-expired"),
        ("&user=9", false, "denied"),
        ("&user=10", false, "not-a-member"),
        ("", false, "not-a-member"),
    ] {
        for name in ["3", "team/sub/secret"] {
            let asked = format!("/admin/access/explain?project={name}{user}");
            let (status, body) = desk.get(&asked).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!(
                (&body["visible"], &body["why"]),
                (&json!(visible), &json!(why)),
                "{asked}"
            );
            assert_eq!(body["facts_version"], 5);
            assert_eq!(body["record"], at.to_string());
            assert_eq!(
                body["denials"].as_array().unwrap().len(),
                usize::from(why == "denied")
            );
        }
    }
    let (status, body) = desk.get("/admin/access/who?project=team/sub/secret").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["class"], "members");
    let sees: Vec<_> = body["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["visible"])
        .collect();
    assert_eq!(sees, [&json!(true), &json!(false), &json!(false)]);
    for (wrong, status) in [
        ("/admin/access/explain?project=no/such", StatusCode::NOT_FOUND),
        ("/admin/access/explain?project=99", StatusCode::NOT_FOUND),
        ("/admin/access/who?project=99", StatusCode::NOT_FOUND),
        ("/admin/access/explain?project=", StatusCode::BAD_REQUEST),
        (
            "/admin/access/explain?project=3&user=root",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let (told, body) = desk.get(wrong).await;
        assert_eq!(told, status, "{wrong}: {body}");
    }
    let (status, _) = Desk::new().await.get("/admin/access/who?project=3").await;
    assert_eq!(status, StatusCode::CONFLICT, "no view in this process");
}
