//! The intake: GitLab's hooks become records.
//!
//! A hook is answered `202` only when the log has its record; from then on it cannot be lost. What a hook says is a
//! hint ("look at project N"): doubled, late and missing hooks are harmless.

mod config;
mod decide;
mod denials;
mod http;
mod metrics;

pub use config::{Config, ConfigFault};
pub use decide::{Decision, Recorded, Refusal, Sent, decide};
pub use http::{BuildError, WebhookService};
pub use metrics::METRICS;
