use std::path::PathBuf;

use model::{Offset, Position, TopicName};

/// Any error as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a bus can answer instead of doing what it was asked. Nothing was lost that had been acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody declared it.
    #[error("topic {0} is unknown: declare it with ensure_topics first")]
    UnknownTopic(TopicName),
    /// The topic has no such partition.
    #[error("position {position} names a partition that does not exist: the topic has {partitions}")]
    UnknownPartition {
        /// What was asked for.
        position: Position,
        /// How many there are, numbered from 0.
        partitions: u32,
    },
    /// The number of partitions of a keyed topic is fixed.
    #[error(
        "topic {topic} has {have} partitions and {want} are declared: grow it by a new topic version and a copy"
    )]
    PartitionsDiffer {
        /// The topic.
        topic: TopicName,
        /// What the log has.
        have: u32,
        /// What was declared.
        want: u32,
    },
    /// The reader knows more than the log: the log is another one, or has lost records. Start again from the log's start.
    #[error("position {position} is past the end {end} of the log: rebuild from the start")]
    PastEnd {
        /// Where reading should have gone on.
        position: Position,
        /// The log's end.
        end: Offset,
    },
    /// Retention has taken records that the reader has not seen. Start again from the log's start, or raise an alarm.
    #[error("position {position} is before the start {start} of the log: the records between are gone")]
    BeforeStart {
        /// Where reading should have gone on.
        position: Position,
        /// The log's first offset.
        start: Offset,
    },
    /// A record must stay small; large values go to the blob store.
    #[error(
        "a record for {topic} has {bytes} bytes and {limit} are allowed: put the value into the blob store"
    )]
    TooLarge {
        /// Where it was to go.
        topic: TopicName,
        /// Key, headers and value together.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Nothing was written. The same append can be tried again when there is room.
    #[error("the disk that holds the log is full: make room, then try again")]
    Full(#[source] BoxError),
    /// A passing fault: broker away, file busy. Try again.
    #[error("the bus is not available at the moment")]
    Unavailable(#[source] BoxError),
    /// The broker will not have it. Trying again cannot help.
    #[error("the broker refuses it: check the credentials, the access rules and the topic's settings")]
    Refused(#[source] BoxError),
    /// The settings of the bus contradict each other, or the client library does not take them.
    #[error("the bus cannot work with these settings: {0}")]
    Settings(String),
    /// The topic was deleted and made anew: no position in it means anything any more. Start again.
    #[error("topic {topic} was deleted and made anew: positions in it are void, start again")]
    Replaced {
        /// Which.
        topic: TopicName,
    },
    /// The log's file cannot be read as a log.
    #[error("the log in {path} is damaged: restore it from a backup, or move it away to start an empty one")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: BoxError,
    },
    /// The file was written by a newer release.
    #[error("the log in {path} has format {found}, this release reads format {known}: run the newer release")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Another process has it.
    #[error("the log in {path} is open in another process: stop that one first, or use another data folder")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Positions of a group are changed by its members alone, while it has any.
    #[error("group {group} has members: stop the processes of that role first")]
    GroupInUse {
        /// The group.
        group: String,
    },
    /// The partition has been given to another member since.
    #[error("this member no longer owns the partition")]
    Fenced,
    /// The bus was shut down.
    #[error("the bus is closed")]
    Closed,
}

impl BusError {
    /// Whether the same call may succeed later without anybody changing data or configuration.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}
