use model::{Offset, Position, TopicName};

use crate::Extent;

/// How many offsets whoever stands at `positions` has before him in a topic, all partitions together. A partition that was
/// never read is before him as a whole, and what retention took is not.
///
/// Ask for positions before extents: then too many may be told, never too few.
pub fn behind(topic: &TopicName, positions: &[Position], extents: &[Extent]) -> u64 {
    let next = |extent: &Extent| {
        let position = positions
            .iter()
            .find(|position| position.topic == *topic && position.partition == extent.partition);
        position.map_or(Offset::default(), |position| position.next)
    };
    extents
        .iter()
        .map(|extent| {
            let from = next(extent).max(extent.start);
            extent.end.get().saturating_sub(from.get())
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use model::Partition;

    use super::*;

    const T: TopicName = TopicName::from_static("t");

    fn at(partition: u32, next: u64) -> Position {
        Position {
            topic: T,
            partition: Partition::new(partition),
            next: Offset::new(next),
        }
    }

    fn extent(partition: u32, start: u64, end: u64) -> Extent {
        Extent {
            partition: Partition::new(partition),
            start: Offset::new(start),
            end: Offset::new(end),
        }
    }

    #[test]
    fn what_is_before_a_group() {
        let extents = [extent(0, 0, 9), extent(1, 5, 8), extent(2, 4, 6)];
        assert_eq!(behind(&T, &[at(0, 7), at(1, 2)], &extents), 2 + 3 + 2);
        assert_eq!(behind(&T, &[at(0, 12)], &extents[..1]), 0);
    }

    #[test]
    fn what_is_before_a_view() {
        let (stored, extents) = ([at(0, 7)], [extent(0, 0, 9), extent(1, 4, 6)]);
        assert_eq!(behind(&T, &stored, &extents), 4);
        assert_eq!(behind(&TopicName::from_static("other"), &stored, &extents), 11);
    }
}
