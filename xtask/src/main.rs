//! Chores of this repository: checks that the compiler cannot make, generated documents, the demo.
//! `cargo run -q -p xtask -- help` lists them.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people at a terminal"
)]

mod alerts;
mod arrows;
mod demo;
mod deny;
mod house;
mod idle;
mod metadata;
mod process;
mod reference;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Chores of this repository")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Are the arrows between our crates as they should be?
    Deps,
    /// Licences and owners of what is linked, as deny.toml says.
    Deny,
    /// Do the files in topics/ make sense?
    Topics,
    /// Alert rules and dashboards: promtool's checks and tests, metrics, runbook.
    Alerts,
    /// Rules of the house: file sizes, names, leftovers.
    House,
    /// Writes docs/metrics.md from the roles' catalogues (or says whether it is up to date).
    Metrics {
        /// Only compare.
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/configuration.md from the settings' types (or says whether it is up to date).
    Config {
        /// Only compare.
        #[arg(long)]
        check: bool,
    },
    /// Pushes the example repositories through a running system and shows what it knows then.
    Demo(demo::Options),
    /// Measures what an idle `renkud up` costs.
    Idle(idle::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in &faults {
                eprintln!("  {fault}");
            }
            eprintln!("{} fault(s)", faults.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<Vec<String>> {
    let root = root()?;
    match chore {
        Chore::Deps => Ok(arrows::faults(&metadata::Workspace::read(&root)?)),
        Chore::Deny => deny::faults(&root, &metadata::Workspace::read(&root)?),
        Chore::Topics => topics::faults(&root),
        Chore::Alerts => alerts::faults(&root),
        Chore::House => house::faults(&root),
        Chore::Metrics { check } => reference::write(&root, reference::METRICS, check),
        Chore::Config { check } => reference::write(&root, reference::CONFIGURATION, check),
        Chore::Demo(options) => demo::run(&root, &options).map(|()| Vec::new()),
        Chore::Idle(options) => idle::run(&root, &options),
    }
}

/// The root of the repository: where this crate's folder lies.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .map(PathBuf::from)
        .context("xtask lies in no folder")
}
