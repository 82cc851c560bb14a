//! The intake over HTTP, on a bus that fails on request.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use bus::{Bus, BusError, Extent, GroupConsumer, GroupOptions, NewRecord, ReadLimits, Reader};
use events::{Decoder, LookReason, PUSH_EVENTS, PushEvent};
use gitlab::{HookScope, HookTokens};
use model::{
    LogId, Offset, Position, ProjectId, Receipt, Secret, Timestamp, TopicName, TopicSpec, partition_of,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use runtime::{Edges, ManualClock, SeededRandomness};
use tower::ServiceExt;
use webhook_service::{Config, Decision, Recorded, Sent, WebhookService, decide};

const SECRET: &str = "0123456789abcdef";

/// Takes records into memory, or does what `fault` says.
#[derive(Default)]
struct TestBus {
    records: Mutex<Vec<NewRecord>>,
    fault: Mutex<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Full,
    Hangs,
}

#[async_trait]
impl Bus for TestBus {
    async fn log_id(&self, _topics: &[TopicName]) -> Result<LogId, BusError> {
        Ok(LogId(1))
    }

    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), BusError> {
        Ok(())
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, BusError> {
        let fault = *self.fault.lock();
        match fault {
            Some(Fault::Full) => return Err(BusError::Full("no space left on device".into())),
            Some(Fault::Hangs) => std::future::pending().await,
            None => {}
        }
        let mut log = self.records.lock();
        let place = |record: NewRecord| {
            let partition = partition_of(record.partition_bytes(), 16);
            let topic = record.topic.clone();
            log.push(record);
            Position {
                topic,
                partition,
                next: Offset::new(log.len() as u64),
            }
        };
        Ok(records.into_iter().map(place).collect())
    }

    async fn extents(&self, _: &TopicName) -> Result<Vec<Extent>, BusError> {
        Ok(Vec::new())
    }

    async fn group_positions(&self, _: &str, _: &[TopicName]) -> Result<Vec<Position>, BusError> {
        Ok(Vec::new())
    }

    async fn join(
        &self,
        _: &str,
        _: &str,
        _: &[TopicName],
        _: GroupOptions,
    ) -> Result<Box<dyn GroupConsumer>, BusError> {
        Err(BusError::Closed)
    }

    async fn read(&self, _: Vec<Position>, _: ReadLimits) -> Result<Box<dyn Reader>, BusError> {
        Err(BusError::Closed)
    }
}

struct Intake {
    bus: Arc<TestBus>,
    edges: Edges,
    router: Router,
}

async fn intake() -> Intake {
    let bus = Arc::new(TestBus::default());
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let edges = Edges::with(clock, Arc::new(SeededRandomness::new(1)));
    let config = Config {
        secrets: vec![Secret::new(SECRET)],
    };
    let router = WebhookService::build(&config, bus.clone(), &edges)
        .await
        .unwrap()
        .router();
    Intake { bus, edges, router }
}

fn tokens() -> HookTokens {
    HookTokens::new(vec![Secret::new(SECRET)]).unwrap()
}

fn project_token(id: i64) -> String {
    tokens()
        .token(HookScope::Project(ProjectId::new(id).unwrap()))
        .expose()
        .to_owned()
}

fn system_token() -> String {
    tokens().token(HookScope::System).expose().to_owned()
}

fn push(id: i64) -> String {
    format!(
        r#"{{"object_kind":"push","event_name":"push","ref":"refs/heads/master","project_id":{id},
            "before":"95790bf891e76fee5e1747ab589903a6a1f80f22","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
            "project":{{"id":{id},"path_with_namespace":"mike/diaspora"}}}}"#
    )
}

fn request(token: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request =
        Request::post("/webhooks/events").header("content-type", "application/json; charset=utf-8");
    if let Some(token) = token {
        request = request.header("x-gitlab-token", token);
    }
    request.body(body.into()).unwrap()
}

