use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use runtime::config::{Layers, Loaded};

use crate::role::Role;
use crate::settings::Settings;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "renkud",
    version,
    about = "The Renku graph pipeline: hooks in, a queryable knowledge graph out"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the settings come from.
    #[command(flatten)]
    pub flags: Flags,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all roles in this process.
    Up,
    /// Runs the named roles in this process.
    Run {
        /// Which.
        #[arg(required = true, value_name = "ROLE")]
        roles: Vec<Role>,
    },
    /// Looks at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks after the topics of the bus.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Writes a reference document.
    #[command(hide = true)]
    Reference {
        /// Which.
        what: Reference,
    },
}

/// `renkud config …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Says whether `renkud up` would start with these settings.
    Check,
    /// Prints all settings, where each comes from, and no secret.
    Show,
}

/// `renkud topics …`
#[derive(Debug, Clone, Subcommand)]
pub enum TopicsCommand {
    /// Prints what `apply` would make or change.
    Plan(ApplyTopics),
    /// Makes missing topics and takes over clean-up rules. Never adds partitions.
    Apply(ApplyTopics),
    /// Prints what the bus has.
    Describe,
    /// Copies a topic to its next version, and carries the positions of groups and of this node's view over.
    ///
    /// Stop who writes and who reads it first. Broken off, the same command goes on. The old topic stays.
    Migrate(MigrateTopic),
}

/// `renkud topics migrate`
#[derive(Debug, Clone, Args)]
pub struct MigrateTopic {
    /// The old topic, e.g. renku.projects.v1.
    pub from: String,
    /// Its next version, e.g. renku.projects.v2. It is made if it is not there.
    pub to: String,
    /// Partitions of the new topic [default: as declared, or as the old one has].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Do it; without, only tell what would be done.
    #[arg(long)]
    pub yes: bool,
}

/// What else `apply` does, on Kafka.
#[derive(Debug, Clone, Default, Args)]
pub struct ApplyTopics {
    /// Also allow each role what its topics say, one user a role.
    #[arg(long)]
    pub access_rules: bool,
    /// Delete this topic, which must not be declared; name it again with --really-delete.
    #[arg(long, value_name = "TOPIC")]
    pub delete: Vec<String>,
    /// The same topic again. All its records are lost.
    #[arg(long, value_name = "TOPIC")]
    pub really_delete: Vec<String>,
}

/// `renkud reference …`
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Reference {
    /// The metrics of all roles.
    Metrics,
    /// All settings.
    Configuration,
    /// The names of all failpoints, one a line.
    Failpoints,
}

/// Flags that are settings, and the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Folder for the log, the blobs and the views [default: ./data].
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<String>,
    /// Public listener [default: 127.0.0.1:8080].
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Listener for metrics, health and administration [default: 127.0.0.1:8081].
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub admin_listen: Option<String>,
    /// TOML file with settings. Every key can also be given as RENKU__SECTION__KEY.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Flags {
    /// Reads the settings: defaults, the file, the environment, these flags.
    pub fn load<I>(&self, environment: I) -> Result<Loaded<Settings>>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        let mut layers = Layers::new().knowing(crate::reference::setting_keys());
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        layers = layers.environment(environment)?;
        for (flag, key, value) in [
            ("--data", "data", &self.data),
            ("--listen", "listen", &self.listen),
            ("--admin-listen", "admin_listen", &self.admin_listen),
        ] {
            if let Some(value) = value {
                layers = layers.flag(flag, key, value);
            }
        }
        Ok(layers.load()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from([
            "renkud",
            "run",
            "graph-writer",
            "query-service",
            "--data",
            "/tmp/x",
        ]);
        let loaded = cli
            .flags
            .load([("RENKU__DATA".to_owned(), "/tmp/y".to_owned())])
            .unwrap();
        assert_eq!(loaded.settings.data, PathBuf::from("/tmp/x"));
        assert_eq!(loaded.source_of("data").to_string(), "--data");
    }
}
