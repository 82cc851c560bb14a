//! `bench`: runs one benchmark, or makes the data for one.

use std::path::PathBuf;

use bench::renku_repo::{Shape, write_repository};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Benchmarks of the pipeline and its parts against what they replace")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a bare git repository of a generated renku project.
    Repo {
        #[arg(long, default_value_t = 1_000)]
        activities: usize,
        /// Commits after the first one, each one more activity.
        #[arg(long, default_value_t = 0)]
        pushes: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value = "bench/generated")]
        slug: String,
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().what {
        What::Repo {
            activities,
            pushes,
            seed,
            slug,
            folder,
        } => {
            write_repository(
                &Shape {
                    seed,
                    slug,
                    activities,
                },
                pushes,
                &folder,
            )?;
        }
    }
    Ok(())
}
