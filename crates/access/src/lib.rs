//! Who may see which projects: facts in, visible set out. Pure.
//!
//! A [`VisibleSet`] can be made here only, and every read of the store takes one. A caller without a set is a
//! programming error that does not compile.

mod caller;
mod denial;
mod visible;

pub use caller::{Caller, Grant, ServiceScope};
pub use denial::{Denial, GroupPath};
pub use visible::{Denied, Membership, Moment, ProjectAccess, VisibleSet, Why, why};
