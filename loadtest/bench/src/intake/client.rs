//! Somebody who sends hooks as GitLab does: over connections that are kept, each with a body of its own project.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gitlab::{HookScope, HookTokens};
use model::Secret;
use serde_json::json;
use tokio::runtime::Runtime;

use super::server::SECRET;

/// Connections of the closed loop.
pub(super) const CONNECTIONS: usize = 64;
const PROJECTS: u64 = 10_000;

pub(super) struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    token: String,
    bodies: Arc<Vec<String>>,
}

/// What a window of sending came to.
pub(super) struct Window {
    pub(super) per_second: f64,
    pub(super) sent: u64,
}

impl Client {
    pub(super) fn new() -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tokens = HookTokens::new(vec![Secret::new(SECRET)])?;
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(4 * CONNECTIONS)
                .tcp_nodelay(true)
                .build()?,
            token: tokens.token(HookScope::System).expose().to_owned(),
            bodies: Arc::new((1..=1_000).map(body).collect()),
        })
    }

    async fn send(&self, port: u16, number: u64) -> anyhow::Result<()> {
        let body = self.bodies[(number % PROJECTS) as usize % self.bodies.len()].clone();
        let answer = self
            .http
            .post(format!("http://127.0.0.1:{port}/webhooks/events"))
            .header("content-type", "application/json")
            .header("x-gitlab-token", &self.token)
            .body(body)
            .send()
            .await?;
        anyhow::ensure!(answer.status().as_u16() == 202, "answered {}", answer.status());
        answer.bytes().await?;
        Ok(())
    }

    /// As fast as the answers come, for so long.
    pub(super) fn closed(&self, port: u16, within: Duration) -> anyhow::Result<Window> {
        self.runtime.block_on(async {
            let began = Instant::now();
            let mut number = 0;
            let mut under_way = FuturesUnordered::new();
            let mut sent = 0;
            loop {
                while under_way.len() < CONNECTIONS && began.elapsed() < within {
                    under_way.push(self.send(port, number));
                    number += 1;
                }
                match under_way.next().await {
                    Some(done) => done?,
                    None => break,
                }
                sent += 1;
            }
            let per_second = sent as f64 / began.elapsed().as_secs_f64();
            Ok(Window { per_second, sent })
        })
    }

    /// By the clock, whatever becomes of those before. The times from when each was due to its answer, seconds.
    pub(super) fn open(&self, port: u16, rate: f64, count: u64) -> anyhow::Result<Vec<f64>> {
        self.runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let mut under_way = FuturesUnordered::new();
            let mut times = Vec::new();
            let mut number = 0;
            while number < count || !under_way.is_empty() {
                let due = began + Duration::from_secs_f64(number as f64 / rate);
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(due), if number < count => {
                        under_way.push(async move {
                            self.send(port, number).await?;
                            anyhow::Ok(due.elapsed().as_secs_f64())
                        });
                        number += 1;
                    }
                    Some(time) = under_way.next() => times.push(time?),
                }
            }
            Ok(times)
        })
    }
}

/// A push hook of one commit, as GitLab's system hook has it.
fn body(project: u64) -> String {
    let user = json!({"user_id": 7, "user_name": "Jane Doe", "user_username": "jane", "user_email": "jane@example.com"});
    let slug = format!("group-{}/project-{project}", project % 97);
    let mut body = json!({
        "object_kind": "push", "event_name": "push", "before": format!("{project:040x}"), "after": format!("{:040x}", project + 1),
        "ref": "refs/heads/main", "ref_protected": true, "checkout_sha": format!("{:040x}", project + 1), "message": null,
        "project_id": project, "total_commits_count": 1, "push_options": {},
        "project": {"id": project, "name": format!("Project {project}"), "description": "A project with a description of some words",
            "web_url": format!("https://gitlab.example.org/{slug}"), "avatar_url": null,
            "git_ssh_url": format!("git@gitlab.example.org:{slug}.git"), "git_http_url": format!("https://gitlab.example.org/{slug}.git"),
            "namespace": "group", "visibility_level": 0, "path_with_namespace": slug, "default_branch": "main"},
        "commits": [{"id": format!("{:040x}", project + 1), "message": "renku run: train the model", "title": "renku run: train the model",
            "timestamp": "2026-11-25T12:00:00+00:00", "author": {"name": "Jane Doe", "email": "jane@example.com"},
            "added": [".renku/metadata/activities/1", "data/out.csv"], "modified": [".renku/metadata/root", ".renku/metadata/activity-catalog"],
            "removed": []}],
    });
    if let (Some(body), Some(user)) = (body.as_object_mut(), user.as_object()) {
        body.extend(user.clone());
    }
    body.to_string()
}
