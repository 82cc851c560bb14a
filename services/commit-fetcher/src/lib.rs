//! commit-fetcher: "look at project N" becomes facts and the newest commit with its metadata.
//!
//! * [`look`] decides, purely: what to ask, and what to write in which order;
//! * [`edges`] is what it asks: GitLab for facts, git for content;
//! * [`Fetcher`] carries a look out for the events that the bus gives it;
//! * [`build`] and [`CommitFetcher::run`] are the role.

mod content_source;
mod denials;
mod directory;
pub mod edges;
pub mod facts;
mod facts_source;
mod failure;
pub mod look;
#[cfg(test)]
mod look_examples;
#[cfg(test)]
mod look_tests;
pub mod memory;
mod meters;
mod own_output;
pub mod publish;
pub mod request;
mod role;
#[cfg(test)]
mod samples;
pub mod sections;
mod worker;

pub use content_source::GitContent;
pub use facts_source::GitLabFacts;
pub use meters::METRICS;
pub use role::{BadSetting, BuildError, CommitFetcher, Config, build};
pub use worker::{Fetcher, Sources};
