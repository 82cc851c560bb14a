//! webhook-service on a log of choice, as a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus, KafkaOptions};
use model::{LogId, Secret};
use runtime::Edges;
use runtime::Stop;
use runtime::http::{ServeLimits, serve};
use tokio::net::TcpListener;
use webhook_service::{Config, WebhookService};

use super::sink::NullBus;
use crate::measure::service::cpu_seconds;

pub(super) const SECRET: &str = "a-secret-of-the-benchmark-only-0123456789";

/// Serves until it is killed. `sink`: `null`, `embedded:FOLDER` or `kafka:BROKERS`.
///
/// # Errors
/// The log or the listener cannot be opened.
pub fn serve_hooks(sink: &str, port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bus: Arc<dyn Bus> = match sink.split_once(':') {
            Some(("embedded", folder)) => Arc::new(EmbeddedBus::open(
                Path::new(folder),
                EmbeddedOptions::new(LogId(1)),
            )?),
            Some(("kafka", brokers)) => Arc::new(KafkaBus::connect(KafkaOptions::new(brokers)).await?),
            _ => Arc::new(NullBus::default()),
        };
        bus.ensure_topics(&events::topic_specs()).await?;
        let config = Config {
            secrets: vec![Secret::new(SECRET)],
        };
        let service = WebhookService::build(&config, bus, &Edges::system()).await?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        serve(
            listener,
            service.router(),
            None,
            ServeLimits::default(),
            Stop::new(),
        )
        .await?;
        Ok(())
    })
}

/// Such a process; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn start(bench: &Path, sink: &str) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(bench)
            .args(["intake-server", sink, &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("start the server")?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(
                server.child.try_wait()?.is_none(),
                "the server for {sink} ended while it started"
            );
            anyhow::ensure!(Instant::now() < deadline, "the server for {sink} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
