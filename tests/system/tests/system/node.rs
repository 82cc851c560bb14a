use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
        // Both are held at once, so that they differ.
        let listeners: Vec<TcpListener> = (0..2)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |at: usize| listeners[at].local_addr().unwrap().port();
        Self {
            public: port(0),
            admin: port(1),
        }
    }
}

/// `renkud up` as a process.
pub struct Node {
    child: Child,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_renkud-under-test"));
    command.env_clear();
    command
}

impl Node {
    /// Starts it; the log goes to `renkud.log` in the data folder. `failpoints`: a plan.
    pub fn start(data: &Path, ports: Ports, gitlab: (&str, &str), failpoints: Option<&str>) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.join("renkud.log"))
            .unwrap();
        let mut command = command();
        command
            .arg("up")
            .arg("--data")
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{}", ports.public)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", ports.admin)])
            .env("RENKU__RDF__HOST", HOST)
            .env("RENKU__HOOKS__SECRETS", format!("[\"{HOOK_SECRET}\"]"))
            .env("RENKU__GITLAB__URL", gitlab.0)
            .env("RENKU__GITLAB__TOKEN", gitlab.1)
            .env("RENKU__ADMIN__TOKEN", ADMIN_TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(plan) = failpoints {
            command.env("RENKU_FAILPOINTS", plan);
        }
        Self {
            child: command.spawn().unwrap(),
        }
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

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// As the out-of-memory killer would.
    pub fn kill(&mut self) {
        // It may have died by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// As an operator does.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(Instant::now() < deadline, "the node does not stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "the node stopped with {status}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
