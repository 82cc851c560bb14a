//! The words everything else is written in: ids, slugs, shas, generations, positions, visibility.
//!
//! No I/O, no async, no clock. Text from outside is parsed into these types once, at the edge.

mod digest;
mod ids;
mod outcome;
mod partition;
mod position;
mod receipt;
mod secret;
mod time;

pub use digest::{BlobName, Digest, DigestParseError};
pub use ids::{
    AccessLevel, Generation, GitObjectId, GroupId, IdError, ProjectId, Sha, Slug, StateVersion, UserId,
    Visibility,
};
pub use outcome::{Outcome, Owner, Reason};
pub use partition::{murmur2, partition_of};
pub use position::{CleanUp, LogId, Offset, Partition, Position, TopicName, TopicSpec};
pub use receipt::{NotAReceipt, RECEIPT_HEADER, Receipt};
pub use secret::Secret;
pub use time::{Day, NotADay, Timestamp};
