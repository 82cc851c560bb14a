//! `gitlab-sim`: the stand-in GitLab as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use gitlab_sim::{HookTarget, Sim, SimSettings};
use runtime::Tasks;
use runtime::signals::Signals;
use runtime::telemetry::{self, LogConfig};

/// A stand-in for GitLab: real git over HTTP, the REST calls of the platform, hooks, and faults on demand (/sim/…).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; loopback only.
    #[arg(long, default_value = "127.0.0.1:8929")]
    listen: SocketAddr,
    /// Folder for repositories; without it a temporary one is used.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The administrator's token, for gitlab.token and for pushes (user oauth2).
    #[arg(
        long,
        env = "GITLAB_SIM_TOKEN",
        default_value = "glpat-sim-service",
        hide_env_values = true
    )]
    token: String,
    /// Where to send the system hook, e.g. http://127.0.0.1:8080/webhooks/events
    #[arg(long)]
    system_hook_url: Option<String>,
    /// The system hook's token (`renkuctl hooks token --system`).
    #[arg(long, env = "GITLAB_SIM_HOOK_TOKEN", hide_env_values = true)]
    system_hook_token: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::init(&LogConfig::default())?;
    let mut signals = Signals::install()?;
    let tasks = Tasks::new();
    let system_hook = arguments.system_hook_url.map(|url| HookTarget {
        url,
        token: arguments.system_hook_token,
    });
    let settings = SimSettings {
        listen: arguments.listen,
        folder: arguments.data,
        token: arguments.token,
        system_hook,
        ..SimSettings::default()
    };
    let sim = Sim::start(settings, &tasks).await?;
    tracing::info!(url = sim.url(), "gitlab-sim is up");
    tokio::select! {
        failure = tasks.failure() => anyhow::bail!("{failure}"),
        signal = signals.next() => tracing::info!(signal, "stopping"),
    }
    tasks.stop_and_drain(Duration::from_secs(10)).await?;
    Ok(())
}
