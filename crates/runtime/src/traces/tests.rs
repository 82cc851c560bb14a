use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Told;
use parking_lot::Mutex;
use prost::Message;

use super::*;
use crate::tasks::Tasks;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";

/// What a collector was told: the role, and the span.
type Received = Arc<Mutex<Vec<(String, Told)>>>;

async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_role in request.resource_spans {
        let attributes = of_role.resource.unwrap().attributes;
        let role = attributes.into_iter().find(|a| a.key == "service.name").unwrap();
        let Some(Value::StringValue(role)) = role.value.unwrap().value else {
            panic!("a role is a text")
        };
        for scoped in of_role.scope_spans {
            let spans = scoped.spans.into_iter().map(|span| (role.clone(), span));
            received.lock().extend(spans);
        }
    }
    StatusCode::OK
}

/// A collector, in the group.
async fn collector(tasks: &Tasks) -> (SocketAddr, Received) {
    let received = Received::default();
    let router = axum::Router::new()
        .route("/v1/traces", post(take))
        .with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("collector", async move { axum::serve(listener, router).await });
    (address, received)
}

fn exported(endpoint: String, edges: &Edges) -> (Traces, Exporter) {
    let config = TracesConfig {
        endpoint,
        sample: 1.0,
    };
    let (traces, exporter) = Traces::new(&config, edges).unwrap();
    (traces, exporter.unwrap())
}

fn count(edges: &Edges, outcome: &str) -> usize {
    let text = edges.metrics.exposition().unwrap();
    let name = format!("renku_traces_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
    line.parse().unwrap()
}

fn id(header: &str) -> (Vec<u8>, Vec<u8>) {
    let context: TraceContext = header.parse().unwrap();
    (
        context.trace_id_bytes().to_vec(),
        context.span_id_bytes().to_vec(),
    )
}

#[tokio::test]
async fn a_collector_reads_what_is_sent() {
    let (edges, tasks) = (Edges::system(), Tasks::new());
    let (address, received) = collector(&tasks).await;
    let (traces, exporter) = exported(format!("http://{address}"), &edges);
    let sending = tasks.group("sending");
    sending.spawn_service("traces", exporter.run(sending.stop().clone()));

    let now = edges.clock.now();
    let (look, step) = {
        let traces = traces.of("commit-fetcher");
        let mut look = traces.begin("look", Kind::Consumer, [PARENT, "nonsense", PARENT]);
        look.number("project.id", 7);
        look.number("lag", -1);
        look.word("outcome", "content");
        let mut step = look.child("fetch", Kind::Client);
        step.fail();
        (look.traceparent(), step.traceparent())
    };
    let apply = {
        let mut apply = traces
            .of("graph-writer")
            .begin("apply", Kind::Consumer, [PARENT, OTHER]);
        apply.since(model::Timestamp::from_micros(now.as_micros() - 5_000_000));
        apply.traceparent()
    };
    let mut nothing = traces.begin("nothing", Kind::Internal, []);
    nothing.discard();
    drop(nothing);
    // A stop loses nothing.
    sending.stop_and_drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!((count(&edges, "exported"), count(&edges, "undelivered")), (3, 0));

    let received = received.lock();
    let told = |name: &str| received.iter().find(|(_, span)| span.name == name).unwrap();
    let (role, span) = told("look");
    assert_eq!(role, "commit-fetcher");
    assert_eq!((span.trace_id.clone(), span.span_id.clone()), id(&look));
    assert_eq!((span.trace_id.clone(), span.parent_span_id.clone()), id(PARENT));
    assert_eq!((span.kind, span.links.len()), (5, 0));
    let value = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        found.unwrap().value.clone().unwrap().value.unwrap()
    };
    assert_eq!(value("project.id"), Value::IntValue(7));
    assert_eq!(value("lag"), Value::IntValue(-1));
    assert_eq!(value("outcome"), Value::StringValue("content".to_owned()));
    let begun = now.micros_since_epoch() * 1_000;
    assert!((begun..begun + 10_000_000_000).contains(&span.start_time_unix_nano));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);

    let (_, fetch) = told("fetch");
    assert_eq!((fetch.trace_id.clone(), fetch.span_id.clone()), id(&step));
    assert_eq!(fetch.parent_span_id, span.span_id);
    assert_eq!(fetch.status.as_ref().unwrap().code, 2);

    let (role, span) = told("apply");
    assert_eq!(role, "graph-writer");
    assert!(span.parent_span_id.is_empty() && span.trace_id == id(&apply).0);
    let links: Vec<_> = span
        .links
        .iter()
        .map(|link| (link.trace_id.clone(), link.span_id.clone()))
        .collect();
    assert_eq!(links, [id(PARENT), id(OTHER)]);
    assert!(span.end_time_unix_nano - span.start_time_unix_nano >= 5_000_000_000);
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_time() {
    let (edges, tasks) = (Edges::system(), Tasks::new());
    // Nobody listens: the port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (traces, exporter) = exported(format!("http://127.0.0.1:{port}"), &edges);
    let began = std::time::Instant::now();
    for _ in 0..QUEUE + 100 {
        drop(traces.begin("x", Kind::Internal, []));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(count(&edges, "overflow"), 100);
    tasks.spawn_service("traces", exporter.run(tasks.stop().clone()));
    tasks.stop_and_drain(Duration::from_secs(3)).await.unwrap();
    assert_eq!(
        (count(&edges, "exported"), count(&edges, "undelivered")),
        (0, QUEUE)
    );
}

#[test]
fn what_is_not_sampled_is_not_told_but_goes_on() {
    let edges = Edges::system();
    let config = TracesConfig {
        endpoint: "http://127.0.0.1:1".to_owned(),
        sample: 0.0,
    };
    let (traces, exporter) = Traces::new(&config, &edges).unwrap();
    let exporter = exporter.unwrap();
    let own = traces.begin("x", Kind::Internal, []);
    assert!(own.traceparent().ends_with("-00"));
    let theirs = traces.begin("x", Kind::Internal, [PARENT]);
    assert!(theirs.traceparent().ends_with("-01"));
    drop((own, theirs));
    assert_eq!(exporter.queued.len(), 1);
    // Without an exporter ids go on all the same.
    let quiet = edges.traces.begin("x", Kind::Internal, [PARENT]);
    assert_eq!(quiet.trace_id(), PARENT[3..35]);
    assert_ne!(quiet.traceparent(), PARENT);
}

#[test]
fn the_catalogue_keeps_the_rules() {
    assert_eq!(crate::metrics::catalogue_faults(METRICS), Vec::<String>::new());
}
