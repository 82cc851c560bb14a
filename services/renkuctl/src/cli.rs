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
