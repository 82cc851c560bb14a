//! What every process of the system stands on: settings, logs, metrics, health, supervised tasks, two listeners,
//! clock and randomness, failpoints, graceful stop. It knows no word of the domain but a moment and a secret.
//!
//! Clock, ids and randomness are handed in everywhere; only this crate and the mains touch the real ones.

pub mod clock;
pub mod config;
pub mod disk;
mod edges;
pub mod failpoint;
pub mod health;
pub mod http;
pub mod metrics;
pub mod process;
pub mod randomness;
pub mod signals;
pub mod stop;
pub mod tasks;
pub mod telemetry;
pub mod trace_context;
pub mod traces;
pub mod upkeep;

pub use clock::{Clock, ManualClock, SystemClock};
pub use edges::Edges;
pub use failpoint::Tripped;
pub use health::{Component, Health};
pub use metrics::{MetricKind, MetricSpec, Metrics};
pub use randomness::{OsRandomness, Randomness, SeededRandomness};
pub use stop::Stop;
pub use tasks::{BoxError, TaskFailure, Tasks};
pub use trace_context::TraceContext;
pub use traces::{Span, Traces};
