use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bus::{Bus, BusError, Origin, record_of};
use events::{ACCESS_DENIALS, PUSH_EVENTS, TopicValue};
use gitlab::HookTokens;
use model::{ProjectId, RECEIPT_HEADER, Receipt, TopicName};
use runtime::metrics::MetricError;
use runtime::trace_context::TRACEPARENT;
use runtime::traces::Kind;
use runtime::{Component, Edges, Span, Traces, failpoint};

use crate::config::{Config, ConfigFault};
use crate::decide::{Decision, Recorded, Refusal, Sent, decide};
use crate::metrics::Counters;

/// The source of its records, and the name in traces.
const ROLE: &str = "webhook-service";

/// How long a sender may take for a body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What a refused sender should wait, in seconds.
const RETRY_AFTER: &str = "5";

/// The header that GitLab sends the token in.
const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");
/// GitLab's own name of a delivery: the same when it delivers again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The role cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// See [`Config`].
    #[error("hooks.secrets: {0}")]
    Config(#[from] ConfigFault),
    /// See [`HookTokens`].
    #[error(transparent)]
    Tokens(#[from] gitlab::NoHookSecret),
    /// The topic is not there.
    #[error("the bus does not have the topics that hooks are recorded in")]
    Bus(#[from] BusError),
    /// Two metrics of one name.
    #[error(transparent)]
    Metrics(#[from] MetricError),
}

/// The role. It has no task of its own: it lives in the public listener.
#[derive(Clone)]
pub struct WebhookService(Arc<Inner>);

struct Inner {
    tokens: HookTokens,
    bus: Arc<dyn Bus>,
    edges: Edges,
    health: Component,
    counters: Counters,
    traces: Traces,
}

impl std::fmt::Debug for WebhookService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookService")
    }
}

impl WebhookService {
    /// Checks the secrets and that the log has the topic.
    pub async fn build(config: &Config, bus: Arc<dyn Bus>, edges: &Edges) -> Result<Self, BuildError> {
        config.check()?;
        let health = edges.health.component(ROLE);
        for topic in [PUSH_EVENTS, ACCESS_DENIALS] {
            bus.extents(&topic).await?;
        }
        health.ready();
        Ok(Self(Arc::new(Inner {
            tokens: HookTokens::new(config.secrets.clone())?,
            bus,
            edges: edges.clone(),
            health,
            counters: Counters::register(&edges.metrics)?,
            traces: edges.traces.of(ROLE),
        })))
    }

    /// `POST /webhooks/events`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/webhooks/events", post(receive))
            .with_state(self.clone())
    }
}

async fn receive(State(service): State<WebhookService>, headers: HeaderMap, body: Body) -> Response {
    let inner = &service.0;
    let (kind, outcome, response) = match read_and_decide(inner, &headers, body).await {
        Decision::Refused(refusal) => {
            tracing::debug!(%refusal, "hook refused");
            (refusal.kind(), refusal.code(), refuse(&refusal))
        }
        Decision::Ignored { kind, why } => (kind, "ignored", (StatusCode::ACCEPTED, why).into_response()),
        Decision::Accept { kind, record } => match inner.accept(&headers, record).await {
            Ok(receipt) => {
                let position = [(HeaderName::from_static(RECEIPT_HEADER), receipt.to_string())];
                (
                    kind,
                    "accepted",
                    (StatusCode::ACCEPTED, position, "accepted\n").into_response(),
                )
            }
            Err(why) => {
                tracing::error!(%why, "hook not accepted, the sender is asked to try again");
                inner.health.not_ready(format!("the log takes no records: {why}"));
                let later = [(header::RETRY_AFTER, RETRY_AFTER)];
                let told = "the hook could not be recorded, please send it again\n";
                (
                    kind,
                    "unavailable",
                    (StatusCode::SERVICE_UNAVAILABLE, later, told).into_response(),
                )
            }
        },
    };
    inner.counters.hooks.with_label_values(&[kind, outcome]).inc();
    response
}

