use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, behind};
use model::TopicName;
use runtime::upkeep::Upkeep;

use crate::meters::GroupMeters;
use crate::parked::ParkedTally;

/// How often a group is measured.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// Measures a group, whether its worker goes on or not.
pub(crate) struct Measuring {
    pub bus: Arc<dyn Bus>,
    pub group: String,
    pub topics: Vec<TopicName>,
    pub parked: Vec<ParkedTally>,
    pub meters: GroupMeters,
}

impl Upkeep for Measuring {
    type Error = BusError;

    async fn once(&mut self) -> Result<(), BusError> {
        // Positions before ends: a lag may be told too large, never too small.
        let stored = self.bus.group_positions(&self.group, &self.topics).await?;
        for topic in &self.topics {
            let extents = self.bus.extents(topic).await?;
            self.meters.lag(topic, behind(topic, &stored, &extents));
        }
        for tally in &mut self.parked {
            let records = tally.count(&*self.bus).await?;
            self.meters.parked(tally.lane(), records);
        }
        Ok(())
    }

    fn failed(&self, error: &BusError) {
        tracing::warn!(group = %self.group, %error, "lag cannot be measured, will try again");
    }
}
