//! The database that the `renku` CLI keeps in a repository's `.renku/metadata`: bytes in, RDF out.
//!
//! No git, no file system, no network: an [`ObjectSource`] hands in the bytes of a file by its path. The output of
//! [`export_full`] and [`export_revision`] is isomorphic to what `renku graph export` (release 2.9.4) prints.

mod body;
mod class;
mod context;
mod decode;
mod document;
mod emit;
mod error;
mod expand;
mod export;
mod full;
mod inflate;
mod json;
mod object;
mod oid;
mod pieces;
mod reader;
mod revision;
mod source;
mod version;

pub use error::{Damage, MetadataError, RENKU_VERSION, SUPPORTED_VERSION, SourceError};
pub use export::MAX_OBJECTS;
pub use full::export_full;
pub use inflate::MAX_OBJECT_BYTES;
pub use pieces::{MAX_TRIPLES, PiecesChange, ProjectPieces};
pub use revision::export_revision;
pub use source::ObjectSource;
