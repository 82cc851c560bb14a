//! The executable as a process, against what the real CLI printed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod export;
mod hooks;
mod recorded;
