//! How far the view is behind the log: measured beside the followers, so that it is told too while nothing is applied.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, behind};
use model::TopicName;
use runtime::BoxError;
use runtime::metrics::level;
use runtime::upkeep::Upkeep;
use store::Inventory;

use crate::metrics::Counters;

/// How often it is measured.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Lag {
    pub bus: Arc<dyn Bus>,
    pub inventory: Inventory,
    pub counters: Counters,
    /// The topics, each with its word.
    pub topics: Vec<(&'static str, TopicName)>,
}

impl Upkeep for Lag {
    type Error = BoxError;

    async fn once(&mut self) -> Result<(), BoxError> {
        // Positions before ends: a lag may be told too large, never too small.
        let (_, stored) = self.inventory.positions()?;
        for (word, topic) in &self.topics {
            let extents = self.bus.extents(topic).await?;
            self.counters
                .lag
                .with_label_values(&[*word])
                .set(level(behind(topic, &stored, &extents)));
        }
        let quads = self.inventory.quads()?;
        self.counters
            .quads
            .with_label_values::<&str>(&[])
            .set(level(quads));
        Ok(())
    }

    fn failed(&self, error: &BoxError) {
        tracing::warn!(%error, "lag of the view cannot be measured, will try again");
    }
}
