//! The query service over a view that a writer filled, in process; some over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod hostile;
mod negotiation;
mod positions;
mod protocol;
mod rig;
mod shapes;
mod wire;
