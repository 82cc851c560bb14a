//! The query service over a view that a writer filled, in process; some over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

/// As in the executable: without it queries have no bound of memory.
#[global_allocator]
static ALLOCATOR: store::Counting<std::alloc::System> = store::Counting(std::alloc::System);

mod hostile;
mod identity;
mod memory;
mod negotiation;
mod positions;
mod protocol;
mod revocation;
mod rig;
mod shapes;
mod wire;
