//! The executable as a library: settings, the data folder, and how roles are put together, started and stopped.

mod blob_settings;
mod bus_settings;
mod cli;
mod data_folder;
mod kafka_settings;
mod node;
mod open_bus;
mod reference;
mod role;
mod roles;
mod run;
mod settings;
mod topics;
mod topics_migrate;

pub use blob_settings::{BlobSettings, BlobUrlFault};
pub use bus_settings::{BusFault, BusKind, BusSettings};
pub use cli::{ApplyTopics, Cli, Command, ConfigCommand, Flags, MigrateTopic, Reference, TopicsCommand};
pub use data_folder::DataFolder;
pub use kafka_settings::KafkaSettings;
pub use node::{Listeners, Node, Running, Seams};
pub use open_bus::OpenBus;
pub use role::Role;
pub use run::main;
pub use settings::{AdminSettings, GitLabSettings, RdfSettings, Settings};
