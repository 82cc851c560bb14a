//! The whole stack: git pushes over HTTP to a stand-in for GitLab, hooks, `renkud up` as a process of its own, SPARQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints"
)]

mod access;
mod collector;
mod kafka;
mod kills;
mod main_path;
mod node;
mod soak;
mod stack;
mod traces;
