use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use tokio::sync::mpsc;

use super::config::TracesConfig;
use super::otlp::{Finished, request};
use crate::clock::Clock;
use crate::edges::Edges;
use crate::metrics::{IntCounterVec, MetricError, MetricKind, MetricSpec, Metrics};
use crate::stop::Stop;
use crate::tasks::BoxError;

/// So many spans are sent at once.
const AT_ONCE: usize = 512;
/// How long fewer wait for others.
const LINGER: Duration = Duration::from_millis(200);
/// How long a collector may take to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before the second, and last, try.
const AGAIN: Duration = Duration::from_secs(1);
/// What a stop gives to the spans that are left.
const AT_STOP: Duration = Duration::from_millis(1_500);

const SPANS: MetricSpec = MetricSpec {
    name: "renku_traces_spans_total",
    kind: MetricKind::Counter,
    help: "Spans that ended, by what became of them: exported, overflow (the queue was full), undelivered (the collector did not take them).",
    labels: &["outcome"],
};

/// The catalogue.
pub const METRICS: &[MetricSpec] = &[SPANS];

/// What became of spans.
#[derive(Clone, Debug)]
pub(super) struct Counted(IntCounterVec);

impl Counted {
    pub(super) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let spans = metrics.counter(&SPANS)?;
        for outcome in ["exported", "overflow", "undelivered"] {
            spans.with_label_values(&[outcome]);
        }
        Ok(Self(spans))
    }

    pub(super) fn overflowed(&self) {
        self.0.with_label_values(&["overflow"]).inc();
    }

    fn add(&self, outcome: &str, spans: usize) {
        self.0.with_label_values(&[outcome]).inc_by(spans as u64);
    }
}

/// A collector did not take spans.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("the collector of traces does not answer")]
    Silent(#[source] reqwest::Error),
    #[error("the collector of traces answers {0}")]
    Refused(StatusCode),
}

impl NotTaken {
    /// As the protocol says (<https://opentelemetry.io/docs/specs/otlp/#failures-1>).
    fn may_pass(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

/// Sends spans to a collector: OTLP over HTTP, in protobuf.
pub struct Exporter {
    url: Option<Url>,
    pub(super) queued: mpsc::Receiver<Finished>,
    counted: Counted,
    clock: Arc<dyn Clock>,
    instance: String,
    failing: bool,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    pub(super) fn new(
        config: &TracesConfig,
        queued: mpsc::Receiver<Finished>,
        counted: Counted,
        edges: &Edges,
    ) -> Self {
        Self {
            url: config.url(),
            queued,
            counted,
            clock: edges.clock.clone(),
            instance: format!("{:016x}", edges.randomness.bits64()),
            failing: false,
        }
    }

    /// Sends until the stop, and then what is left, but not for long.
    ///
    /// # Errors
    /// When there can be no client: a defect of the machine's set-up.
    pub async fn run(mut self, stop: Stop) -> Result<(), BoxError> {
        let Some(url) = self.url.take() else {
            stop.requested().await;
            return Ok(());
        };
        // Somebody else in the process may have installed a provider before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        while stop.or(self.gather()).await.is_some() {
            let batch = self.batch();
            // A stop in between must not lose what is on its way: its time is bounded by those of the tries.
            let clock = self.clock.clone();
            tokio::select! {
                () = self.deliver(&client, &url, batch) => {}
                () = async { stop.requested().await; clock.sleep(AT_STOP).await } => {
                    self.give_up();
                    return Ok(());
                }
            }
        }
        let clock = self.clock.clone();
        tokio::select! {
            () = self.send_what_is_left(&client, &url) => {}
            () = clock.sleep(AT_STOP) => {}
        }
        self.give_up();
        Ok(())
    }

    /// Waits for a batch, or for a little to be there for a while. It stays in the queue.
    async fn gather(&self) {
        while self.queued.len() < AT_ONCE {
            self.clock.sleep(LINGER).await;
            if !self.queued.is_empty() {
                return;
            }
        }
    }

    fn batch(&mut self) -> Batch {
        let mut batch = Batch::new(Vec::new(), &self.counted);
        while batch.len() < AT_ONCE
            && let Ok(span) = self.queued.try_recv()
        {
            batch.push(span);
        }
        batch
    }

    fn give_up(&mut self) {
        self.counted.add("undelivered", self.queued.len());
    }

    async fn send_what_is_left(&mut self, client: &Client, url: &Url) {
        loop {
            let batch = self.batch();
            if batch.len() == 0 {
                return;
            }
            self.deliver(client, url, batch).await;
        }
    }

    async fn deliver(&mut self, client: &Client, url: &Url, batch: Batch) {
        let body = request(&batch.spans, &self.instance);
        let mut sent = send(client, url, body.clone()).await;
        if let Err(error) = &sent
            && error.may_pass()
        {
            self.clock.sleep(AGAIN).await;
            sent = send(client, url, body).await;
        }
        match sent {
            Ok(()) => batch.delivered(),
            Err(error) if !self.failing => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, spans = batch.len(), "spans are lost until the collector takes them");
                self.failing = true;
                return;
            }
            Err(_) => return,
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("the collector takes spans again");
        }
    }
}

async fn send(client: &Client, url: &Url, body: Vec<u8>) -> Result<(), NotTaken> {
    let asked = client
        .post(url.clone())
        .header(reqwest::header::CONTENT_TYPE, "application/x-protobuf")
        .body(body);
    let answer = asked.send().await.map_err(NotTaken::Silent)?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(NotTaken::Refused(answer.status()))
    }
}

/// Spans out of the queue. Those that are not delivered, for whatever reason, are counted as that.
struct Batch {
    spans: Vec<Finished>,
    counted: Counted,
}

impl Batch {
    fn new(spans: Vec<Finished>, counted: &Counted) -> Self {
        Self {
            spans,
            counted: counted.clone(),
        }
    }

    fn push(&mut self, span: Finished) {
        self.spans.push(span);
    }

    fn len(&self) -> usize {
        self.spans.len()
    }

    fn delivered(mut self) {
        self.counted.add("exported", self.spans.len());
        self.spans.clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.counted.add("undelivered", self.spans.len());
    }
}
