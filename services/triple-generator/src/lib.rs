//! triple-generator: the newest commit's metadata becomes the pieces of the project's graph.
//!
//! A pure function with a cache: what it keeps (lists of files, decoded objects, names of pieces) makes the next push
//! cheap and can be lost at any time. [`plan`] decides what a turn comes to, [`maker`] makes pieces on a blocking thread,
//! [`publish`] stores them, [`newest`] knows what our own output holds.

mod buckets;
mod listing;
mod maker;
mod meters;
mod newest;
mod plan;
mod projects;
mod publish;
mod role;
mod source;
mod worker;

pub use maker::GENERATOR_VERSION;
pub use meters::METRICS;
pub use role::{BadSetting, BuildError, Config, TripleGenerator, build};
pub use worker::Generator;

/// The group, and the source of its records.
pub(crate) const ROLE: &str = "triple-generator";

/// Why a step outside of the pure part failed.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] bus::BusError),
    /// The blob store.
    #[error(transparent)]
    Blobs(#[from] blobs::BlobError),
    /// A record could not be written: a defect.
    #[error(transparent)]
    Encode(#[from] events::EncodeError),
    /// A failpoint.
    #[error(transparent)]
    Tripped(#[from] runtime::Tripped),
    /// A blocking thread ended: a defect, or the process is going.
    #[error("the work was cut off")]
    Thread(#[from] tokio::task::JoinError),
}

pub(crate) fn origin(at: model::Timestamp, traceparent: Option<&str>) -> bus::Origin<'_> {
    bus::Origin {
        source: ROLE,
        at,
        traceparent,
        id: None,
    }
}
