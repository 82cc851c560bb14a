//! Reads over HTTP: SPARQL, a project, how far its events came. Every answer is made of one snapshot of the views.

mod details;
mod negotiate;
mod progress;
mod protocol;
mod stream;
