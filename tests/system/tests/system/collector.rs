use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use parking_lot::Mutex;
use prost::Message;
use runtime::Tasks;
use tokio::runtime::Runtime;

/// A span as a collector was told it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its `service.name`.
    pub role: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: it is a root.
    pub parent: String,
    pub starts: u64,
    pub ends: u64,
    pub attributes: Vec<(String, Value)>,
}

impl Told {
    pub fn number(&self, name: &str) -> Option<i64> {
        self.attributes.iter().find_map(|(key, value)| match value {
            Value::IntValue(number) if key == name => Some(*number),
            _ => None,
        })
    }
}

type Received = Arc<Mutex<Vec<Told>>>;

/// A collector of traces in this process: OTLP over HTTP.
pub struct Collector {
    address: SocketAddr,
    received: Received,
    tasks: Tasks,
    runtime: Runtime,
}

impl Collector {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (tasks, received) = (Tasks::new(), Received::default());
        let router = axum::Router::new()
            .route("/v1/traces", post(take))
            .with_state(received.clone());
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = tasks.stop().clone();
            let serving = axum::serve(listener, router);
            let serving = serving.with_graceful_shutdown(async move { stop.requested().await });
            tasks.spawn("collector", async move { serving.await });
            address
        });
        Self {
            address,
            received,
            tasks,
            runtime,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn spans(&self) -> Vec<Told> {
        self.received.lock().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let stopping = self.tasks.stop_and_drain(Duration::from_secs(5));
        let _ = self.runtime.block_on(stopping);
    }
}

async fn take(State(received): State<Received>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_role in request.resource_spans {
        let attributes = of_role.resource.map(|resource| resource.attributes);
        let role = values(attributes.unwrap_or_default())
            .into_iter()
            .find_map(|(key, value)| match value {
                Value::StringValue(role) if key == "service.name" => Some(role),
                _ => None,
            });
        let spans = of_role.scope_spans.into_iter().flat_map(|scoped| scoped.spans);
        received.lock().extend(spans.map(|span| Told {
            role: role.clone().unwrap_or_default(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            starts: span.start_time_unix_nano,
            ends: span.end_time_unix_nano,
            attributes: values(span.attributes),
        }));
    }
}

fn values(attributes: Vec<KeyValue>) -> Vec<(String, Value)> {
    attributes
        .into_iter()
        .filter_map(|attribute| Some((attribute.key, attribute.value?.value?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
