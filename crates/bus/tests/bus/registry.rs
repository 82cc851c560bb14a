//! Confluent's framing on the wire, with a registry that is switched on and off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bus::registry::{RegisteredBus, Registry, RegistryError};
use bus::{Bus, MemoryBus, NewRecord, Origin, ReadLimits, Record, record_of, value_of};
use events::{Decoder, LookReason, PUSH_EVENTS, PushEvent, topic_specs};
use model::{LogId, ProjectId, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::soon;

/// As much of the registry's API as is used.
#[derive(Clone, Default)]
struct Fake {
    texts: Arc<Mutex<Vec<String>>>,
    compatible: Arc<Mutex<Vec<String>>>,
    down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    fn answer(&self, body: Value) -> (StatusCode, Json<Value>) {
        if self.down.load(Ordering::SeqCst) {
            return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "down"})));
        }
        (StatusCode::OK, Json(body))
    }

    #[allow(clippy::disallowed_methods, reason = "ends with the test")]
    async fn serve(&self) -> (String, tokio::task::JoinHandle<()>) {
        let router = Router::new()
            .route(
                "/api/subjects/{subject}/versions",
                post(|State(fake): State<Fake>, Json(body): Json<Value>| async move {
                    let text = body["schema"].as_str().unwrap().to_owned();
                    let mut texts = fake.texts.lock();
                    let at = texts.iter().position(|known| *known == text).unwrap_or_else(|| {
                        texts.push(text);
                        texts.len() - 1
                    });
                    drop(texts);
                    fake.answer(json!({ "id": at + 1 }))
                }),
            )
            .route(
                "/api/config/{subject}",
                put(|State(fake): State<Fake>, Path(subject): Path<String>, Json(body): Json<Value>| async move {
                    assert_eq!(body["compatibility"], "FULL_TRANSITIVE");
                    fake.compatible.lock().push(subject);
                    fake.answer(body)
                }),
            )
            .route(
                "/api/schemas/ids/{id}",
                get(|State(fake): State<Fake>, Path(id): Path<usize>| async move {
                    fake.asked.fetch_add(1, Ordering::SeqCst);
                    let text = fake.texts.lock().get(id.wrapping_sub(1)).cloned();
                    match text {
                        Some(text) => fake.answer(json!({ "schema": text })),
                        None => (StatusCode::NOT_FOUND, Json(json!({"message": "no such schema"}))),
                    }
                }),
            )
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, server)
    }
}

pub fn event(project: i64) -> NewRecord {
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
    record_of(&PUSH_EVENTS, &event, origin).unwrap()
}

pub async fn all(bus: &dyn Bus) -> Vec<Record> {
    let mut records = Vec::new();
    soon(bus::restore(
        bus,
        &PUSH_EVENTS,
        None,
        ReadLimits::default(),
        |record| records.push(record),
    ))
    .await
    .unwrap();
    records
}

#[tokio::test]
async fn the_wire_has_the_registry_s_numbers_and_the_roles_do_not_see_them() {
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    // Somebody else's schema has the first number.
    fake.texts.lock().push("\"string\"".to_owned());
    let (url, server) = fake.serve().await;
    let registry = Registry::open(&url, folder.path().join("registry.json"))
        .await
        .unwrap();
    assert!(
        fake.compatible
            .lock()
            .contains(&"renku.projects.v1-value".to_owned())
    );
    let wire = MemoryBus::new(LogId(1));
    wire.ensure_topics(&topic_specs()).await.unwrap();
    let bus = RegisteredBus::new(Arc::new(wire.clone()), registry);
    let mut poison = event(7);
    poison.value = Some("poison".into());
    bus.append(vec![event(7), poison]).await.unwrap();
    // A writer without a registry is read as well.
    wire.append(vec![event(7)]).await.unwrap();
    let on_wire = all(&wire).await;
    let first = on_wire[0].value.clone().unwrap();
    assert_eq!((first[0], &first[1..4]), (0, &[0, 0, 0][..]));
    assert!(first[4] > 1);
    assert_eq!(on_wire[1].value.as_deref(), Some(&b"poison"[..]));
    let read = all(&bus).await;
    assert_eq!(read[0].value, event(7).value);
    assert_eq!(read[1].value, on_wire[1].value);
    assert_eq!(read[2].value, event(7).value);
    let decoded: PushEvent = value_of(&Decoder::default(), &read[0]).unwrap().unwrap();
    assert_eq!(decoded.project_id.get(), 7);
    assert_eq!(fake.asked.load(Ordering::SeqCst), 0, "our own numbers are known");
    server.abort();
}

