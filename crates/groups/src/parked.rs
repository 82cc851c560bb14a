use std::collections::{BTreeMap, BTreeSet};

use bus::worker::ResolvedHeaders;
use bus::{Bus, BusError, Extent, ReadLimits, Record, TopicPartition};
use model::{Offset, Partition, TopicName};

/// So many open records of a lane are told apart; a flood of them must not take the memory of the process.
const MOST: usize = 100_000;

/// What is parked in one lane and was not dealt with. It reads on from where it was, and only when something came.
#[derive(Debug)]
pub(crate) struct ParkedTally {
    lane: TopicName,
    next: BTreeMap<Partition, Offset>,
    open: BTreeSet<(Partition, Offset)>,
}

impl ParkedTally {
    pub(crate) fn new(lane: TopicName) -> Self {
        Self {
            lane,
            next: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    pub(crate) fn lane(&self) -> &TopicName {
        &self.lane
    }

    /// How many there are now.
    pub(crate) async fn count(&mut self, bus: &dyn Bus) -> Result<usize, BusError> {
        let extents = bus.extents(&self.lane).await?;
        let from = self.begin(&extents);
        if !from.is_empty() {
            let positions = from.iter().map(|(slot, at)| slot.at(*at)).collect();
            let mut reader = bus.read(positions, ReadLimits::default()).await?;
            loop {
                for position in reader.positions() {
                    self.next.insert(position.partition, position.next);
                }
                if self.unread(&extents).is_empty() {
                    break;
                }
                reader.next().await?.iter().for_each(|record| self.take(record));
            }
        }
        Ok(self.open.len())
    }

    /// Forgets what retention took, and says where something came.
    fn begin(&mut self, extents: &[Extent]) -> Vec<(TopicPartition, Offset)> {
        if self.is_another_log(extents) {
            *self = Self::new(self.lane.clone());
        }
        let start = |partition: Partition| {
            let extent = extents.iter().find(|extent| extent.partition == partition);
            extent.map_or(Offset::default(), |extent| extent.start)
        };
        self.open
            .retain(|(partition, offset)| *offset >= start(*partition));
        self.unread(extents)
    }

    /// Where there is something to read, and from which offset on.
    fn unread(&self, extents: &[Extent]) -> Vec<(TopicPartition, Offset)> {
        let mut from = Vec::new();
        for extent in extents {
            let next = self.next.get(&extent.partition).copied().unwrap_or_default();
            let next = next.max(extent.start);
            if next < extent.end {
                let slot = TopicPartition {
                    topic: self.lane.clone(),
                    partition: extent.partition,
                };
                from.push((slot, next));
            }
        }
        from
    }

    fn is_another_log(&self, extents: &[Extent]) -> bool {
        let next = |partition| self.next.get(&partition).copied().unwrap_or_default();
        extents.iter().any(|extent| next(extent.partition) > extent.end)
    }

    fn take(&mut self, record: &Record) {
        if let Some(offset) = ResolvedHeaders::resolves(record) {
            self.open.remove(&(record.partition, offset));
        } else if self.open.len() < MOST {
            self.open.insert((record.partition, record.offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::{Headers, MemoryBus, NewRecord};
    use model::{CleanUp, LogId, Timestamp, TopicSpec};
    use std::time::Duration;

    use super::*;

    const LANE: TopicName = TopicName::from_static("t.v1.parked");

    async fn append(bus: &MemoryBus, resolves: Option<u64>) {
        let mut record = NewRecord::new(LANE, "k", "v", Timestamp::from_micros(1));
        if let Some(offset) = resolves {
            record.headers = Headers::new().with(ResolvedHeaders::OFFSET, offset.to_string());
        }
        bus.append(vec![record]).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_dealt_with_is_counted_no_more() {
        let bus = MemoryBus::new(LogId(1));
        let spec = TopicSpec {
            name: LANE,
            partitions: 1,
            clean_up: CleanUp::Delete(Duration::from_secs(60)),
        };
        bus.ensure_topics(&[spec]).await.unwrap();
        let mut tally = ParkedTally::new(LANE);
        assert_eq!(tally.count(&bus).await.unwrap(), 0);
        append(&bus, None).await;
        append(&bus, None).await;
        assert_eq!(tally.count(&bus).await.unwrap(), 2);
        assert_eq!(tally.count(&bus).await.unwrap(), 2);
        append(&bus, Some(0)).await;
        append(&bus, None).await;
        assert_eq!(tally.count(&bus).await.unwrap(), 2);
        append(&bus, Some(1)).await;
        append(&bus, Some(3)).await;
        assert_eq!(tally.count(&bus).await.unwrap(), 0);
    }

    #[test]
    fn what_retention_took_is_counted_no_more() {
        let (partition, at) = (Partition::new(0), Offset::new);
        let extent = |start, end| Extent {
            partition,
            start: at(start),
            end: at(end),
        };
        let mut tally = ParkedTally::new(LANE);
        tally.next.insert(partition, at(5));
        tally.open = [(partition, at(2)), (partition, at(4))].into();
        assert!(tally.begin(&[extent(3, 5)]).is_empty());
        assert_eq!(tally.open.len(), 1);
        assert_eq!(tally.begin(&[extent(3, 7)])[0].1, at(5));
        // The topic was made anew.
        assert_eq!(tally.begin(&[extent(0, 2)])[0].1, at(0));
        assert!(tally.open.is_empty());
    }
}
