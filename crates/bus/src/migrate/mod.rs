//! Copying a keyed topic to its next version, which may have more partitions, and carrying stored positions over.
//!
//! * [`copy`] copies records with key, headers and time, in order, and writes down where each went ([`PositionMap`]);
//!   broken off, it goes on where it was;
//! * [`PositionMap::translate`] tells where a reader of the old topic has to go on in the new one.

mod copy;
mod map;

pub use copy::{Copied, CopyProgress, CopyTopic, copy};
pub use map::{MapError, PositionMap};

use model::TopicName;

use crate::BusError;

/// A topic was not copied, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// See [`BusError`].
    #[error(transparent)]
    Bus(#[from] BusError),
    /// See [`MapError`].
    #[error(transparent)]
    Map(#[from] MapError),
    /// Somebody writes to the topic.
    #[error("{topic} is still written to: stop who writes it, then say the same again")]
    StillWritten {
        /// The old topic.
        topic: TopicName,
    },
    /// There are records in the new topic that this copy did not put there.
    #[error(
        "{topic} has records already, and the map of this copy does not tell from where: it must be a new, empty topic"
    )]
    NotEmpty {
        /// The new topic.
        topic: TopicName,
    },
}