impl Intake {
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn status(&self, token: Option<&str>, body: impl Into<Body>) -> StatusCode {
        self.send(request(token, body)).await.status()
    }

    fn recorded(&self) -> usize {
        self.bus.records.lock().len()
    }
}

#[tokio::test]
async fn a_push_is_recorded_before_it_is_accepted() {
    let intake = intake().await;
    let mut sent = request(Some(&project_token(15)), push(15));
    sent.headers_mut()
        .insert("idempotency-key", "f5e0e1d5".parse().unwrap());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    sent.headers_mut().insert("traceparent", trace.parse().unwrap());
    let answer = intake.send(sent).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let receipt: Receipt = answer.headers()["renku-position"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(receipt.project, ProjectId::new(15).ok());
    assert_eq!(receipt.position.topic, PUSH_EVENTS);
    assert_eq!(receipt.position.partition, partition_of(b"15", 16));

    let records = intake.bus.records.lock();
    let record = &records[0];
    assert_eq!(
        (&record.topic, record.key.as_ref()),
        (&PUSH_EVENTS, b"15".as_slice())
    );
    assert_eq!(record.headers.text("ce_id"), Some("f5e0e1d5"));
    let traceparent = record.headers.text("traceparent").unwrap();
    assert!(traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && traceparent != trace);
    let event: PushEvent = Decoder::default()
        .decode("renku.push-events.v1-value", record.value.as_ref().unwrap())
        .unwrap();
    assert_eq!(
        (event.reason, event.slug.as_deref()),
        (LookReason::Push, Some("mike/diaspora"))
    );
    assert!(
        intake
            .edges
            .metrics
            .exposition()
            .unwrap()
            .contains(r#"renku_webhook_hooks_total{kind="push",outcome="accepted"} 1"#)
    );
}

#[tokio::test]
async fn the_same_hook_twice_is_two_records_of_one_id() {
    let intake = intake().await;
    for _ in 0..2 {
        assert_eq!(
            intake.status(Some(&project_token(15)), push(15)).await,
            StatusCode::ACCEPTED
        );
    }
    let records = intake.bus.records.lock();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].headers.text("ce_id"), records[1].headers.text("ce_id"));
}