async fn read_and_decide(inner: &Inner, headers: &HeaderMap, body: Body) -> Decision {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(token) = text(&TOKEN) else {
        return Decision::Refused(Refusal::NoToken);
    };
    let content_type = text(&header::CONTENT_TYPE);
    let told_length = text(&header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if told_length.is_some_and(|length| length > Config::LARGEST_BODY) {
        return Decision::Refused(Refusal::TooLarge);
    }
    // The type is looked at before the body is read, so that nobody uploads what nobody wants.
    if !Sent::is_json(content_type) {
        return Decision::Refused(Refusal::NotJsonType);
    }
    if !Sent::is_plain(text(&header::CONTENT_ENCODING)) {
        return Decision::Refused(Refusal::Compressed);
    }
    let body = match tokio::time::timeout(BODY_WITHIN, to_bytes(body, Config::LARGEST_BODY)).await {
        Err(_) => return Decision::Refused(Refusal::Slow),
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let too_large = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit exceeded"));
            return Decision::Refused(if too_large {
                Refusal::TooLarge
            } else {
                Refusal::Broken
            });
        }
    };
    let now = inner.edges.clock.now();
    decide(&inner.tokens, &Sent { token, body: &body }, now)
}

impl Inner {
    /// Returns once the record is durable.
    async fn accept(&self, headers: &HeaderMap, record: Recorded) -> Result<Receipt, String> {
        let caller = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let mut span = self.traces.begin("accept", Kind::Server, caller);
        let accepted = match &record {
            Recorded::Look(event) => {
                span.number("project.id", event.project_id.get());
                let project = Some(event.project_id);
                self.record(headers, (&PUSH_EVENTS, event, project), &span).await
            }
            Recorded::Denial(denial) => self.record(headers, (&ACCESS_DENIALS, denial, None), &span).await,
        };
        if accepted.is_err() {
            span.fail();
        }
        accepted
    }

    async fn record<T: TopicValue>(
        &self,
        headers: &HeaderMap,
        (topic, value, project): (&TopicName, &T, Option<ProjectId>),
        span: &Span,
    ) -> Result<Receipt, String> {
        let started = self.edges.clock.monotonic();
        let traceparent = span.traceparent();
        let id = headers
            .get(&IDEMPOTENCY_KEY)
            .and_then(|value| value.to_str().ok())
            .filter(|key| !key.is_empty() && key.len() <= 200);
        let origin = Origin {
            source: ROLE,
            at: self.edges.clock.now(),
            traceparent: Some(&traceparent),
            id,
        };
        let record = record_of(topic, value, origin).map_err(|error| error.to_string())?;
        failpoint!("webhook-service.before-append").map_err(|error| error.to_string())?;
        let positions = {
            let _log = span.child("log", Kind::Producer);
            let append = tokio::time::timeout(Config::APPEND_WITHIN, self.bus.append(vec![record]));
            match append.await {
                Ok(Ok(positions)) => positions,
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("no answer within {} s", Config::APPEND_WITHIN.as_secs())),
            }
        };
        failpoint!("webhook-service.after-append").map_err(|error| error.to_string())?;
        let position = positions.into_iter().next().ok_or("the log gave no position")?;
        self.health.ready();
        let took = self.edges.clock.monotonic().saturating_sub(started);
        self.counters
            .accepted_seconds
            .with_label_values(&[] as &[&str])
            .observe(took.as_secs_f64());
        tracing::info!(
            project.id = project.map(ProjectId::get),
            position = %position,
            trace.id = span.trace_id(),
            took_ms = took.as_micros() as f64 / 1_000.0,
            "hook accepted"
        );
        Ok(Receipt { position, project })
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::NoToken | Refusal::WrongToken { .. } => StatusCode::UNAUTHORIZED,
        Refusal::NotJsonType | Refusal::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Slow => StatusCode::REQUEST_TIMEOUT,
        Refusal::Broken | Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
    };
    (status, format!("{refusal}\n")).into_response()
}
