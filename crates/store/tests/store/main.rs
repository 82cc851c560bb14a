//! The store against its oracle (an in-memory RDF merge in Oxigraph), against itself rebuilt, and against being killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it could not try"
)]

mod changes;
mod crash;
mod forged;
mod leak;
mod merge;
mod opening;
mod queries;
mod rights;
mod support;
mod w3c;
