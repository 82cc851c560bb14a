//! `renkuctl`: for people. Reads repositories on this machine and makes the tokens of hooks. See `renkuctl help`.

mod admin;
mod cli;
mod graph;
mod hooks;
mod operators;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Blobs, Cli, Command, Graph, Hooks, Views};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let token = variable("RENKU_ADMIN_TOKEN");
    let desk = || operators::Desk::new(&cli.admin, token.as_deref(), cli.json);
    let done = match &cli.command {
        Command::Graph(Graph::Export(arguments)) => {
            graph::export(arguments, variable("RENKU_DOMAIN").as_deref())
        }
        Command::Hooks(Hooks::Token(arguments)) => {
            hooks::token(arguments, variable("RENKU__HOOKS__SECRETS").as_deref())
        }
        Command::Positions(arguments) => desk().and_then(|desk| desk.positions(arguments)),
        Command::Parked(command) => desk().and_then(|desk| desk.parked(command)),
        Command::Views(Views::Rejects) => desk().and_then(|desk| desk.rejects()),
        Command::Access(command) => desk().and_then(|desk| desk.access(command)),
        Command::Blobs(Blobs::Sweep { dry_run }) => desk().and_then(|desk| desk.sweep(*dry_run)),
        Command::Replay(arguments) => desk().and_then(|desk| desk.replay(arguments)),
        Command::Rebuild(arguments) => desk().and_then(|desk| desk.rebuild(arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut text = format!("Error: {}", failure.error);
            for cause in failure.error.chain().skip(1) {
                text.push_str(&format!(": {cause}"));
            }
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(failure.code)
        }
    }
}

/// An error, and what the process exits with.
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
