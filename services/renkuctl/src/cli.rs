use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use model::ProjectId;
use rdf::Format;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "renkuctl",
    version,
    about = "Renku's knowledge graph, for people",
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Where operators' commands ask: the admin listener of a renkud.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "RENKU_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    pub(crate) admin: String,
    /// JSON instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The graph of a repository.
    #[command(subcommand)]
    Graph(Graph),
    /// GitLab's hooks.
    #[command(subcommand)]
    Hooks(Hooks),
    /// Where every reader of the log stands (operators).
    ///
    /// Operators' commands send the token in RENKU_ADMIN_TOKEN, if it is set.
    /// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 refused; 5 unreachable.
    Positions(Positions),
    /// Records that workers rejected (operators).
    #[command(subcommand)]
    Parked(Parked),
    /// The views of a node (operators).
    #[command(subcommand)]
    Views(Views),
    /// Values that are too large for a record (operators).
    #[command(subcommand)]
    Blobs(Blobs),
    /// Who may see what, and why (operators).
    #[command(subcommand)]
    Access(Access),
    /// Make graphs again from git (operators).
    Rebuild(Rebuild),
    /// Have a view read the log again: what was left out gets another try (operators).
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Positions {
    /// Also the digest of the graph view, which is equal on all nodes that have applied the same.
    #[arg(long)]
    pub(crate) digest: bool,
    /// Only readers that are behind.
    #[arg(long)]
    pub(crate) behind: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Parked {
    /// List what was not dealt with.
    List(ParkedFilter),
    /// Show one record with its headers and its value.
    Show {
        /// As the list names it, e.g. renku.commits.v1/3@17.
        id: String,
    },
    /// Send records to their topic again: what was wrong is mended.
    Requeue(ParkedChoice),
    /// Never try them again.
    Drop(ParkedChoice),
}

#[derive(Debug, Args)]
pub(crate) struct ParkedFilter {
    /// Of this topic.
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Of this project, by its number.
    #[arg(long)]
    pub(crate) project: Option<ProjectId>,
    /// With this reason, e.g. migration-needed.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Whose it is: caller, upstream or us.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// No more than so many.
    #[arg(long)]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ParkedChoice {
    /// As the list names them.
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: ParkedFilter,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Tell from which fact and record it follows that somebody sees a project, or does not.
    Explain {
        /// By its number or its path.
        #[arg(long, value_name = "ID|SLUG")]
        project: String,
        /// By the number in GitLab; left out: somebody who is not signed in.
        #[arg(long, value_name = "ID")]
        user: Option<u32>,
    },
    /// Who may see a project.
    Who {
        /// By its number or its path.
        #[arg(long, value_name = "ID|SLUG")]
        project: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blobs {
    /// Remove blobs that no record names and that are older than any record that is kept.
    ///
    /// It happens every day by itself, in commit-fetcher.
    Sweep {
        /// Only tell what would go, of the oldest 100,000.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Views {
    /// Records that the graph view left out, and why.
    Rejects,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct Which {
    /// One project, by its number or its path.
    #[arg(long, value_name = "ID|SLUG")]
    pub(crate) project: Option<String>,
    /// Every project.
    #[arg(long)]
    pub(crate) all: bool,
    /// Nothing new: tell how far this campaign is.
    #[arg(long, value_name = "CAMPAIGN")]
    pub(crate) campaign: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum View {
    /// The graph with its access facts and the status of pushes.
    Graph,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Which view.
    pub(crate) view: View,
    /// Empty it first: it answers nothing of what it has not read again yet. For a view that is wrong in itself.
    #[arg(long)]
    pub(crate) from_empty: bool,
    /// Stay until it has read all that is in the log now, and tell how it goes.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Stay until every graph is made and in the view, and tell how it goes.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Graph {
    /// Print the RDF of a repository, as `renku graph export` does.
    ///
    /// Reads the newest commit of the current branch, from a work tree or a bare clone, without a checkout. IRIs are put
    /// under the host of the repository's remote; RENKU_DOMAIN sets another one.
    ///
    /// Exit codes: 0 done; 1 failed; 2 not a renku project, or wrong usage; 3 the metadata has to be migrated;
    /// 4 the metadata is of a newer version.
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The repository.
    #[arg(default_value = ".")]
    pub(crate) repo: PathBuf,
    /// Only what a commit (A) or a range of commits (A..B) changed.
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// Everything, which is the default; overrides --revision.
    #[arg(short, long)]
    pub(crate) full: bool,
    /// json-ld, n-triples, turtle, rdf (RDF/XML) or dot; also jsonld, nt, ttl, xml.
    #[arg(long, default_value = "json-ld", value_parser = format)]
    pub(crate) format: Format,
    /// Not offered: the graph is not validated.
    #[arg(long, hide = true)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
    /// Print the token for a project's hook, or for the system hook: what GitLab has to send as its secret token.
    Token(Token),
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// GitLab's number of the project.
    #[arg(required_unless_present = "system", conflicts_with = "system")]
    pub(crate) project_id: Option<ProjectId>,
    /// The token of the system hook.
    #[arg(long)]
    pub(crate) system: bool,
    /// The TOML file that has hooks.secrets; the first one signs. RENKU__HOOKS__SECRETS overrides it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

fn format(text: &str) -> Result<Format, rdf::NotAFormat> {
    text.parse()
}
