use std::time::Duration;

use model::Timestamp;

use super::Traces;
use super::otlp::Finished;
use crate::trace_context::TraceContext;

/// What a span is between its trace's stages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A step within a stage.
    Internal,
    /// A request from outside is answered.
    Server,
    /// Another system is asked.
    Client,
    /// Records are written.
    Producer,
    /// Records are handled.
    Consumer,
}

/// A piece of work. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    traces: Traces,
    context: TraceContext,
    parent: Option<TraceContext>,
    links: Vec<TraceContext>,
    name: &'static str,
    kind: Kind,
    numbers: Vec<(&'static str, i64)>,
    words: Vec<(&'static str, &'static str)>,
    failed: bool,
    discarded: bool,
    started: Timestamp,
    began: Duration,
    /// What had passed when it was begun here.
    head_start: Duration,
}

impl Span {
    pub(super) fn root(
        traces: Traces,
        name: &'static str,
        kind: Kind,
        context: TraceContext,
        links: Vec<TraceContext>,
    ) -> Self {
        let clock = &traces.shared.clock;
        Self {
            context,
            parent: None,
            links,
            name,
            kind,
            numbers: Vec::new(),
            words: Vec::new(),
            failed: false,
            discarded: false,
            started: clock.now(),
            began: clock.monotonic(),
            head_start: Duration::ZERO,
            traces,
        }
    }

    pub(super) fn child_of(traces: Traces, name: &'static str, kind: Kind, parent: TraceContext) -> Self {
        let context = parent.child(&*traces.shared.randomness);
        let mut span = Self::root(traces, name, kind, context, Vec::new());
        span.parent = Some(parent);
        span
    }

    /// A step of it.
    pub fn child(&self, name: &'static str, kind: Kind) -> Self {
        let traces = self.traces.clone();
        if !traces.are_told() {
            // Nobody would hear of an id of its own.
            return Self::root(traces, name, kind, self.context, Vec::new());
        }
        Self::child_of(traces, name, kind, self.context)
    }

    /// The header of what is written on its behalf.
    pub fn traceparent(&self) -> String {
        self.context.to_string()
    }

    /// The trace's id in hex, as logs show it.
    pub fn trace_id(&self) -> String {
        self.context.trace_id()
    }

    /// Tells a number.
    pub fn number(&mut self, name: &'static str, value: impl TryInto<i64>) {
        self.numbers.push((name, value.try_into().unwrap_or(i64::MAX)));
    }

    /// Tells a word of the program: never one from outside.
    pub fn word(&mut self, name: &'static str, value: &'static str) {
        self.words.push((name, value));
    }

    /// It was no work after all: it is not told.
    pub fn discard(&mut self) {
        self.discarded = true;
    }

    /// The work did not succeed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// It began earlier than it was begun here.
    pub fn since(&mut self, started: Timestamp) {
        self.head_start += self.started.since(started);
        self.started = self.started.min(started);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.discarded || !self.traces.are_told() || !self.context.is_sampled() {
            return;
        }
        let took = self.traces.shared.clock.monotonic().saturating_sub(self.began);
        let took = took + self.head_start;
        self.traces.tell(Finished {
            role: self.traces.role,
            context: self.context,
            parent: self.parent,
            links: std::mem::take(&mut self.links),
            name: self.name,
            kind: self.kind,
            numbers: std::mem::take(&mut self.numbers),
            words: std::mem::take(&mut self.words),
            failed: self.failed,
            started: self.started,
            took,
        });
    }
}
