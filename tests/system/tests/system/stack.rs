use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use gitlab::{HookScope, HookTokens};
use gitlab_sim::{Change, Delivery, HookTarget, NewProject, Sim, SimSettings};
use model::{ProjectId, Secret};
use runtime::Tasks;
use store::{Reader, StoreOptions};
use tempfile::TempDir;
use testkit::{Git, eventually};
use tokio::runtime::Runtime;

use crate::node::{ADMIN_TOKEN, HOOK_SECRET, HOST, Node, Place, Ports};

/// Far beyond what anything here takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

/// A stand-in GitLab in this process, and a node in another, or in several.
pub struct Stack {
    pub sim: Sim,
    pub node: Option<Node>,
    pub ports: Ports,
    pub scratch: TempDir,
    /// The processes of the node. The last one has the views, and answers queries.
    pub places: Vec<Place>,
    _data: TempDir,
    runtime: Runtime,
    client: reqwest::Client,
    tasks: Tasks,
}

impl Stack {
    /// GitLab runs, the node does not yet.
    pub fn new() -> Self {
        let (ports, data) = (Ports::free(), tempfile::tempdir().unwrap());
        let all = Place {
            arguments: vec!["up"],
            data: data.path().to_owned(),
            ports,
            settings: Vec::new(),
        };
        Self::with(ports, data, vec![all])
    }

    /// `ports`: where hooks come in, and where the administrator asks.
    pub fn with(ports: Ports, data: TempDir, places: Vec<Place>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let tokens = HookTokens::new(vec![Secret::new(HOOK_SECRET)]).unwrap();
        let hook = HookTarget {
            url: format!("http://127.0.0.1:{}/webhooks/events", ports.public),
            token: Some(tokens.token(HookScope::System).expose().to_owned()),
        };
        let settings = SimSettings {
            system_hook: Some(hook),
            ..SimSettings::default()
        };
        let tasks = Tasks::new();
        let sim = runtime
            .block_on(async { Sim::start(settings, &tasks).await })
            .unwrap();
        let client = reqwest::Client::builder().timeout(LONG).build().unwrap();
        Self {
            sim,
            node: None,
            ports,
            scratch: tempfile::tempdir().unwrap(),
            places,
            _data: data,
            runtime,
            client,
            tasks,
        }
    }

    pub fn start_node(&mut self, failpoints: Option<&str>) {
        let gitlab = (self.sim.url(), self.sim.token());
        self.node = Some(Node::start(&self.places, gitlab, failpoints));
    }

    /// Kills one process of the node with a signal that it cannot catch, and starts it again.
    pub fn kill_and_start(&mut self, at: usize) {
        let gitlab = (self.sim.url(), self.sim.token());
        self.node
            .as_mut()
            .unwrap()
            .kill_and_start(at, &self.places[at], gitlab);
    }

    fn last_data(&self) -> PathBuf {
        self.places.last().unwrap().data.clone()
    }

    pub fn is_ready(&self) -> Result<(), String> {
        for place in &self.places {
            match self.get(place.ports.admin, "/health/ready", None) {
                (200, _) => {}
                (status, text) => return Err(format!("{:?}: {status} {text}", place.arguments)),
            }
        }
        Ok(())
    }

    pub fn wait_until_ready(&mut self) {
        eventually("a ready node", LONG, || {
            let ended = self.node.as_mut().and_then(Node::ended);
            assert!(ended.is_none(), "the node ended: {ended:?}\n{}", self.log());
            self.is_ready()
        });
    }

    pub fn views(&self) -> PathBuf {
        self.last_data().join("views")
    }

