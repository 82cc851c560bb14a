use bus::{Bus, BusError, Extent};
use model::{Offset, Partition, Position, TopicName};

/// How many offsets a group has before it in each of these topics, all partitions together.
pub(crate) async fn lags(
    bus: &dyn Bus,
    group: &str,
    topics: &[TopicName],
) -> Result<Vec<(TopicName, u64)>, BusError> {
    // Positions before ends: a lag may be told too large, never too small.
    let stored = bus.group_positions(group, topics).await?;
    let mut lags = Vec::with_capacity(topics.len());
    for topic in topics {
        let of_topic: Vec<_> = stored.iter().filter(|at| at.topic == *topic).collect();
        let extents = bus.extents(topic).await?;
        lags.push((topic.clone(), behind(&of_topic, &extents)));
    }
    Ok(lags)
}

/// A partition that the group never settled is before it as a whole, and what retention took is not.
fn behind(stored: &[&Position], extents: &[Extent]) -> u64 {
    let at = |partition: Partition| {
        let position = stored.iter().find(|position| position.partition == partition);
        position.map_or(Offset::default(), |position| position.next)
    };
    extents
        .iter()
        .map(|extent| {
            let from = at(extent.partition).max(extent.start);
            extent.end.get().saturating_sub(from.get())
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_before_a_group() {
        let at = |partition, next| Position {
            topic: TopicName::from_static("t"),
            partition: Partition::new(partition),
            next: Offset::new(next),
        };
        let extent = |partition, start, end| Extent {
            partition: Partition::new(partition),
            start: Offset::new(start),
            end: Offset::new(end),
        };
        let extents = [extent(0, 0, 9), extent(1, 5, 8), extent(2, 4, 6)];
        let (settled, behind_start) = (at(0, 7), at(1, 2));
        assert_eq!(behind(&[&settled, &behind_start], &extents), 2 + 3 + 2);
        let ahead = at(0, 12);
        assert_eq!(behind(&[&ahead], &extents[..1]), 0);
    }
}
