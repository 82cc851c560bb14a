use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::registry::{RegisteredBus, Registry};
use bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus};
use model::{LogId, Position};
use runtime::{BoxError, Edges, Stop};

use crate::bus_settings::BusKind;
use crate::data_folder::DataFolder;
use crate::settings::Settings;

/// How often old and superseded records are looked for.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);

/// The bus of this process, of the kind that is configured.
#[derive(Clone)]
pub enum OpenBus {
    /// The log in the data folder.
    Embedded(EmbeddedBus),
    /// A cluster.
    Kafka(KafkaBus),
}

impl fmt::Debug for OpenBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(bus) => bus.fmt(f),
            Self::Kafka(bus) => bus.fmt(f),
        }
    }
}

impl OpenBus {
    /// Opens it; no topic is made.
    pub async fn open(settings: &Settings, data: &DataFolder, edges: &Edges) -> Result<Self> {
        match settings.bus.kind {
            BusKind::Embedded => {
                let options = EmbeddedOptions::new(LogId(edges.randomness.bits128()));
                let folder = data.bus();
                let opened = tokio::task::spawn_blocking(move || EmbeddedBus::open(&folder, options)).await;
                let bus = opened
                    .context("opening the log failed")?
                    .context("the log cannot be opened")?;
                Ok(Self::Embedded(bus))
            }
            BusKind::Kafka => {
                let options = settings.bus.kafka.options(&settings.bus.brokers)?;
                let connected = KafkaBus::connect(options).await;
                Ok(Self::Kafka(connected.context("kafka cannot be reached")?))
            }
        }
    }

    /// As roles see it. With a registry its numbers are on the wire.
    pub fn seam(&self, registry: Option<&Arc<Registry>>) -> Arc<dyn Bus> {
        let bus: Arc<dyn Bus> = match self {
            Self::Embedded(bus) => Arc::new(bus.clone()),
            Self::Kafka(bus) => Arc::new(bus.clone()),
        };
        match registry {
            Some(registry) => Arc::new(RegisteredBus::new(bus, registry.clone())),
            None => bus,
        }
    }

    /// Old and superseded records go, in small steps. A cluster does that itself.
    pub async fn clean_up(self, edges: Edges, stop: Stop) -> Result<(), BoxError> {
        let Self::Embedded(bus) = self else {
            stop.requested().await;
            return Ok(());
        };
        while stop.or(edges.clock.sleep(CLEAN_UP_EVERY)).await.is_some() {
            loop {
                match bus.clean_up(edges.clock.now()).await {
                    Ok(true) if !stop.is_requested() => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old records were not cleaned up, will retry");
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores positions of a group that has no member.
    pub async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<()> {
        let stored = match self {
            Self::Embedded(bus) => bus.set_group_positions(group, positions).await,
            Self::Kafka(bus) => bus.set_group_positions(group, positions).await,
        };
        stored.context("positions of a group cannot be stored")
    }

    /// Stores or sends what waits.
    pub async fn close(&self) -> Result<()> {
        match self {
            Self::Embedded(bus) => bus.close().await.context("the log was not closed"),
            Self::Kafka(bus) => bus.close().await.context("kafka was not left in order"),
        }
    }
}
