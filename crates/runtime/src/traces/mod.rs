//! Distributed traces: what one push went through, over all roles and topics, in the form of OpenTelemetry.
//!
//! A [`Span`] is begun with its causes, the `traceparent` headers of what is handled, and is told when it is dropped. What is
//! written on its behalf carries [`Span::traceparent`], so that the next stage's span is its child. Spans go to a bounded
//! queue and from there, by [`Exporter::run`], to a collector; a full queue or a collector that is away costs spans, which
//! are counted, and never time. A span can tell numbers and words of the program only: no text from outside is in one.

mod config;
mod export;
mod otlp;
mod span;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use config::{TracesConfig, TracesFault};
pub use export::{Exporter, METRICS};
pub use span::{Kind, Span};

use crate::clock::Clock;
use crate::edges::Edges;
use crate::metrics::MetricError;
use crate::randomness::Randomness;
use crate::trace_context::TraceContext;
use export::Counted;
use otlp::Finished;

/// So many spans wait for the exporter at most; of 300 bytes or so each.
const QUEUE: usize = 8_192;
/// So many causes of a span are told at most.
const LINKS: usize = 16;

/// Begins spans. Clones are the same, but for the role that they begin spans for.
#[derive(Clone)]
pub struct Traces {
    shared: Arc<Shared>,
    role: &'static str,
}

struct Shared {
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    sample: f64,
    queue: Option<Queue>,
}

struct Queue {
    spans: mpsc::Sender<Finished>,
    counted: Counted,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traces")
            .field("role", &self.role)
            .field("exported", &self.shared.queue.is_some())
            .finish_non_exhaustive()
    }
}

impl Traces {
    /// Spans that nobody is told: their ids go on from stage to stage all the same.
    pub fn off(clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                randomness,
                sample: 1.0,
                queue: None,
            }),
            role: "renkud",
        }
    }

    /// What the settings say, with what sends the spans if they name a collector. It has to be run.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(config: &TracesConfig, edges: &Edges) -> Result<(Self, Option<Exporter>), MetricError> {
        let counted = Counted::register(&edges.metrics)?;
        let mut shared = Shared {
            clock: edges.clock.clone(),
            randomness: edges.randomness.clone(),
            sample: config.sample,
            queue: None,
        };
        let mut exporter = None;
        if config.is_on() {
            let (spans, queued) = mpsc::channel(QUEUE);
            exporter = Some(Exporter::new(config, queued, counted.clone(), edges));
            shared.queue = Some(Queue { spans, counted });
        }
        let traces = Self {
            shared: Arc::new(shared),
            role: "renkud",
        };
        Ok((traces, exporter))
    }

    /// The same for the spans of this role.
    #[must_use]
    pub fn of(&self, role: &'static str) -> Self {
        Self {
            shared: self.shared.clone(),
            role,
        }
    }

    /// Begins a span. With one cause it is that one's child. With none it is the root of a trace, and with several too, but
    /// linked to them. Causes are `traceparent` headers; what is none, and what is said twice, is left out.
    pub fn begin<'a>(
        &self,
        name: &'static str,
        kind: Kind,
        causes: impl IntoIterator<Item = &'a str>,
    ) -> Span {
        let mut found: Vec<TraceContext> = Vec::new();
        for cause in causes.into_iter().filter_map(|cause| cause.parse().ok()) {
            if found.len() < LINKS && !found.contains(&cause) {
                found.push(cause);
            }
        }
        match found.as_slice() {
            [parent] => Span::child_of(self.clone(), name, kind, *parent),
            _ => {
                let root = TraceContext::root(&*self.shared.randomness, self.shared.sample);
                Span::root(self.clone(), name, kind, root, found)
            }
        }
    }

    /// Never waits.
    fn tell(&self, span: Finished) {
        if let Some(queue) = &self.shared.queue
            && queue.spans.try_send(span).is_err()
        {
            queue.counted.overflowed();
        }
    }

    /// Is there an exporter?
    pub fn are_told(&self) -> bool {
        self.shared.queue.is_some()
    }
}

#[cfg(test)]
mod tests;
