//! The store against its oracle (an in-memory RDF merge in Oxigraph), against itself rebuilt, and against being killed.

mod changes;
mod crash;
mod merge;
mod opening;
mod queries;
mod support;
mod w3c;
