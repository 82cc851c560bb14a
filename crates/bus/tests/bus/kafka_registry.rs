//! A real broker and a real registry: other programs read our topics.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use bus::registry::{RegisteredBus, Registry, RegistryError};
use bus::{Bus, KafkaBus};
use events::{PUSH_EVENTS, topic_specs};
use serde_json::{Value, json};

use crate::kafka::{SHARED, fresh_prefix, options};
use crate::registry::{all, event};

const CONSUMER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bus/consumer.py");

/// An Apicurio that ends with this test process, however that ends.
struct Apicurio {
    folder: PathBuf,
    url: String,
}

impl Apicurio {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port()
            .to_string();
        let attend = std::process::id().to_string();
        run(script()
            .arg("start")
            .arg(&folder)
            .args(["--port", &port, "--attend", &attend]));
        Self {
            folder,
            url: format!("http://127.0.0.1:{port}/apis/ccompat/v7"),
        }
    }

    fn stop(&self) {
        run(script().arg("stop").arg(&self.folder));
    }
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/local/apicurio.sh"
    ));
    command
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    output
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests find their cache in the home folder"
)]
/// A Python that has Confluent's client; made once and kept.
fn python() -> PathBuf {
    let home = std::env::var("HOME").unwrap();
    let cache = Path::new(&home).join(".cache/renku-graph");
    let venv = cache.join("confluent-2.12.2");
    if !venv.exists() {
        std::fs::create_dir_all(&cache).unwrap();
        let part = tempfile::tempdir_in(&cache).unwrap().keep();
        // A venv cannot be moved, but its programs can be asked by the path that it will have.
        run(Command::new("python3").args(["-m", "venv"]).arg(&part));
        run(Command::new(part.join("bin/python"))
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
            .arg("confluent-kafka[avro]==2.12.2"));
        // Somebody else may have been faster: theirs is as good.
        let _ = std::fs::rename(&part, &venv);
    }
    venv.join("bin/python")
}

fn consumed(registry: &Apicurio, topic: &str, count: usize) -> Vec<Value> {
    let output = run(Command::new(python()).arg(CONSUMER).args([
        SHARED.bootstrap.as_str(),
        &registry.url,
        topic,
        &count.to_string(),
    ]));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_read_our_topics() {
    let (prefix, folder) = (fresh_prefix(), tempfile::tempdir().unwrap());
    let file = folder.path().join("registry.json");
    let registry = tokio::task::spawn_blocking(Apicurio::start).await.unwrap();
    let bootstrap = tokio::task::spawn_blocking(|| SHARED.bootstrap.clone())
        .await
        .unwrap();
    let kafka = KafkaBus::connect(options(&bootstrap, &prefix)).await.unwrap();
    kafka.ensure_topics(&topic_specs()).await.unwrap();
    let numbers = Registry::open(&registry.url, file.clone()).await.unwrap();
    let bus = RegisteredBus::new(Arc::new(kafka.clone()), numbers);
    bus.append(vec![event(7), event(8)]).await.unwrap();

    // A consumer in Python that knows nothing but the two addresses.
    let topic = format!("{prefix}{PUSH_EVENTS}");
    let (registry, topic, mut seen) = tokio::task::spawn_blocking(move || {
        let seen = consumed(&registry, &topic, 2);
        (registry, topic, seen)
    })
    .await
    .unwrap();
    seen.sort_by_key(|row| row["key"].to_string());
    assert_eq!(seen[0]["key"], "7");
    assert_eq!(seen[1]["value"]["project_id"], 8);
    assert_eq!(seen[1]["value"]["envelope"]["record_version"], 1);

    // kcat shows keys and headers.
    let shown = tokio::task::spawn_blocking(move || {
        run(Command::new("kcat").args(["-b", &bootstrap, "-t", &topic, "-C", "-e", "-q", "-f", "%k %h\n"]))
    })
    .await
    .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown.lines().find(|line| line.starts_with("7 ")).unwrap();
    assert!(
        line.contains("ce_type=") && line.contains("content-type="),
        "{line}"
    );

    // The registry keeps versions compatible: a schema that old readers cannot read is refused there.
    let subject = "renku.push-events.v1-value";
    let answer = reqwest::Client::new()
        .post(format!("{}/subjects/{subject}/versions", registry.url))
        .header("content-type", "application/json")
        .body(json!({"schemaType": "AVRO", "schema": "{\"type\":\"record\",\"name\":\"PushEvent\",\"fields\":[]}"}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 409);

    // Without the registry everything that is known goes on, also after a restart.
    let registry = tokio::task::spawn_blocking(move || {
        registry.stop();
        registry
    })
    .await
    .unwrap();
    bus.append(vec![event(9)]).await.unwrap();
    assert_eq!(all(&bus).await.len(), 3);
    let numbers = Registry::open(&registry.url, file).await.unwrap();
    let bus = RegisteredBus::new(Arc::new(kafka), numbers);
    bus.append(vec![event(10)]).await.unwrap();
    let read = all(&bus).await;
    assert!(
        read.iter()
            .all(|record| record.value.as_ref().unwrap()[..2] == [0xC3, 1])
    );
    let first = Registry::open(&registry.url, folder.path().join("other.json")).await;
    assert!(matches!(first, Err(RegistryError::Unavailable(_))));
}
