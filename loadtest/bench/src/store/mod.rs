//! `bench store`: our store against Oxigraph's own, same data, same queries, one run.

pub mod data;
pub mod files;
pub mod queries;
mod report;
mod run;
pub mod served;
pub mod worker;

pub use run::{Settings, run};
