//! `renkud` as the system tests start and kill it: built with them, so that it is never an old one.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let failpoints = std::env::var("RENKU_FAILPOINTS").ok();
    renkud::main(renkud::Cli::parse(), std::env::vars(), failpoints.as_deref())
}
