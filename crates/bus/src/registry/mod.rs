//! A schema registry beside the bus: records on the wire have Confluent's framing, so that any Avro consumer reads them.
//!
//! The datum is the same in both framings; only what stands before it differs. So roles write and read single-object
//! encoding, and [`RegisteredBus`] puts the registry's number in front on the way out and takes it away on the way in.
//! The numbers of our own schemas are kept in a file: while the registry is down, everything that is known goes on.

mod client;
mod framing;
mod ids;
mod wrap;

pub use client::RegistryError;
pub use ids::Registry;
pub use wrap::RegisteredBus;
