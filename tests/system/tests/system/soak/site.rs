//! Everything that runs: GitLab in this process, the cluster, a process for each role, two nodes with views.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gitlab::{HookScope, HookTokens};
use gitlab_sim::{HookTarget, Sim, SimSettings};
use model::Secret;
use runtime::Tasks;
use store::{Reader, StoreOptions};
use testkit::eventually;
use tokio::runtime::{Handle, Runtime};

use super::cluster::Cluster;
use crate::node::{ADMIN_TOKEN, HOOK_SECRET, HOST, Place, Ports};

/// Far beyond what anything here takes, even on a busy machine and after a fault.
pub const LONG: Duration = Duration::from_secs(240);

/// What each process runs.
const PROCESSES: [(&str, &[&str]); 7] = [
    ("webhook", &["run", "webhook-service"]),
    ("fetcher", &["run", "commit-fetcher"]),
    ("generator", &["run", "triple-generator"]),
    ("node-a", &["run", "graph-writer", "query-service"]),
    ("node-b", &["run", "graph-writer", "query-service"]),
    ("fetcher-2", &["run", "commit-fetcher"]),
    ("generator-2", &["run", "triple-generator"]),
];
const WEBHOOK: usize = 0;
/// The processes with views.
pub const NODES: [usize; 2] = [3, 4];
/// Those that always run; the others come and go.
pub const LASTING: usize = 5;
pub const PASSING: [usize; 2] = [5, 6];

pub struct Site {
    pub sim: Sim,
    pub cluster: Cluster,
    folder: PathBuf,
    places: Vec<Place>,
    children: Vec<Option<Child>>,
    client: reqwest::Client,
    tasks: Tasks,
    runtime: Runtime,
}

impl Site {
    /// Starts it on what is in the folder. `gitlab`: the folder of its repositories.
    pub fn start(folder: &Path, gitlab: &Path) -> Self {
        let began = Instant::now();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let cluster = Cluster::start(runtime.handle(), &folder.join("cluster"), PROCESSES.len());
        println!("brokers run after {:?}", began.elapsed());
        let place = |(at, (name, arguments)): (usize, &(&'static str, &'static [&'static str]))| {
            let mut settings = vec![
                ("RENKU__BUS__KIND", "kafka".to_owned()),
                ("RENKU__BUS__BROKERS", cluster.bootstrap(at).to_owned()),
                ("RENKU__BUS__KAFKA__REPLICATION", "3".to_owned()),
                // What a killed member had is given to others after that.
                ("RENKU__BUS__KAFKA__SESSION_SECONDS", "25".to_owned()),
                ("RENKU__FETCHER__RETRY_MOST_SECONDS", "4".to_owned()),
                (
                    "RENKU__BLOBS__URL",
                    format!("file://{}", folder.join("blobs").display()),
                ),
            ];
            if !PASSING.contains(&at) {
                settings.push(("RENKU__BUS__KAFKA__INSTANCE", (*name).to_owned()));
            }
            Place {
                arguments: arguments.to_vec(),
                data: folder.join(name),
                ports: Ports::free(),
                settings,
            }
        };
        let places: Vec<Place> = PROCESSES.iter().enumerate().map(place).collect();
        let tokens = HookTokens::new(vec![Secret::new(HOOK_SECRET)]).unwrap();
        let settings = SimSettings {
            folder: Some(gitlab.to_owned()),
            system_hook: Some(HookTarget {
                url: format!(
                    "http://127.0.0.1:{}/webhooks/events",
                    places[WEBHOOK].ports.public
                ),
                token: Some(tokens.token(HookScope::System).expose().to_owned()),
            }),
            ..SimSettings::default()
        };
        let tasks = Tasks::new();
        let sim = runtime.block_on(Sim::start(settings, &tasks)).unwrap();
        let mut site = Self {
            sim,
            cluster,
            folder: folder.to_owned(),
            children: places.iter().map(|_| None).collect(),
            places,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(40))
                .build()
                .unwrap(),
            tasks,
            runtime,
        };
        // Topics are made by the first, and found by the others.
        site.run(WEBHOOK);
        site.wait_until_ready([WEBHOOK]);
        println!("topics are made after {:?}", began.elapsed());
        (1..LASTING).for_each(|process| site.run(process));
        site.wait_until_ready(0..LASTING);
        site
    }

    pub fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    pub fn public_port(&self, process: usize) -> u16 {
        self.places[process].ports.public
    }

    pub fn name(process: usize) -> &'static str {
        PROCESSES[process].0
    }

