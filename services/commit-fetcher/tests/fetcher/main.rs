//! The role over a real embedded log: first with a GitLab in memory that can be held and made to fail, then with
//! gitlab-sim, real git and the real clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod gitlab;
mod groups;
mod looks;
mod stack;
mod troubles;
