//! Spans as the protobuf message `ExportTraceServiceRequest`
//! (<https://github.com/open-telemetry/opentelemetry-proto>, version 1.x, whose numbers never change).

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;

use super::span::Kind;
use crate::trace_context::TraceContext;

/// A span that has ended.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub role: &'static str,
    pub context: TraceContext,
    pub parent: Option<TraceContext>,
    pub links: Vec<TraceContext>,
    pub name: &'static str,
    pub kind: Kind,
    pub numbers: Vec<(&'static str, i64)>,
    pub words: Vec<(&'static str, &'static str)>,
    pub failed: bool,
    pub started: Timestamp,
    pub took: Duration,
}

/// The request that tells these spans. `instance`: names this process among its like.
pub(super) fn request(spans: &[Finished], instance: &str) -> Vec<u8> {
    let mut roles: BTreeMap<&str, Vec<&Finished>> = BTreeMap::new();
    for span in spans {
        roles.entry(span.role).or_default().push(span);
    }
    let mut request = Message::default();
    for (role, spans) in roles {
        request.message(1, &of_role(role, &spans, instance));
    }
    request.0
}

fn of_role(role: &str, spans: &[&Finished], instance: &str) -> Message {
    let mut resource = Message::default();
    for (key, value) in [
        ("service.name", role),
        ("service.namespace", "renku"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ] {
        resource.message(1, &attribute(key, |value_of| value_of.text(1, value)));
    }
    let mut scope = Message::default();
    scope.text(1, "renkud");
    let mut scoped = Message::default();
    scoped.message(1, &scope);
    for span in spans {
        scoped.message(2, &of_span(span));
    }
    let mut of_role = Message::default();
    of_role.message(1, &resource);
    of_role.message(2, &scoped);
    of_role
}

fn of_span(span: &Finished) -> Message {
    let mut out = Message::default();
    ids(&mut out, &span.context);
    if let Some(parent) = &span.parent {
        out.bytes(4, &parent.span_id_bytes());
    }
    out.text(5, span.name);
    out.number(6, kind(span.kind));
    let started = span.started.micros_since_epoch().saturating_mul(1_000);
    let took = u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX);
    out.fixed64(7, started);
    out.fixed64(8, started.saturating_add(took));
    for (key, value) in &span.numbers {
        // Two's complement, as protobuf writes an int64.
        out.message(9, &attribute(key, |value_of| value_of.number(3, *value as u64)));
    }
    for (key, value) in &span.words {
        out.message(9, &attribute(key, |value_of| value_of.text(1, value)));
    }
    for cause in &span.links {
        let mut link = Message::default();
        ids(&mut link, cause);
        out.message(13, &link);
    }
    if span.failed {
        let mut status = Message::default();
        status.number(3, 2);
        out.message(15, &status);
    }
    // The W3C flag "sampled".
    out.fixed32(16, 1);
    out
}

fn ids(out: &mut Message, context: &TraceContext) {
    out.bytes(1, &context.trace_id_bytes());
    out.bytes(2, &context.span_id_bytes());
}

fn attribute(key: &str, value: impl FnOnce(&mut Message)) -> Message {
    let mut value_of = Message::default();
    value(&mut value_of);
    let mut out = Message::default();
    out.text(1, key);
    out.message(2, &value_of);
    out
}

const fn kind(kind: Kind) -> u64 {
    match kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

/// A protobuf message in its wire format (<https://protobuf.dev/programming-guides/encoding/>).
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, field: u64, number: u64) {
        self.tag(field, 0);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u64, number: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, number: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}
