//! The executable as operators meet it: a child process, its exit codes, its messages, its stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use testkit::free_port;

const SECRET: &str = "0123456789abcdef";
const SOON: Duration = Duration::from_secs(30);

fn renkud(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_renkud"));
    command
        .arg("--data")
        .arg(data)
        .env_clear()
        .env("RENKU__HOOKS__SECRETS", format!("[\"{SECRET}\"]"))
        .env("RENKU__GITLAB__URL", "http://127.0.0.1:9")
        .env("RENKU__LOG__FORMAT", "json");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

struct Running {
    child: Child,
    public: u16,
    admin: u16,
}

impl Running {
    fn start(data: &Path, more: impl FnOnce(&mut Command)) -> Self {
        Self::start_roles(data, &["webhook-service"], more)
    }

    fn start_roles(data: &Path, roles: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        let (public, admin) = (free_port(), free_port());
        let mut command = renkud(data);
        command
            .arg("run")
            .args(roles)
            .args(["--listen", &format!("127.0.0.1:{public}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .stderr(Stdio::piped());
        more(&mut command);
        let mut running = Self {
            child: command.spawn().unwrap(),
            public,
            admin,
        };
        let deadline = Instant::now() + SOON;
        while !get(running.admin, "/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            assert!(
                running.child.try_wait().unwrap().is_none(),
                "it ended: {}",
                running.rest()
            );
            assert!(Instant::now() < deadline, "not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }

    fn hook(&self) -> Option<String> {
        // printf 'project:7' | openssl dgst -sha256 -hmac 0123456789abcdef -binary | basenc --base64url
        let token = "HsqSMHYvIzQOPwcDZGxGbEcpyBNogaA-hXO6qRT1Kds";
        let body = r#"{"event_name":"push","project_id":7}"#;
        let headers = format!("X-Gitlab-Token: {token}\r\nContent-Type: application/json\r\n");
        exchange(self.public, "POST", "/webhooks/events", &headers, body)
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    exchange(port, "GET", path, "", "")
}

fn exchange(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn refusals_name_the_key_and_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("renku.toml");
    std::fs::write(&file, "[gitlab]\nurl = \"https://g.example.org\"\ntokn = \"x\"\n").unwrap();
    let check = |change: &dyn Fn(&mut Command)| {
        let mut command = renkud(folder.path());
        command.args(["config", "check"]);
        change(&mut command);
        let output = command.output().unwrap();
        (output.status.code(), said(&output))
    };
    assert_eq!(check(&|_| {}).0, Some(0));
    let (code, told) = check(&|command| {
        command.arg("--config").arg(&file);
    });
    assert_eq!(code, Some(1));
    assert!(
        told.contains("unknown key gitlab.tokn") && told.contains("did you mean"),
        "{told}"
    );
    let (code, told) = check(&|command| {
        command.env("RENKU__HOOKS__SECRETS", "[\"t00short\"]");
    });
    assert_eq!(code, Some(1));
    assert!(
        told.contains("hooks.secrets (from $RENKU__HOOKS__SECRETS)") && !told.contains("t00short"),
        "{told}"
    );
    let (_, told) = check(&|command| {
        command.env("RENKU__AUTH__GITLAB_TOKENS", "false");
        command.args(["--listen", "0.0.0.0:8080"]);
    });
    assert!(told.contains("listen (from --listen)"), "{told}");
    let (_, told) = check(&|command| {
        command.args(["--listen", "nowhere"]);
    });
    assert!(told.contains("listen (from --listen)"), "{told}");
    let (code, _) = check(&|command| {
        command.arg("--nonsense");
    });
    assert_eq!(code, Some(2));
}

#[test]
fn what_was_accepted_survives_a_kill_and_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Running::start(folder.path(), |_| {});
    let answer = first.hook().unwrap();
    assert!(answer.starts_with("HTTP/1.0 202"), "{answer}");
    assert!(
        answer
            .to_lowercase()
            .contains("renku-position: renku.push-events.v1/"),
        "{answer}"
    );
    assert!(
        get(first.admin, "/metrics")
            .unwrap()
            .contains("renku_webhook_hooks_total")
    );

    let other = renkud(folder.path())
        .args([
            "run",
            "webhook-service",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        said(&other).contains(&format!("is in use by process {}", first.child.id())),
        "{}",
        said(&other)
    );

    first.signal("-KILL");
    assert_eq!(first.wait(), None);

    let mut second = Running::start(folder.path(), |_| {});
    assert!(
        second.hook().unwrap().contains("@2;project=7"),
        "the record of before the kill is there"
    );
    second.signal("-TERM");
    assert_eq!(second.wait(), Some(0));
    assert!(second.rest().contains("\"message\":\"stopped\""));

    let plan = renkud(folder.path()).args(["topics", "plan"]).output().unwrap();
    let told = String::from_utf8(plan.stdout).unwrap();
    assert!(told.lines().all(|line| line.ends_with("as declared")), "{told}");
}

#[test]
fn a_failpoint_kills_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(folder.path(), |command| {
        command.env("RENKU_FAILPOINTS", "webhook-service.after-append=kill@2");
    });
    assert!(running.hook().unwrap().starts_with("HTTP/1.0 202"));
    assert_eq!(running.hook().unwrap_or_default(), "");
    assert_eq!(running.wait(), None, "ended by a signal");
    let again = Running::start(folder.path(), |_| {});
    assert!(
        again.hook().unwrap().contains("@3;project=7"),
        "what was durable stays, answered or not"
    );
}

#[test]
fn failpoints_are_listed_and_unknown_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = renkud(folder.path())
        .args(["reference", "failpoints"])
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(
        names.lines().any(|name| name == "webhook-service.after-append"),
        "{names}"
    );
    let output = renkud(folder.path())
        .args([
            "run",
            "webhook-service",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("RENKU_FAILPOINTS", "nowhere=kill")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("there is no failpoint \"nowhere\""),
        "{}",
        said(&output)
    );
}

#[test]
fn an_admin_token_guards_all_but_the_probes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), |command| {
        command.env("RENKU__ADMIN__TOKEN", "an-admin-token-of-length");
    });
    assert!(
        get(running.admin, "/health/live")
            .unwrap()
            .starts_with("HTTP/1.0 200")
    );
    assert!(
        get(running.admin, "/metrics")
            .unwrap()
            .starts_with("HTTP/1.0 401")
    );
    let with = "Authorization: Bearer an-admin-token-of-length\r\n";
    assert!(
        exchange(running.admin, "GET", "/metrics", with, "")
            .unwrap()
            .starts_with("HTTP/1.0 200")
    );
}

#[test]
fn writer_and_reader_are_two_processes_on_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let writing = [
        "webhook-service",
        "commit-fetcher",
        "triple-generator",
        "graph-writer",
    ];
    let mut writer = Running::start_roles(folder.path(), &writing, |_| {});
    let mut reader = Running::start_roles(folder.path(), &["query-service"], |_| {});
    let ask = |running: &Running| get(running.public, "/sparql?query=ASK%20%7B%7D").unwrap_or_default();
    assert!(get(reader.public, "/ping").unwrap().ends_with("pong"));
    assert!(ask(&reader).contains("true"), "{}", ask(&reader));
    assert!(
        get(writer.public, "/ping").unwrap().starts_with("HTTP/1.0 404"),
        "the writer answers no queries"
    );

    writer.signal("-TERM");
    assert_eq!(writer.wait(), Some(0), "{}", writer.rest());
    assert!(
        ask(&reader).contains("true"),
        "what is there is answered without a writer"
    );
    reader.signal("-TERM");
    assert_eq!(reader.wait(), Some(0), "{}", reader.rest());
}

#[test]
fn all_roles_stop_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let roles = [
        "webhook-service",
        "commit-fetcher",
        "triple-generator",
        "graph-writer",
        "query-service",
    ];
    let mut running = Running::start_roles(folder.path(), &roles, |_| {});
    // GitLab is not there: the look waits for another try, and is not lost by the stop.
    assert!(running.hook().unwrap().starts_with("HTTP/1.0 202"));
    running.signal("-TERM");
    assert_eq!(running.wait(), Some(0), "{}", running.rest());
}
