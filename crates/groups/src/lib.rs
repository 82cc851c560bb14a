//! A role's membership in its consumer group: the worker's loop as a supervised task, and beside it one that measures
//! what the group has not done yet. Told under the same names for every group.

mod measuring;
mod membership;
mod meters;
mod parked;

pub use membership::Membership;
pub use meters::METRICS;
