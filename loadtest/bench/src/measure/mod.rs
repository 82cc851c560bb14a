//! What a process cost: CPU seconds, wall time, memory.

pub mod child;
pub mod service;
