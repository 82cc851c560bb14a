//! Where to go on reading, or why the view must begin anew. Pure.

use std::fmt;

use bus::{Extent, TopicPartition};
use model::{LogId, Offset, Position, TopicName};

/// What to do at start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// Read on from here; partitions that the view has not read yet from their start.
    Resume(Vec<Position>),
    /// Empty the view, then read everything from the log's start.
    Rebuild(Why),
}

/// Why a view cannot go on from its positions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The view was made from another log.
    OtherLog {
        /// The one it was made from.
        was: LogId,
        /// The one that is there.
        is: LogId,
    },
    /// The view knows more than the log has: the log was replaced by an older copy.
    PastEnd {
        /// Where the view stands.
        position: Position,
        /// The log's end.
        end: Offset,
    },
    /// The log has forgotten records that the view has not seen, and they may have been deletions.
    BeforeStart {
        /// Where the view stands.
        position: Position,
        /// The log's start.
        start: Offset,
    },
    /// The topic has fewer partitions than the view has read.
    NoSuchPartition(Position),
}

impl Why {
    /// A metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherLog { .. } => "other-log",
            Self::PastEnd { .. } => "past-end",
            Self::BeforeStart { .. } => "before-start",
            Self::NoSuchPartition(_) => "no-such-partition",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherLog { was, is } => {
                write!(f, "the view was made from log {was}, and log {is} is there")
            }
            Self::PastEnd { position, end } => {
                write!(f, "the view stands at {position}, past the log's end {end}")
            }
            Self::BeforeStart { position, start } => {
                write!(f, "the view stands at {position}, before the log's start {start}")
            }
            Self::NoSuchPartition(position) => {
                write!(f, "the view stands at {position}, a partition that is no more")
            }
        }
    }
}

/// Compares what the view knows with what the log has. `extents`: of every topic that the view reads.
pub fn start(
    made_from: Option<LogId>,
    log: LogId,
    stored: &[Position],
    extents: &[(TopicName, Vec<Extent>)],
) -> Start {
    if let Some(was) = made_from.filter(|was| *was != log) {
        return Start::Rebuild(Why::OtherLog { was, is: log });
    }
    let known = |topic: &TopicName| {
        extents
            .iter()
            .find(|(name, _)| name == topic)
            .map(|(_, extents)| extents)
    };
    for position in stored {
        // Positions of topics that are not read any more do no harm.
        let Some(extents) = known(&position.topic) else {
            continue;
        };
        let Some(extent) = extents
            .iter()
            .find(|extent| extent.partition == position.partition)
        else {
            return Start::Rebuild(Why::NoSuchPartition(position.clone()));
        };
        if position.next > extent.end {
            return Start::Rebuild(Why::PastEnd {
                position: position.clone(),
                end: extent.end,
            });
        }
        if position.next < extent.start {
            return Start::Rebuild(Why::BeforeStart {
                position: position.clone(),
                start: extent.start,
            });
        }
    }
    let from = extents.iter().flat_map(|(topic, extents)| {
        extents.iter().map(move |extent| {
            let partition = TopicPartition {
                topic: topic.clone(),
                partition: extent.partition,
            };
            let stored = stored
                .iter()
                .find(|position| TopicPartition::from(*position) == partition);
            partition.at(stored.map_or(extent.start, |position| position.next))
        })
    });
    Start::Resume(from.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Partition;

    const TOPIC: TopicName = TopicName::from_static("t");

    fn at(partition: u32, next: u64) -> Position {
        Position {
            topic: TOPIC,
            partition: Partition::new(partition),
            next: Offset::new(next),
        }
    }

    fn decide(made_from: Option<u128>, stored: &[Position]) -> Start {
        let extent = |partition, start, end| Extent {
            partition: Partition::new(partition),
            start: Offset::new(start),
            end: Offset::new(end),
        };
        let extents = [(TOPIC, vec![extent(0, 0, 9), extent(1, 3, 5)])];
        start(made_from.map(LogId), LogId(1), stored, &extents)
    }

    #[test]
    fn a_view_goes_on_where_it_was() {
        assert_eq!(decide(None, &[]), Start::Resume(vec![at(0, 0), at(1, 3)]));
        assert_eq!(
            decide(Some(1), &[at(0, 9)]),
            Start::Resume(vec![at(0, 9), at(1, 3)])
        );
    }

    #[test]
    fn a_view_that_does_not_fit_begins_anew() {
        for (made_from, stored, code) in [
            (Some(2), vec![], "other-log"),
            (Some(1), vec![at(0, 10)], "past-end"),
            (Some(1), vec![at(1, 2)], "before-start"),
            (Some(1), vec![at(2, 0)], "no-such-partition"),
        ] {
            match decide(made_from, &stored) {
                Start::Rebuild(why) => assert_eq!(why.code(), code),
                resumed => panic!("{resumed:?}"),
            }
        }
    }
}
