//! The executable as a library: settings, the data folder, and how roles are put together, started and stopped.

mod cli;
mod data_folder;
mod node;
mod reference;
mod role;
mod roles;
mod run;
mod settings;
mod topics;

pub use cli::{Cli, Command, ConfigCommand, Flags, Reference, TopicsCommand};
pub use data_folder::DataFolder;
pub use node::{Listeners, Node, Running, Seams};
pub use role::Role;
pub use run::main;
pub use settings::{AdminSettings, BusKind, BusSettings, GitLabSettings, RdfSettings, Settings};
