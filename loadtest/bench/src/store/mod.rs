//! `bench store`: our store against Oxigraph's own, same data, same queries, one run.

pub mod data;
pub mod files;
mod queries;
