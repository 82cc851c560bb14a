//! A stand-in for GitLab: projects with real git repositories over HTTP (git's own `http-backend`), the REST calls that
//! the platform makes, and hooks that fire on a push with GitLab's headers and payloads. Faults can be switched on.
//!
//! It is for tests, demonstrations and load: it listens on loopback alone, and forgets everything but the repositories'
//! folder when it ends. [`Sim`] is the in-process form; the executable has the same under `/sim/…`.

mod access;
mod api;
mod api_repository;
mod archive;
mod cgi;
mod control;
mod deliver;
mod error;
mod faults;
mod git_http;
mod payload;
mod repository;
mod shape;
mod sim;
mod world;

pub use control::{Change, Commit, NewProject, NewUser};
pub use deliver::{Delivery, Via};
pub use error::SimError;
pub use faults::{Fault, HookFaults, Surface};
pub use sim::{Sim, SimSettings};
pub use world::{Counters, HookTarget};