#[tokio::test]
async fn other_hooks_that_name_a_project_ask_for_a_look() {
    let intake = intake().await;
    for (token, body) in [
        (project_token(15), push(15).replace("push", "tag_push")),
        (system_token(), push(15)),
        (system_token(), r#"{"event_name":"repository_update","project_id":15}"#.to_owned()),
        (system_token(), r#"{"event_name":"project_destroy","project_id":15,"path_with_namespace":"a/b"}"#.to_owned()),
        (
            system_token(),
            r#"{"event_name":"user_remove_from_team","project_id":15,"user_id":41,"access_level":"Developer"}"#.to_owned(),
        ),
    ] {
        let answer = intake.send(request(Some(&token), body.clone())).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{body}");
        assert!(answer.headers().contains_key("renku-position"), "{body}");
    }
    assert_eq!(intake.recorded(), 5);
}

#[tokio::test]
async fn what_does_not_concern_us_is_accepted_and_ignored() {
    let intake = intake().await;
    for (token, body) in [
        (
            system_token(),
            r#"{"event_name":"user_create","user_id":41,"username":"js"}"#,
        ),
        (
            system_token(),
            r#"{"event_name":"group_create","group_id":64,"full_path":"b"}"#,
        ),
        (system_token(), r#"{"event_name":"key_create","id":4}"#),
        (
            project_token(15),
            r#"{"object_kind":"issue","project":{"id":15},"object_attributes":{"id":301}}"#,
        ),
        (project_token(15), r#"{"object_kind":"pipeline","project_id":15}"#),
    ] {
        let answer = intake.send(request(Some(&token), body)).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{body}");
        assert!(!answer.headers().contains_key("renku-position"));
        let told = to_bytes(answer.into_body(), 1_000).await.unwrap();
        assert!(told.starts_with(b"ignored"), "{body}");
    }
    assert_eq!(intake.recorded(), 0);
}

#[tokio::test]
async fn what_takes_away_is_recorded_as_a_denial() {
    let intake = intake().await;
    for (body, key) in [
        (
            r#"{"event_name":"user_remove_from_group","group_id":78,"group_path":"storecloud","user_id":41,"group_access":"Guest"}"#,
            "group/78/user/41",
        ),
        (
            r#"{"event_name":"user_add_to_group","group_id":78,"group_path":"storecloud","user_id":41,"group_access":"Maintainer"}"#,
            "look/group/78/user/41",
        ),
        (
            r#"{"event_name":"group_destroy","group_id":64,"path":"storecloud","full_path":"storecloud"}"#,
            "group/64",
        ),
        (
            r#"{"event_name":"group_rename","group_id":64,"full_path":"b","old_full_path":"a"}"#,
            "look/group/64",
        ),
        (
            r#"{"event_name":"user_destroy","user_id":41,"username":"js"}"#,
            "user/41",
        ),
    ] {
        for token in [project_token(78), project_token(64), "x".to_owned()] {
            let refused = intake.send(request(Some(&token), body)).await;
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{body}");
        }
        let answer = intake.send(request(Some(&system_token()), body)).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{body}");
        let position = answer.headers()["renku-position"].to_str().unwrap().to_owned();
        assert!(
            position.starts_with("renku.access-denials.v1/") && !position.contains(';'),
            "{position}"
        );
        let log = intake.bus.records.lock();
        assert_eq!(log.last().unwrap().key, key.as_bytes(), "{body}");
    }
}

#[tokio::test]
async fn bad_input_gets_its_status() {
    let intake = intake().await;
    let token = project_token(15);
    let table: Vec<(&str, Option<&str>, String, StatusCode)> = vec![
        ("no token", None, push(15), StatusCode::UNAUTHORIZED),
        ("empty token", Some(""), push(15), StatusCode::UNAUTHORIZED),
        (
            "another project's token",
            Some(&token),
            push(16),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "a project's token for a hook without project",
            Some(&token),
            r#"{"event_name":"user_create","user_id":1}"#.into(),
            StatusCode::UNAUTHORIZED,
        ),
        ("not JSON", Some(&token), "push".into(), StatusCode::BAD_REQUEST),
        ("nothing", Some(&token), String::new(), StatusCode::BAD_REQUEST),
        (
            "cut off",
            Some(&token),
            push(15)[..100].to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        ("a list", Some(&token), "[]".into(), StatusCode::BAD_REQUEST),
        (
            "no kind",
            Some(&token),
            r#"{"project_id":15}"#.into(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "no project",
            Some(&token),
            r#"{"event_name":"push"}"#.into(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "two projects",
            Some(&token),
            r#"{"event_name":"push","project_id":15,"project":{"id":16}}"#.into(),
            StatusCode::BAD_REQUEST,
        ),
        ("id 0", Some(&token), push(0), StatusCode::BAD_REQUEST),
        ("id below 0", Some(&token), push(-15), StatusCode::BAD_REQUEST),
        (
            "id too large",
            Some(&token),
            push(1 << 40),
            StatusCode::BAD_REQUEST,
        ),
        (
            "id is a text",
            Some(&token),
            r#"{"event_name":"push","project_id":"15"}"#.into(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "nested too deep",
            Some(&token),
            format!("{}{}", "[".repeat(65), "]".repeat(65)),
            StatusCode::BAD_REQUEST,
        ),
        (
            "a bomb of brackets",
            Some(&token),
            "[".repeat(1 << 20),
            StatusCode::BAD_REQUEST,
        ),
        (
            "too large",
            Some(&token),
            " ".repeat((1 << 20) + 1),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ];
    for (what, token, body, status) in table {
        assert_eq!(intake.status(token, body).await, status, "{what}");
    }
    // The length is not told beforehand.
    let chunks = (0..300).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 4_096])));
    let body = Body::from_stream(futures::stream::iter(chunks));
    assert_eq!(
        intake.status(Some(&token), body).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );

    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
    ] {
        let mut sent = request(Some(&token), push(15));
        match content_type {
            Some(value) => sent.headers_mut().insert("content-type", value.parse().unwrap()),
            None => sent.headers_mut().remove("content-type"),
        };
        assert_eq!(
            intake.send(sent).await.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type:?}"
        );
    }
    for (encoding, status) in [
        ("gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("identity, gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut sent = request(Some(&token), push(15));
        sent.headers_mut()
            .insert("content-encoding", encoding.parse().unwrap());
        assert_eq!(intake.send(sent).await.status(), status, "{encoding}");
    }
    let get = Request::get("/webhooks/events").body(Body::empty()).unwrap();
    assert_eq!(intake.send(get).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(intake.recorded(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_write_asks_for_another_try() {
    let intake = intake().await;
    for fault in [Fault::Full, Fault::Hangs] {
        *intake.bus.fault.lock() = Some(fault);
        let answer = intake.send(request(Some(&project_token(15)), push(15))).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "5");
        assert!(!intake.edges.health.readiness().ready);
    }
    *intake.bus.fault.lock() = None;
    assert_eq!(
        intake.status(Some(&project_token(15)), push(15)).await,
        StatusCode::ACCEPTED
    );
    assert!(intake.edges.health.readiness().ready);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let intake = intake().await;
    let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = tokio::time::timeout(Duration::from_secs(60), intake.status(Some("x"), body)).await;
    assert_eq!(answer.unwrap(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn short_or_missing_secrets_do_not_start() {
    for secrets in [vec![], vec![Secret::new("short")]] {
        let built = WebhookService::build(
            &Config { secrets },
            Arc::new(TestBus::default()),
            &Edges::system(),
        )
        .await;
        assert!(built.unwrap_err().to_string().contains("hooks.secrets"));
    }
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,12}".prop_map(Into::into),
        Just("push".into()),
    ];
    let key = prop_oneof![
        Just("event_name".to_owned()),
        Just("object_kind".to_owned()),
        Just("project_id".to_owned()),
        Just("project".to_owned()),
        Just("id".to_owned()),
        "[a-z]{1,6}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
    .prop_map(|value| value.to_string())
}

proptest! {
    /// Whatever comes without a right token is refused, and nothing panics.
    #[test]
    fn garbage_is_refused(body in prop::collection::vec(any::<u8>(), 0..300), token in "\\PC{0,50}") {
        let sent = Sent { token: &token, body: &body };
        prop_assert!(matches!(decide(&tokens(), &sent, Timestamp::default()), Decision::Refused(_)));
    }

    /// With the system token a JSON body is accepted only if it names a project, and then for that project.
    #[test]
    fn what_is_accepted_names_its_project(body in json_text()) {
        let token = system_token();
        let decision = decide(&tokens(), &Sent { token: &token, body: body.as_bytes() }, Timestamp::default());
        if let Decision::Accept { record: Recorded::Look(event), .. } = decision {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            let id = i64::from(event.project_id.get());
            prop_assert!(value["project_id"] == id || value["project"]["id"] == id);
        }
    }

    /// A real push, damaged at one place, is refused or still names the same project or another; it never panics.
    #[test]
    fn a_damaged_push_is_no_catastrophe(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = push(15).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let token = project_token(15);
        let decision = decide(&tokens(), &Sent { token: &token, body: &body }, Timestamp::default());
        if let Decision::Accept { record: Recorded::Look(event), .. } = decision {
            prop_assert_eq!(event.project_id.get(), 15);
        }
    }
}
