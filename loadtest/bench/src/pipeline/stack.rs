//! The real processes: `gitlab-sim` and `renkud up`, on free ports of loopback.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use super::scrape::Scrape;
use crate::measure::child;

/// The token of the stand-in's administrator.
const TOKEN: &str = "glpat-bench-service";
/// Host of all IRIs.
pub(super) const HOST: &str = "renku.example.org";

/// How long a push may take to be in the views; the first one of a large project is the longest.
const COVERED_WITHIN: Duration = Duration::from_secs(300);

/// Where our executables are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub renkud: PathBuf,
    pub renkuctl: PathBuf,
    pub gitlab_sim: PathBuf,
}

/// Both processes, up. They end when this is dropped.
pub(super) struct Stack {
    sim: Process,
    renkud: Process,
    pub(super) sim_url: String,
    pub(super) url: String,
    admin_url: String,
    pub(super) data: PathBuf,
    pub(super) http: Client,
    /// Of the system hook.
    pub(super) hook_token: String,
}

/// A hook that was answered 202.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) project: u32,
    pub(super) commit: String,
    /// Microseconds since 1970.
    pub(super) answered: i64,
    pub(super) position: String,
}

impl Stack {
    /// Starts both in an empty folder and waits until they are ready.
    pub(super) fn start(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        let [sim_port, port, admin_port] = free_ports()?;
        let data = folder.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
        let config = folder.join("renkud.toml");
        let sim_url = format!("http://127.0.0.1:{sim_port}");
        let text = format!(
            "data = {data:?}\nlisten = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\n\
             public_url = \"https://{HOST}\"\n[gitlab]\nurl = {sim_url:?}\ntoken = \"{TOKEN}\"\n[hooks]\n\
             secrets = [\"a-secret-of-the-benchmark-only-0123456789\"]\n"
        );
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let token = child::output(
            Command::new(&programs.renkuctl)
                .args(["hooks", "token", "--system", "--config"])
                .arg(&config),
        )?;
        let token = String::from_utf8(token)?.trim().to_owned();
        let sim = Process::start(
            Command::new(&programs.gitlab_sim)
                .args(["--listen", &format!("127.0.0.1:{sim_port}"), "--token", TOKEN])
                .arg("--data")
                .arg(folder.join("gitlab"))
                .args([
                    "--system-hook-url",
                    &format!("http://127.0.0.1:{port}/webhooks/events"),
                ])
                .args(["--system-hook-token", &token]),
            &folder.join("gitlab-sim.log"),
        )?;
        let renkud = Process::start(
            Command::new(&programs.renkud)
                .arg("up")
                .arg("--config")
                .arg(&config),
            &folder.join("renkud.log"),
        )?;
        // The client needs a provider even where no TLS is spoken; one that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .build()
            .context("make an HTTP client")?;
        let mut stack = Self {
            sim,
            renkud,
            sim_url,
            url: format!("http://127.0.0.1:{port}"),
            admin_url: format!("http://127.0.0.1:{admin_port}"),
            data,
            http,
            hook_token: token,
        };
        stack.wait_ready()?;
        Ok(stack)
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let urls = [
            format!("{}/sim/counters", self.sim_url),
            format!("{}/health/ready", self.admin_url),
        ];
        loop {
            self.sim.check("gitlab-sim")?;
            self.renkud.check("renkud")?;
            let up = |url: &String| {
                self.http
                    .get(url)
                    .send()
                    .is_ok_and(|answer| answer.status().is_success())
            };
            if urls.iter().all(up) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "not ready after 60 s: see the logs in the benchmark's folder"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn renkud_pid(&self) -> u32 {
        self.renkud.child.id()
    }

    /// An empty project with a default branch; its number.
    pub(super) fn create_project(&self, slug: &str) -> anyhow::Result<u32> {
        let new = json!({"slug": slug, "default_branch": crate::renku_repo::BRANCH});
        let answer = self
            .http
            .post(format!("{}/sim/projects", self.sim_url))
            .header("content-type", "application/json")
            .body(new.to_string())
            .send()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "gitlab-sim refuses a project: {}",
            answer.status()
        );
        let made: Value = serde_json::from_slice(&answer.bytes()?)?;
        Ok(u32::try_from(
            made["id"].as_u64().context("a project without a number")?,
        )?)
    }

    /// The URL of a project's repository, with the right to push.
    pub(super) fn repository_url(&self, slug: &str) -> String {
        format!(
            "{}/{slug}.git",
            self.sim_url
                .replace("http://", &format!("http://oauth2:{TOKEN}@"))
        )
    }

    /// Push hooks that were answered 202 after the delivery of this number; and the newest number.
    pub(super) fn hooks_after(&self, number: u64) -> anyhow::Result<(Vec<Hook>, u64)> {
        let url = format!("{}/sim/deliveries?after={number}", self.sim_url);
        let all: Vec<Value> = serde_json::from_slice(&self.http.get(url).send()?.bytes()?)?;
        let mut newest = number;
        let mut hooks = Vec::new();
        for delivery in &all {
            newest = newest.max(delivery["number"].as_u64().unwrap_or_default());
            if delivery["kind"] != "push" {
                continue;
            }
            anyhow::ensure!(
                delivery["status"] == 202,
                "a hook was answered {}",
                delivery["status"]
            );
            hooks.push(Hook {
                project: u32::try_from(delivery["project"].as_u64().unwrap_or_default())?,
                commit: delivery["after"].as_str().unwrap_or_default().to_owned(),
                answered: delivery["answered_at"]
                    .as_i64()
                    .context("a delivery without a time")?,
                position: delivery["position"]
                    .as_str()
                    .context("a 202 without Renku-Position")?
                    .to_owned(),
            });
        }
        Ok((hooks, newest))
    }

    /// Asks, and waits for the answer that takes the position into account; asks again when the server's own patience
    /// ends, as it says.
    pub(super) fn ask(&self, query: &str, position: &str) -> anyhow::Result<bool> {
        let deadline = Instant::now() + COVERED_WITHIN;
        loop {
            let answer = self
                .http
                .get(format!("{}/sparql", self.url))
                .query(&[("query", query)])
                .header("accept", "application/sparql-results+json")
                .header("renku-position", position)
                .send()?;
            let status = answer.status();
            let body = answer.bytes()?;
            if status == reqwest::StatusCode::GATEWAY_TIMEOUT && Instant::now() < deadline {
                continue;
            }
            anyhow::ensure!(
                status.is_success(),
                "a query was answered {status}: {}",
                String::from_utf8_lossy(&body)
            );
            let value: Value = serde_json::from_slice(&body)?;
            return value["boolean"]
                .as_bool()
                .context("an answer to ASK without a truth value");
        }
    }

    pub(super) fn scrape(&self) -> anyhow::Result<Scrape> {
        let text = self
            .http
            .get(format!("{}/metrics", self.admin_url))
            .send()?
            .text()?;
        Ok(Scrape::parse(&text))
    }
}

/// Three ports that nobody listens on at this moment.
fn free_ports() -> anyhow::Result<[u16; 3]> {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener.context("find a free port")?.local_addr()?.port();
    }
    Ok(ports)
}

/// A child that is asked to stop, and made to, when dropped.
struct Process {
    child: Child,
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    fn check(&mut self, name: &str) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => {
                anyhow::bail!("{name} ended with {status}: see its log in the benchmark's folder")
            }
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = i32::try_from(self.child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            for _ in 0..1_000 {
                if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
