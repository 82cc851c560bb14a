use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testkit::free_port;

pub const ADMIN_TOKEN: &str = "an-admin-token-of-length";
pub const HOOK_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const HOST: &str = "renku.test";

/// Where a node listens, however often it is started.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub public: u16,
    pub admin: u16,
}

impl Ports {
    pub fn free() -> Self {
        Self {
            public: free_port(),
            admin: free_port(),
        }
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_renkud-under-test"));
    command.env_clear();
    command
}

/// One process: what it runs, and where.
#[derive(Clone, Debug)]
pub struct Place {
    pub arguments: Vec<&'static str>,
    pub data: PathBuf,
    pub ports: Ports,
    /// Further settings, as variables.
    pub settings: Vec<(&'static str, String)>,
}

impl Place {
    pub fn start(&self, gitlab: (&str, &str), failpoints: Option<&str>) -> Child {
        std::fs::create_dir_all(&self.data).unwrap();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.data.join("renkud.log"))
            .unwrap();
        let mut command = command();
        command
            .args(&self.arguments)
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", &format!("127.0.0.1:{}", self.ports.public)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.ports.admin)])
            .env("RENKU__RDF__HOST", HOST)
            .env("RENKU__HOOKS__SECRETS", format!("[\"{HOOK_SECRET}\"]"))
            .env("RENKU__GITLAB__URL", gitlab.0)
            .env("RENKU__GITLAB__TOKEN", gitlab.1)
            .env("RENKU__ADMIN__TOKEN", ADMIN_TOKEN)
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(plan) = failpoints {
            command.env("RENKU_FAILPOINTS", plan);
        }
        command.spawn().unwrap()
    }
}

/// All roles, in one process or in several.
pub struct Node {
    children: Vec<Child>,
}

impl Node {
    /// Starts all processes; the log goes to `renkud.log` in each data folder. `failpoints`: a plan.
    pub fn start(places: &[Place], gitlab: (&str, &str), failpoints: Option<&str>) -> Self {
        let children = places.iter().map(|place| place.start(gitlab, failpoints));
        Self {
            children: children.collect(),
        }
    }

    /// Kills one process, and starts it again.
    pub fn kill_and_start(&mut self, at: usize, place: &Place, gitlab: (&str, &str)) {
        let child = &mut self.children[at];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = place.start(gitlab, None);
    }

    /// The names of all failpoints of the executable.
    pub fn failpoints() -> Vec<String> {
        let output = command().args(["reference", "failpoints"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// How the first process that ended did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.children
            .iter_mut()
            .find_map(|child| child.try_wait().unwrap())
    }

    /// As the out-of-memory killer would.
    pub fn kill(&mut self) {
        for child in &mut self.children {
            // It may have died by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// As an operator does.
    pub fn stop(mut self) {
        for child in &mut self.children {
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &id])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        for child in &mut self.children {
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < deadline, "the node does not stop");
                std::thread::sleep(Duration::from_millis(20));
            };
            assert!(status.success(), "the node stopped with {status}");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
