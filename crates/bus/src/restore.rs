use model::{Partition, Position, TopicName};

use crate::{Bus, BusError, ReadLimits, Record, behind};

/// Reads partitions of a topic from their start to where they ended at the call, and returns the positions after.
/// That is how a worker gets its state back from a compacted topic.
///
/// `partitions`: `None` means all. Memory is bounded by `limits`, if `take` keeps nothing.
pub async fn restore(
    bus: &dyn Bus,
    topic: &TopicName,
    partitions: Option<&[Partition]>,
    limits: ReadLimits,
    mut take: impl FnMut(Record),
) -> Result<Vec<Position>, BusError> {
    let extents: Vec<_> = bus
        .extents(topic)
        .await?
        .into_iter()
        .filter(|extent| partitions.is_none_or(|wanted| wanted.contains(&extent.partition)))
        .collect();
    let from = extents
        .iter()
        .map(|extent| Position {
            topic: topic.clone(),
            partition: extent.partition,
            next: extent.start,
        })
        .collect();
    let mut reader = bus.read(from, limits).await?;
    loop {
        let positions = reader.positions();
        if behind(topic, &positions, &extents) == 0 {
            return Ok(positions);
        }
        for record in reader.next().await? {
            take(record);
        }
    }
}
