//! The same on Kafka, with a process for each role.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::kills::push_under_kills;
use crate::main_path::push_every_fixture;
use crate::node::{Place, Ports};
use crate::stack::{LONG, Stack};
use crate::traces::follow_a_push;

/// A process each. The last one has the views, and answers queries.
const ROLES: [&[&str]; 4] = [
    &["run", "webhook-service"],
    &["run", "commit-fetcher"],
    &["run", "triple-generator"],
    &["run", "graph-writer", "query-service"],
];

/// Starts one broker in the folder, which goes with this process; where it listens.
fn start_broker(folder: &std::path::Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/local/kafka.sh");
    let output = Command::new("bash")
        .args([script, "start"])
        .arg(folder)
        .args(["--attend", &std::process::id().to_string()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bootstrap = std::fs::read_to_string(folder.join("bootstrap")).unwrap();
    bootstrap.trim().to_owned()
}

/// Roles that share nothing but the cluster and the folder of blobs.
fn on_kafka() -> Stack {
    let data = tempfile::tempdir().unwrap();
    let brokers = start_broker(&tempfile::tempdir().unwrap().keep());
    let ports = Ports::free();
    let blobs = format!("file://{}", data.path().join("shared-blobs").display());
    let place = |arguments: &&'static [&'static str]| {
        let name = arguments[1];
        let own = Ports::free();
        let ports = match name {
            "webhook-service" => Ports {
                public: ports.public,
                ..own
            },
            "graph-writer" => Ports {
                admin: ports.admin,
                ..own
            },
            _ => own,
        };
        Place {
            arguments: arguments.to_vec(),
            data: data.path().join(name),
            ports,
            settings: vec![
                ("RENKU__BUS__KIND", "kafka".to_owned()),
                ("RENKU__BUS__BROKERS", brokers.clone()),
                ("RENKU__BUS__KAFKA__INSTANCE", name.to_owned()),
                ("RENKU__BLOBS__URL", blobs.clone()),
            ],
        }
    };
    let places = ROLES.iter().map(place).collect();
    Stack::with(ports, data, places)
}

#[test]
fn every_fixture_becomes_its_graph_on_kafka() {
    push_every_fixture(on_kafka());
}

#[test]
fn one_trace_holds_a_push_through_processes_on_kafka() {
    follow_a_push(on_kafka());
}

#[test]
fn killed_roles_lose_nothing_and_double_nothing_on_kafka() {
    let rounds = 2;
    push_under_kills(on_kafka(), 100, |stack, progress| {
        let kills = rounds * ROLES.len();
        for kill in 0..kills {
            let deadline = Instant::now() + LONG;
            while progress() < kill as f64 / kills as f64 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            stack.kill_and_start(kill % ROLES.len());
        }
        stack.wait_until_ready();
        (kills, 0)
    });
}
