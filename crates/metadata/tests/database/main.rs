//! The metadata reader against recorded repositories, made-up ones, and damaged ones.

mod damage;
mod incremental;
mod made_up;
mod recorded;
mod refusals;
mod source;
