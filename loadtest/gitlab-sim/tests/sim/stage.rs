use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use gitlab_sim::{HookTarget, Sim, SimSettings};
use parking_lot::Mutex;
use runtime::Tasks;
use serde_json::Value;

/// What a receiver of hooks saw.
pub type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

pub struct Stage {
    pub sim: Sim,
    pub seen: Seen,
    /// Where the receiver of hooks is.
    pub receiver: String,
    pub tasks: Tasks,
    pub folder: tempfile::TempDir,
}

/// A stand-in whose system hook goes to a receiver that remembers.
pub async fn stage() -> Stage {
    let tasks = Tasks::new();
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/events", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/webhooks/events", post(receive))
        .with_state(seen.clone());
    let stop = tasks.stop().clone();
    tasks.spawn("receiver", async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.requested().await })
            .await
    });
    let system_hook = Some(HookTarget {
        url: url.clone(),
        token: Some("system-token".into()),
    });
    let sim = Sim::start(
        SimSettings {
            system_hook,
            ..SimSettings::default()
        },
        &tasks,
    )
    .await
    .unwrap();
    Stage {
        sim,
        seen,
        receiver: url,
        tasks,
        folder: tempfile::tempdir().unwrap(),
    }
}

async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap) {
    seen.lock().push((headers, serde_json::from_str(&body).unwrap()));
    let mut answer = HeaderMap::new();
    answer.insert(
        "renku-position",
        "renku.push-events.v1/3@42;project=7".parse().unwrap(),
    );
    (StatusCode::ACCEPTED, answer)
}

impl Stage {
    /// Waits for so many hooks of a kind.
    pub async fn hooks(&self, kind: &str, at_least: usize) -> Vec<(HeaderMap, Value)> {
        let of_kind = || -> Vec<_> {
            self.seen
                .lock()
                .iter()
                .filter(|(_, body)| body["event_name"] == kind)
                .cloned()
                .collect()
        };
        until(|| of_kind().len() >= at_least).await;
        of_kind()
    }

    pub async fn end(self) {
        self.sim.stop().await;
        self.tasks.stop_and_drain(Duration::from_secs(10)).await.unwrap();
        assert!(self.tasks.first_failure().is_none());
    }
}

/// Waits for a condition, for ten seconds at most.
pub async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the condition did not come true");
}

/// Runs git; gives what it printed.
pub async fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::from(command(folder, arguments))
        .output()
        .await
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for (role, name) in [("AUTHOR", "Ann"), ("COMMITTER", "Ann")] {
        command
            .env(format!("GIT_{role}_NAME"), name)
            .env(format!("GIT_{role}_EMAIL"), "ann@example.com");
    }
    command
}

/// Files of a commit, as text.
pub fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    pairs
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())))
        .collect()
}