    pub fn run(&mut self, process: usize) {
        assert!(self.children[process].is_none());
        let gitlab = (self.sim.url(), self.sim.token());
        self.children[process] = Some(self.places[process].start(gitlab, None));
    }

    /// With a signal that it cannot catch.
    pub fn kill(&mut self, process: usize) {
        if let Some(mut child) = self.children[process].take() {
            // It may have died by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// As an operator does.
    pub fn stop(&mut self, process: usize) {
        let Some(mut child) = self.children[process].take() else {
            return;
        };
        let told = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(told.unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "{} does not stop\n{}",
                Self::name(process),
                self.log(process)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts again what ended by itself: a fault may outlast the patience of a process, and an operator's supervisor does
    /// the same. Which they were.
    pub fn revive(&mut self) -> Vec<&'static str> {
        let mut dead = Vec::new();
        for process in 0..LASTING {
            let child = self.children[process].as_mut();
            let Some(status) = child.and_then(|child| child.try_wait().unwrap()) else {
                continue;
            };
            let log = self.log(process);
            println!(
                "{} ended by itself with {status}: {:?}",
                Self::name(process),
                log.lines().last()
            );
            self.children[process] = None;
            self.run(process);
            dead.push(Self::name(process));
        }
        dead
    }

    pub fn wait_until_ready(&mut self, processes: impl IntoIterator<Item = usize>) {
        for process in processes {
            eventually(&format!("a ready {}", Self::name(process)), LONG, || {
                let revived = self.revive();
                match self.get(process, "/health/ready", None) {
                    (200, _) => Ok(()),
                    (status, text) => Err(format!(
                        "{status} {text}, started again: {revived:?}\n{}",
                        self.log(process)
                    )),
                }
            });
        }
    }

    /// The end of a process's log, for messages.
    pub fn log(&self, process: usize) -> String {
        let file = self.places[process].data.join("renkud.log");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Of the admin listener: status and text; 0 when nobody answers.
    pub fn get(&self, process: usize, path: &str, positions: Option<&str>) -> (u16, String) {
        let port = self.places[process].ports.admin;
        let mut request = self
            .client
            .get(format!("http://127.0.0.1:{port}{path}"))
            .bearer_auth(ADMIN_TOKEN);
        if let Some(positions) = positions {
            request = request.header("Renku-Position", positions);
        }
        self.runtime.block_on(async {
            match request.send().await {
                Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
                Err(error) => (0, error.to_string()),
            }
        })
    }

    /// Waits until a node's views have all of it.
    pub fn wait_until_covered(&mut self, node: usize, positions: &[String]) {
        for some in positions.chunks(32) {
            let all = some.join(", ");
            eventually("an answer that covers all that was accepted", LONG, || {
                let revived = self.revive();
                match self.get(node, "/sparql?query=ASK%20%7B%7D", Some(&all)) {
                    (200, _) => Ok(()),
                    (status, text) => Err(format!(
                        "{}: {status} {text}, started again: {revived:?}\n{}",
                        Self::name(node),
                        self.logs()
                    )),
                }
            });
        }
    }

    fn logs(&self) -> String {
        let logs = (0..LASTING).map(|process| format!("{}:\n{}", Self::name(process), self.log(process)));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// What everybody sees on the public listener, as CSV.
    pub fn public_answer(
        client: &reqwest::Client,
        handle: &Handle,
        port: u16,
        query: &str,
    ) -> Option<String> {
        let request = client
            .post(format!("http://127.0.0.1:{port}/sparql"))
            .header("Content-Type", "application/sparql-query")
            .header("Accept", "text/csv")
            .body(query.to_owned());
        handle.block_on(async {
            let answer = request.send().await.ok()?;
            if answer.status().as_u16() != 200 {
                return None;
            }
            answer.text().await.ok()
        })
    }

    pub fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    pub fn views(&self, node: usize) -> PathBuf {
        self.places[node].data.join("views")
    }

    /// Where things are put that nobody needs.
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// A view as it is on disk.
    pub fn open_view(&self, node: usize) -> Reader {
        store::open_reader(&self.views(node), StoreOptions::new(HOST)).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        (0..PROCESSES.len()).for_each(|process| self.kill(process));
        let tasks = self.tasks.clone();
        let _ = self
            .runtime
            .block_on(async move { tasks.stop_and_drain(Duration::from_secs(5)).await });
        // Whoever panics leaves that to the one who attends the cluster.
        if !std::thread::panicking() {
            self.cluster.stop();
        }
    }
}
