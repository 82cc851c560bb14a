//! From the log to the views: facts, graphs and status, each applied with its position in one transaction.
//!
//! The view never skips: what passes is waited for, what cannot be applied leaves a row that says why, and the graph
//! before it stays. Killed at any moment, it goes on from the positions of its last transaction. It writes nothing to the
//! bus, so a graph whose content is lost cannot be asked for again from here: the reject row and
//! `renku_view_rejects_total{code="blob-missing"}` tell an operator to have the project looked at again.
//!
//! [`Preparer`] and [`View`] are the two halves without any task: what a record changes, and applying it. [`GraphWriter`] is
//! the role around them.

mod asked;
mod batch;
mod buckets;
mod config;
mod content;
mod decode;
mod denials;
mod follow;
mod graphs;
mod lag;
mod large;
mod metrics;
mod moved;
mod prepare;
mod readiness;
mod replay;
mod service;
mod sorted;
mod start;
mod view;
mod work;
mod writing;

pub use asked::Asked;
pub use batch::{Newest, Read, newest, rank};
pub use buckets::{Inconsistent, PieceChanges, bits_of, changed, check_section, piece_changes};
pub use config::{Config, ConfigFault};
pub use metrics::METRICS;
pub use moved::Moving;
pub use prepare::{LargeItem, PrepareError, Prepared, Preparer};
pub use replay::{NotReplayed, Replays};
pub use service::{BuildError, GraphWriter, open_view};
pub use start::{Start, Why, start};
pub use view::{View, ViewError};
pub use work::{Applied, Batch, Committed, GraphChange, GraphItem, Item};
