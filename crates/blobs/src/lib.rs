//! Claim-checked values: what is too large for a record is stored here under a name that is a function of its content.
//!
//! Rules every implementation keeps (`tests/conformance.rs` runs on all):
//! * when `put_many` returns, all of it is durable;
//! * what is read is what was put, or an error: content is checked against its name;
//! * use refreshes a value's age, so that a sweep by age takes nothing that is in use.

mod error;
mod folder;
mod memory;
mod seam;
mod verify;

pub use error::BlobError;
pub use folder::{FolderBlobs, SMALL};
pub use memory::MemoryBlobs;
pub use seam::Blobs;
pub use verify::{digest_name, git_name};
