//! The query service over a view that a writer filled, in process; some over real connections.

mod hostile;
mod negotiation;
mod positions;
mod protocol;
mod rig;
mod shapes;
mod wire;
