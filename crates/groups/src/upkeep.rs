use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError};
use model::TopicName;
use runtime::{BoxError, Clock, Stop};

use crate::lag::lags;
use crate::meters::GroupMeters;
use crate::parked::ParkedTally;

/// How often a group is measured.
const EVERY: Duration = Duration::from_secs(5);

/// Measures a group, whether its worker goes on or not.
pub(crate) struct Upkeep {
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<dyn Clock>,
    pub group: String,
    pub topics: Vec<TopicName>,
    pub parked: Vec<ParkedTally>,
    pub meters: GroupMeters,
}

impl Upkeep {
    pub(crate) async fn run(mut self, stop: Stop) -> Result<(), BoxError> {
        let mut failing = false;
        while let Some(measured) = stop.or(self.measure()).await {
            if let Err(error) = &measured
                && !failing
            {
                tracing::warn!(group = %self.group, %error, "lag cannot be measured, will try again");
            }
            failing = measured.is_err();
            if stop.or(self.clock.sleep(EVERY)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<(), BusError> {
        for (topic, records) in lags(&*self.bus, &self.group, &self.topics).await? {
            self.meters.lag(&topic, records);
        }
        for tally in &mut self.parked {
            let records = tally.count(&*self.bus).await?;
            self.meters.parked(tally.lane(), records);
        }
        Ok(())
    }
}