    /// The end of the node's log, for messages.
    pub fn log(&self) -> String {
        let end = |place: &Place| {
            let text = std::fs::read_to_string(place.data.join("renkud.log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        self.places.iter().map(end).collect::<Vec<_>>().join("\n")
    }

    /// The view as it is on disk.
    pub fn open_view(&self) -> Reader {
        store::open_reader(&self.views(), StoreOptions::new(HOST)).unwrap()
    }

    pub fn create_project(&self, new: NewProject) -> ProjectId {
        self.runtime.block_on(self.sim.create_project(new)).unwrap()
    }

    pub fn change_project(&self, project: ProjectId, change: Change) {
        self.runtime
            .block_on(self.sim.change_project(project, change))
            .unwrap();
    }

    /// GitLab's system hook goes here, or nowhere.
    pub fn send_system_hooks(&self, sends: bool) {
        let tokens = HookTokens::new(vec![Secret::new(HOOK_SECRET)]).unwrap();
        self.sim.set_system_hook(sends.then(|| HookTarget {
            url: format!("http://127.0.0.1:{}/webhooks/events", self.ports.public),
            token: Some(tokens.token(HookScope::System).expose().to_owned()),
        }));
    }

    /// Pushes a commit as the head of a branch, over HTTP.
    pub fn push(&self, git: &Git, slug: &str, sha: &str, branch: &str) -> Output {
        git.run(&[
            "push",
            "-q",
            "--force",
            &self.sim.git_url(slug),
            &format!("{sha}:refs/heads/{branch}"),
        ])
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        self.sim.deliveries(0)
    }

    /// Status and text; 0 when nobody answers. `position`: what the answer must take into account.
    pub fn get(&self, port: u16, path: &str, position: Option<&str>) -> (u16, String) {
        let mut request = self
            .client
            .get(format!("http://127.0.0.1:{port}{path}"))
            .bearer_auth(ADMIN_TOKEN);
        if let Some(position) = position {
            request = request.header("Renku-Position", position);
        }
        self.answer(request)
    }

    /// What a user sees on the public listener: status and text. No token: somebody who is not signed in.
    pub fn query_as(&self, token: Option<&str>, query: &str, position: Option<&str>) -> (u16, String) {
        let mut request = self
            .client
            .post(format!("http://127.0.0.1:{}/sparql", self.ports.public))
            .header("Content-Type", "application/sparql-query")
            .header("Accept", "text/csv")
            .body(query.to_owned());
        if let Some(token) = token {
            request = request.header("PRIVATE-TOKEN", token);
        }
        if let Some(position) = position {
            request = request.header("Renku-Position", position);
        }
        self.answer(request)
    }

    /// Sends a system hook; where it was recorded.
    pub fn system_hook(&self, body: &str) -> String {
        let tokens = HookTokens::new(vec![Secret::new(HOOK_SECRET)]).unwrap();
        let request = self
            .client
            .post(format!("http://127.0.0.1:{}/webhooks/events", self.ports.public))
            .header("X-Gitlab-Token", tokens.token(HookScope::System).expose())
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 202);
            answer.headers()["renku-position"].to_str().unwrap().to_owned()
        })
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        self.runtime.block_on(async {
            match request.send().await {
                Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
                Err(error) => (0, error.to_string()),
            }
        })
    }

    /// Waits until everything that a hook told is in the views.
    pub fn wait_until_covered(&self, position: &str) {
        eventually(
            &format!("an answer that covers {position}"),
            LONG,
            || match self.get(self.ports.admin, "/sparql?query=ASK%20%7B%7D", Some(position)) {
                (200, _) => Ok(()),
                (status, text) => Err(format!("{status} {text}\n{}", self.log())),
            },
        );
    }

    /// What the administrator sees of a project's graph: `subject predicate object `, sorted.
    pub fn graph(&self, slug: &str) -> Vec<String> {
        let query = format!(
            "CONSTRUCT {{ ?s ?p ?o }} WHERE {{ GRAPH <https://{HOST}/projects/{slug}> {{ ?s ?p ?o }} }}"
        );
        let request = self
            .client
            .post(format!("http://127.0.0.1:{}/sparql", self.ports.admin))
            .bearer_auth(ADMIN_TOKEN)
            .header("Content-Type", "application/sparql-query")
            .header("Accept", "application/n-triples")
            .body(query);
        let (status, text) = self.answer(request);
        assert_eq!(status, 200, "{text}");
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.trim_end_matches('.').to_owned())
            .collect();
        lines.sort_unstable();
        lines
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.node = None;
        let tasks = self.tasks.clone();
        let _ = self
            .runtime
            .block_on(async move { tasks.stop_and_drain(Duration::from_secs(5)).await });
    }
}

/// Compares line by line, and says what differs.
pub fn assert_same_graph(name: &str, found: &[String], expected: &[String]) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter()
            .filter(|line| b.binary_search(line).is_err())
            .take(5)
            .cloned()
            .collect()
    };
    let (extra, missing) = (only(found, expected), only(expected, found));
    assert!(
        extra.is_empty() && missing.is_empty() && found.len() == expected.len(),
        "the graph of {name} is wrong: {} triples of {}\ntoo much: {extra:#?}\nmissing: {missing:#?}",
        found.len(),
        expected.len()
    );
}
