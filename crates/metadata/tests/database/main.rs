//! The metadata reader against recorded repositories, made-up ones, and damaged ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod damage;
mod incremental;
mod made_up;
mod recorded;
mod refusals;
mod source;
