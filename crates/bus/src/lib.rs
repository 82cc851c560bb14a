//! The message bus: topics of ordered, durable records. One seam ([`Bus`]), several implementations.
//!
//! * append: resolves when the records are durable;
//! * groups ([`GroupConsumer`]): workers share partitions, settle records, and only the settled prefix is stored;
//! * readers ([`Reader`]): views read all partitions from positions that they keep themselves;
//! * workers ([`worker`]): the loop with turns between keys, retries and parked records, over any bus.

mod behind;
mod embedded;
mod error;
mod kafka;
mod local;
mod memory;
pub mod migrate;
mod prefix;
mod record;
pub mod registry;
mod restore;
mod seam;
mod typed;
pub mod worker;

pub use behind::behind;
pub use embedded::{EmbeddedBus, EmbeddedOptions};
pub use error::{BoxError, BusError};
pub use kafka::{
    AccessRule, AccessToken, Change, ClientCredentials, Fact, Grant, Granted, KafkaBus, KafkaOptions,
    KafkaSasl, KafkaTls, Operation, PlannedTopic, Resource, TokenEndpoint, TokenSource, grants, plan,
    settings_of,
};
pub use memory::MemoryBus;
pub use record::{Headers, MAX_RECORD_BYTES, NewRecord, Record};
pub use restore::restore;
pub use seam::{
    Assignment, Bus, Extent, GroupConsumer, GroupEvent, GroupOptions, ReadLimits, Reader, TopicPartition,
};
pub use typed::{Origin, record_of, value_of};
