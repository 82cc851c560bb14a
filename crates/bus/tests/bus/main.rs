//! The conformance suite of the bus seam, on every implementation, and what is particular to one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints"
)]

mod conformance;
mod embedded;
mod harness;
mod kafka;
mod kafka_faults;
mod kafka_oauth;
mod kafka_registry;
mod kafka_secure;
mod migrate;
mod power;
mod registry;
mod workers;

conformance_on!(on_memory, crate::harness::Memory);
conformance_on!(on_embedded, crate::harness::Embedded);
conformance_on!(on_kafka, crate::kafka::Kafka);
