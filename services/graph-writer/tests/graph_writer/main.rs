//! The graph-writer over a log, blobs and a view of its own, in process; and killed in a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod faults;
mod interleavings;
mod kills;
mod main_path;
mod replay;
mod rig;
