//! What tests of the whole stand on: the fixture repositories, the graphs they must become, and waiting without luck.
//!
//! For tests only: everything here fails by panicking.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and this crate is for tests"
)]

mod eventually;
mod fixtures;
mod git;
mod graph;
mod ports;

pub use eventually::eventually;
pub use fixtures::{Export, Fixture, fixtures, fixtures_folder};
pub use git::Git;
pub use graph::{Commit, ExpectedGraph, Failing};
pub use ports::free_port;
