//! Benchmarks: the pipeline and its parts against what they replace, measured side by side in one run.

pub mod access;
pub mod bar;
pub mod export;
pub mod intake;
pub mod kafka;
pub mod machine;
pub mod measure;
pub mod peer;
pub mod pipeline;
pub mod renku_repo;
pub mod seeded;
pub mod stats;
pub mod store;
pub mod table;