#[tokio::test]
async fn a_registry_that_is_down_stops_nothing_that_is_known() {
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("registry.json");
    let (url, server) = fake.serve().await;
    Registry::open(&url, file.clone()).await.unwrap();
    fake.down.store(true, Ordering::SeqCst);
    Registry::open(&url, file.clone()).await.unwrap();
    server.abort();
    let _ = server.await;
    let registry = Registry::open(&url, file).await.unwrap();
    let wire = MemoryBus::new(LogId(1));
    wire.ensure_topics(&topic_specs()).await.unwrap();
    let bus = RegisteredBus::new(Arc::new(wire.clone()), registry);
    bus.append(vec![event(7)]).await.unwrap();
    assert_eq!(all(&wire).await[0].value.as_ref().unwrap()[0], 0);
    assert_eq!(all(&bus).await[0].value, event(7).value);
    let refused = Registry::open(&url, folder.path().join("other.json")).await;
    assert!(
        matches!(refused, Err(RegistryError::Unavailable(_))),
        "a first start needs it"
    );
}

#[tokio::test]
async fn numbers_of_others_are_asked_for_once() {
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    let (url, server) = fake.serve().await;
    let registry = Registry::open(&url, folder.path().join("registry.json"))
        .await
        .unwrap();
    // Another writer registered our schema with other spaces: another number, the same meaning.
    let known = events::all_schemas()
        .iter()
        .find(|schema| schema.subject == "renku.push-events.v1-value")
        .unwrap();
    fake.texts.lock().push(format!("  {}  ", known.text));
    let number = u8::try_from(fake.texts.lock().len()).unwrap();
    let wire = MemoryBus::new(LogId(1));
    wire.ensure_topics(&topic_specs()).await.unwrap();
    let framed = |number: u8| {
        let mut record = event(7);
        let datum = record.value.as_ref().unwrap()[10..].to_vec();
        record.value = Some([&[0, 0, 0, 0, number][..], &datum].concat().into());
        record
    };
    wire.append(vec![framed(number), framed(number), framed(200), framed(200)])
        .await
        .unwrap();
    let read = all(&RegisteredBus::new(Arc::new(wire.clone()), registry)).await;
    assert_eq!(read[0].value, event(7).value);
    assert_eq!(read[1].value, event(7).value);
    assert_eq!(
        read[2].value,
        framed(200).value,
        "the decoder tells what is wrong with it"
    );
    assert_eq!(fake.asked.load(Ordering::SeqCst), 2);
    server.abort();
}

#[tokio::test]
async fn a_registry_that_was_made_anew_is_noticed() {
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("registry.json");
    fake.texts.lock().push("\"string\"".to_owned());
    let (url, server) = fake.serve().await;
    Registry::open(&url, file.clone()).await.unwrap();
    // Its disk is lost: the numbers begin anew, one lower.
    fake.texts.lock().clear();
    let refused = Registry::open(&url, file.clone()).await;
    assert!(
        matches!(refused, Err(RegistryError::Replaced { .. })),
        "{refused:?}"
    );
    server.abort();
}

#[tokio::test]
async fn an_unknown_number_holds_up_its_own_partition_alone() {
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    let (url, server) = fake.serve().await;
    let registry = Registry::open(&url, folder.path().join("registry.json"))
        .await
        .unwrap();
    let wire = MemoryBus::new(LogId(1));
    wire.ensure_topics(&topic_specs()).await.unwrap();
    let bus = RegisteredBus::new(Arc::new(wire.clone()), registry);
    fake.down.store(true, Ordering::SeqCst);
    // Somebody else's number for our schema; the registry is needed to know.
    let known = events::all_schemas()
        .iter()
        .find(|schema| schema.subject == "renku.push-events.v1-value")
        .unwrap();
    fake.texts.lock().push(format!("  {}  ", known.text));
    let number = u8::try_from(fake.texts.lock().len()).unwrap();
    let mut odd = event(7);
    let datum = odd.value.as_ref().unwrap()[10..].to_vec();
    odd.value = Some([&[0, 0, 0, 0, number][..], &datum].concat().into());
    wire.append(vec![odd]).await.unwrap();
    bus.append((1..40).map(event).collect()).await.unwrap();
    let from = crate::harness::starts(&wire, &PUSH_EVENTS).await;
    let mut reader = bus.read(from, ReadLimits::default()).await.unwrap();
    let held = wire.extents(&PUSH_EVENTS).await.unwrap();
    let partition = model::partition_of(b"7", 16);
    let in_partition = held[partition.get() as usize].end.get();
    let mut seen = Vec::new();
    while seen.len() < 40 - in_partition as usize {
        seen.extend(soon(reader.next()).await.unwrap());
    }
    assert!(seen.iter().all(|record| record.partition != partition));
    fake.down.store(false, Ordering::SeqCst);
    while seen.len() < 40 {
        seen.extend(soon(reader.next()).await.unwrap());
    }
    let late: Vec<_> = seen
        .iter()
        .filter(|record| record.partition == partition)
        .collect();
    assert_eq!(late[0].value, event(7).value);
    assert!(late.is_sorted_by_key(|record| record.offset));
    server.abort();
}
