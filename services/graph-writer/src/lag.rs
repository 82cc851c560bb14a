//! How far the view is behind the log: measured beside the followers, so that it is told too while nothing is applied.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Extent};
use model::{Offset, Position, TopicName};
use runtime::{BoxError, Clock, Stop};
use store::Inventory;

use crate::metrics::Counters;

/// How often it is measured.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Lag {
    pub bus: Arc<dyn Bus>,
    pub inventory: Inventory,
    pub clock: Arc<dyn Clock>,
    pub counters: Counters,
    /// The topics, each with its word.
    pub topics: Vec<(&'static str, TopicName)>,
    pub stop: Stop,
}

impl Lag {
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let mut failing = false;
        while let Some(measured) = self.stop.or(self.measure()).await {
            if let Err(error) = &measured
                && !failing
            {
                tracing::warn!(%error, "lag of the view cannot be measured, will try again");
            }
            failing = measured.is_err();
            if self.stop.or(self.clock.sleep(EVERY)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn measure(&self) -> Result<(), BoxError> {
        // Positions before ends: a lag may be told too large, never too small.
        let (_, stored) = self.inventory.positions()?;
        for (word, topic) in &self.topics {
            let extents = self.bus.extents(topic).await?;
            self.counters
                .lag
                .with_label_values(&[*word])
                .set(i64::try_from(behind(topic, &stored, &extents)).unwrap_or(i64::MAX));
        }
        let quads = self.inventory.quads()?;
        self.counters
            .quads
            .with_label_values::<&str>(&[])
            .set(i64::try_from(quads).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// A partition that was never read is before the view as a whole, and what retention took is not.
fn behind(topic: &TopicName, stored: &[Position], extents: &[Extent]) -> u64 {
    let from = |extent: &Extent| {
        let position = stored
            .iter()
            .find(|position| position.topic == *topic && position.partition == extent.partition);
        position
            .map_or(Offset::default(), |position| position.next)
            .max(extent.start)
    };
    extents
        .iter()
        .map(|extent| extent.end.get().saturating_sub(from(extent).get()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Partition;

    #[test]
    fn what_is_before_a_view() {
        let topic = TopicName::from_static("t");
        let stored = [Position {
            topic: topic.clone(),
            partition: Partition::new(0),
            next: Offset::new(7),
        }];
        let extent = |partition, start, end| Extent {
            partition: Partition::new(partition),
            start: Offset::new(start),
            end: Offset::new(end),
        };
        let extents = [extent(0, 0, 9), extent(1, 4, 6)];
        assert_eq!(behind(&topic, &stored, &extents), 4);
        assert_eq!(behind(&TopicName::from_static("other"), &stored, &extents), 11);
    }
}
