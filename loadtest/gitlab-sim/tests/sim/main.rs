//! The stand-in against real clients: the `git` program, the platform's REST client, the platform's fetching.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod api;
mod examples;
mod fetch;
mod fetching;
mod push;
mod stage;
mod trouble;
