//! The graph-writer over a log, blobs and a view of its own, in process; and killed in a process of its own.

mod faults;
mod interleavings;
mod kills;
mod main_path;
mod rig;
