//! Reads over HTTP: SPARQL, a project, how far its events came. Every answer is made of one snapshot of the views, and
//! of what its caller may see in it.
//!
//! The public listener knows anonymous callers only. On the admin listener the bearer of the admin token is the
//! administrator; without a configured token nobody is. There is no CORS: pages of other origins read through the
//! gateway.

mod asker;
mod config;
mod covered;
mod description;
mod details;
mod metrics;
mod negotiate;
mod nesting;
mod own_words;
mod prober;
mod progress;
mod protocol;
mod reads;
mod refusal;
mod service;
mod sparql;
mod stream;

pub use config::{Config, ConfigFault};
pub use metrics::METRICS;
pub use service::{BuildError, QueryService, open_view};
