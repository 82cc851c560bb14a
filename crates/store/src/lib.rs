//! The views' storage: a dictionary-encoded quad index on LMDB under Oxigraph's SPARQL engine, and beside the quads, in the
//! same transactions, access facts, positions, pieces and status.
//!
//! * [`Writer`] (one per folder): [`WriteBatch`] changes data, facts and positions in one transaction.
//! * [`Reader`]: a [`Snapshot`] sees all of one moment; every read takes the caller's [`access::VisibleSet`].
//! * What a caller sees is decided where quads are read, not by rewriting queries.

mod answer;
mod answered;
mod bounded;
mod canary;
mod change;
mod complexity;
mod dataset;
mod dictionary;
mod digest;
mod environment;
mod error;
mod faults;
mod guard;
mod inline;
mod interning;
mod inventory;
mod large;
mod lexical;
mod memory;
mod metered;
mod names;
mod naming;
mod ntriples;
mod order;
mod quads;
mod query;
mod read_rows;
mod reader;
mod rewrite;
mod rights;
mod row;
mod scan;
mod scope;
mod sorted;
mod tables;
mod term_id;
mod triples;
mod values;
mod view;
mod writer;

pub use answer::{RowFormat, TripleFormat};
pub use answered::{Answered, LeftOut, Needs, ProjectNotes};
pub use canary::CanaryLook;
pub use change::{
    Difference, Facts, FactsMember, GraphState, LiveFacts, Pending, Piece, PieceKey, Verdict, decide,
};
pub use complexity::TooComplex;
pub use environment::{StoreOptions, open, open_reader};
pub use error::StoreError;
pub use inventory::{Inventory, Stock};
pub use large::LargeLoad;
pub use memory::{Counting, query_heap_bytes};
pub use names::PLACEHOLDER;
pub use query::{Answer, Query, QueryError, QueryForm, QueryLimits, Rows, SyntaxError, Triples};
pub use reader::{Reader, Snapshot};
pub use view::Stop;
pub use writer::{FactsApplied, WriteBatch, Writer};
