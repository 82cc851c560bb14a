//! HTTP servers: a listener handed in, slow and greedy clients bounded, a stop that finishes what was begun.

mod admin;
mod listen;
mod serve;

pub use admin::{AdminToken, admin_router};
pub use listen::{AdminExposure, ExposureError, PublicExposure, TlsFiles};
pub use serve::{ServeError, ServeLimits, Tls, serve};
