//! RDF for the pipeline and for export: the vocabulary, the IRIs that we make, a compact graph of interned terms,
//! the one serializer of terms, pieces, and the writers of the export formats.
//!
//! No I/O of its own: writers take anything that implements [`std::io::Write`].

mod by_text;
mod canonical;
mod dot;
mod graph;
mod hashing;
mod iri;
mod jsonld;
mod literal;
mod piece;
mod rdfxml;
mod turtle;
mod vocab;
mod write;

pub use canonical::{write_iri, write_literal};
pub use graph::{Graph, Kind, TermId, TermRef, TooLarge};
pub use iri::{
    GENID_PATH, Host, NotAHost, PROJECT_PLACEHOLDER, RESERVED_PREFIX, graph_iri, is_absolute_iri, is_iriref,
    skolem_iri,
};
pub use jsonld::plain_in_json;
pub use literal::{double_from_json, double_to_json};
pub use piece::{Dropped, Piece, digest_of};
pub use vocab::{Known, PREFIXES};
pub use write::{Format, NotAFormat, WriteError};
