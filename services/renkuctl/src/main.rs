//! `renkuctl`: for people. Reads repositories on this machine and makes the tokens of hooks. See `renkuctl help`.

mod cli;
mod graph;
mod hooks;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, Graph, Hooks};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Graph(Graph::Export(arguments)) => {
            graph::export(&arguments, variable("RENKU_DOMAIN").as_deref())
        }
        Command::Hooks(Hooks::Token(arguments)) => {
            hooks::token(&arguments, variable("RENKU__HOOKS__SECRETS").as_deref())
        }
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
