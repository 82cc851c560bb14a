use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Bus;
use crate::process::{Stopped, free_port, request, target_folder, wait_until_ready};

/// For this demonstration only; both ends are on this machine.
const SECRET: &str = "for the demonstration only";
pub const GITLAB_TOKEN: &str = "glpat-demonstration";
pub const ADMIN_TOKEN: &str = "the-administrator-of-the-demo";

/// `renkud up` and a stand-in GitLab.
pub struct Stack {
    pub gitlab: u16,
    pub public: u16,
    pub admin: u16,
    log: PathBuf,
    // In the order in which they end: GitLab first, then what listens to it, then the folder.
    _gitlab: Stopped,
    _renkud: Stopped,
    _folder: tempfile::TempDir,
}

impl Stack {
    /// Starts both and waits until they are ready.
    pub fn start(root: &Path, bus: Bus) -> Result<Self> {
        let executables = target_folder(root);
        let folder = tempfile::Builder::new().prefix("renku-demo-").tempdir()?;
        let settings = folder.path().join("renku.toml");
        let log = folder.path().join("renkud.log");
        let gitlab = free_port()?;
        // The usual ports if nobody has them.
        let public = usual_or_free(8080)?;
        let admin = usual_or_free(8081)?;
        let text = format!(
            "listen = \"127.0.0.1:{public}\"\nadmin_listen = \"127.0.0.1:{admin}\"\n\
             [hooks]\nsecrets = [\"{SECRET}\"]\n[gitlab]\nurl = \"http://127.0.0.1:{gitlab}\"\ntoken = \"{GITLAB_TOKEN}\"\n\
             [admin]\ntoken = \"{ADMIN_TOKEN}\"\n[rdf]\nhost = \"renku.example.org\"\n"
        );
        let text = match bus {
            Bus::Embedded => text,
            Bus::Kafka => text + &kafka(root, &folder.path().join("kafka"))?,
        };
        std::fs::write(&settings, text)?;
        let hook_token = hook_token(&executables, &settings)?;

        println!(
            "starting gitlab-sim on port {gitlab} and renkud on port {public} (administration: {admin})"
        );
        let sim_log = File::create(folder.path().join("gitlab-sim.log"))?;
        let sim = Command::new(executables.join("gitlab-sim"))
            .args([
                "--listen",
                &format!("127.0.0.1:{gitlab}"),
                "--token",
                GITLAB_TOKEN,
            ])
            .args([
                "--system-hook-url",
                &format!("http://127.0.0.1:{public}/webhooks/events"),
            ])
            .args(["--system-hook-token", &hook_token])
            .arg("--data")
            .arg(folder.path().join("gitlab"))
            .stderr(sim_log)
            .spawn()
            .context("gitlab-sim does not start: build it first (make build)")?;
        let sim = Stopped(sim);
        let renkud = Command::new(executables.join("renkud"))
            .arg("up")
            .arg("--config")
            .arg(&settings)
            .arg("--data")
            .arg(folder.path().join("data"))
            .stderr(File::create(&log)?)
            .spawn()
            .context("renkud does not start: build it first (make build)")?;
        let stack = Self {
            gitlab,
            public,
            admin,
            log,
            _gitlab: sim,
            _renkud: Stopped(renkud),
            _folder: folder,
        };
        if let Err(error) = wait_until_ready(admin, Duration::from_secs(30)) {
            bail!("renkud is not ready: {error:#}\n{}", stack.end_of_log());
        }
        stack.wait_for_gitlab()?;
        Ok(stack)
    }

    fn wait_for_gitlab(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while request(self.gitlab, "GET", "/sim/counters", &[], b"").is_err() {
            ensure!(Instant::now() < deadline, "gitlab-sim is not there");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Where renkud logs.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log.
    pub fn end_of_log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Starts a broker that ends with this process, and says how renkud finds it.
fn kafka(root: &Path, folder: &Path) -> Result<String> {
    println!("starting Apache Kafka");
    let output = Command::new("bash")
        .arg(root.join("deploy/local/kafka.sh"))
        .arg("start")
        .arg(folder)
        .args(["--attend", &std::process::id().to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("bash does not start")?;
    ensure!(output.status.success(), "Apache Kafka does not start");
    let bootstrap = String::from_utf8(output.stdout)?;
    Ok(format!(
        "[bus]\nkind = \"kafka\"\nbrokers = \"{}\"\n",
        bootstrap.trim()
    ))
}

fn usual_or_free(port: u16) -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(_) => free_port(),
    }
}

fn hook_token(executables: &Path, settings: &Path) -> Result<String> {
    let output = Command::new(executables.join("renkuctl"))
        .args(["hooks", "token", "--system", "--config"])
        .arg(settings)
        .stderr(Stdio::inherit())
        .output()
        .context("renkuctl does not start: build it first (make build)")?;
    ensure!(output.status.success(), "renkuctl hooks token failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
