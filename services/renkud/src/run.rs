use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use runtime::config::Loaded;
use runtime::signals::Signals;
use runtime::{Edges, Tasks, failpoint, telemetry};

use crate::cli::{Cli, Command, ConfigCommand};
use crate::node::{Listeners, Node, Seams};
use crate::reference;
use crate::role::Role;
use crate::settings::Settings;
use crate::topics;

/// Left at once because of a second signal: 128 + SIGINT, as shells count.
const LEFT_AT_ONCE: u8 = 130;

/// Threads for async work. They wait for sockets and timers; everything heavy runs elsewhere.
const WORKER_THREADS: usize = 2;

/// Threads for blocking work: git, the store, the log. They go when idle.
const BLOCKING_THREADS: usize = 32;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The whole executable. `failpoints` is a plan for tests: `name=kill@3,…`.
pub fn main<I>(cli: Cli, environment: I, failpoints: Option<&str>) -> ExitCode
where
    I: IntoIterator<Item = (String, String)>,
{
    match dispatch(&cli, environment, failpoints) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "logs may not be set up yet, and a person may be at the terminal"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("renkud: {error:#}");
}

#[allow(clippy::print_stdout, reason = "these commands print")]
fn dispatch<I>(cli: &Cli, environment: I, failpoints: Option<&str>) -> Result<ExitCode>
where
    I: IntoIterator<Item = (String, String)>,
{
    if let Command::Reference { what } = &cli.command {
        print!("{}", reference::document(*what));
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = cli.flags.load(environment)?;
    let roles: Vec<Role> = match &cli.command {
        Command::Run { roles } => roles.clone(),
        _ => Role::ALL.to_vec(),
    };
    match &cli.command {
        Command::Config(ConfigCommand::Show) => print!("{}", loaded.show()?),
        Command::Config(ConfigCommand::Check) => {
            Settings::check(&loaded, &roles)?;
            println!("the settings are fine");
        }
        Command::Topics(command) => {
            let bus = loaded.settings.bus.check();
            bus.map_err(|fault| loaded.invalid(&format!("bus.{}", fault.key), fault.why.to_owned()))?;
            let runtime = async_runtime()?;
            print!("{}", runtime.block_on(topics::run(&loaded.settings, command))?);
        }
        Command::Up | Command::Run { .. } => return serve(&loaded, &roles, failpoints),
        Command::Reference { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn async_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("renkud")
        .enable_all()
        .build()
        .context("the async runtime does not start")
}

fn serve(loaded: &Loaded<Settings>, roles: &[Role], failpoints: Option<&str>) -> Result<ExitCode> {
    Settings::check(loaded, roles)?;
    telemetry::init(&loaded.settings.log)?;
    if let Some(spec) = failpoints.filter(|spec| !spec.is_empty()) {
        failpoint::arm_from_spec(spec).context("RENKU_FAILPOINTS")?;
        tracing::warn!(spec, "failpoints are armed: this process may end at any moment");
    }
    let runtime = async_runtime()?;
    let code = runtime.block_on(live(&loaded.settings, roles));
    // Threads that are still busy (a second signal) must not hold the process up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn live(settings: &Settings, roles: &[Role]) -> Result<ExitCode> {
    let mut signals = Signals::install().context("signals cannot be taken over")?;
    let edges = Edges::system();
    let tasks = Tasks::new();
    let listeners = Listeners::bind(settings, roles).await?;
    let starting = async {
        let seams = Seams::open(settings, roles, &edges).await?;
        Node::build(settings, roles, seams, edges.clone(), tasks.stop()).await
    };
    let node = tokio::select! {
        node = starting => node?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was over");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let running = node.run(listeners, tasks.clone())?;

    let failed = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            None
        }
        failure = tasks.failure() => {
            tracing::error!(%failure, "stopping because a task failed");
            Some(failure)
        }
    };
    let left = tokio::select! {
        left = running.stop() => left,
        signal = signals.next() => {
            tracing::warn!(signal, running = ?tasks.running(), "leaving at once");
            return Ok(ExitCode::from(LEFT_AT_ONCE));
        }
    };
    // A task may also have failed on the way out.
    let failed: Option<Arc<_>> = failed.or_else(|| tasks.first_failure());
    if let Some(failure) = failed {
        return Err(anyhow::anyhow!("{failure}"));
    }
    left?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
