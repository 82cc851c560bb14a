//! commit-fetcher: "look at project N" becomes facts and the newest commit with its metadata.
//!
//! * [`look`] decides, purely: what to ask, and what to write in which order;
//! * [`edges`] is what it asks: GitLab for facts, git for content;
//! * [`worker`] carries a look out for the events that the bus gives it.

pub mod edges;
pub mod facts;
pub mod look;
pub mod memory;
pub mod request;
#[cfg(test)]
mod samples;
