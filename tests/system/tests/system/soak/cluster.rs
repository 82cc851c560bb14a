//! Three brokers, each process with a line of its own to each of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::free_port;
use tokio::runtime::Handle;

use super::line::{Line, State};

pub const BROKERS: usize = 3;

pub struct Cluster {
    folder: PathBuf,
    /// By process, then by broker.
    lines: Vec<Vec<Line>>,
    bootstraps: Vec<String>,
}

fn script(arguments: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/local/kafka.sh");
    let output = Command::new("bash").arg(script).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "kafka.sh {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ports of a way in: of the line, and of the broker behind it.
fn ports(file: &Path) -> Vec<(u16, u16)> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let (line, broker) = line.split_once(' ').unwrap();
        (line.parse().unwrap(), broker.parse().unwrap())
    };
    text.lines().map(line).collect()
}

impl Cluster {
    /// Starts what is in the folder, or makes it. It stops with this process, and the folder stays.
    pub fn start(handle: &Handle, folder: &Path, processes: usize) -> Self {
        let name = folder.to_str().unwrap();
        let owner = std::process::id().to_string();
        let mut arguments = vec!["start", name, "--brokers", "3", "--attend", &owner, "--keep"];
        let ways: Vec<String> = (0..processes)
            .map(|_| [(); BROKERS].map(|()| free_port().to_string()).join(","))
            .collect();
        arguments.extend(ways.iter().flat_map(|way| ["--through", way]));
        script(&arguments);
        let ways: Vec<Vec<(u16, u16)>> = (1..=processes)
            .map(|way| ports(&folder.join(format!("through.{way}"))))
            .collect();
        let lay = |ports: &Vec<(u16, u16)>| {
            let lay = |(listen, to): &(u16, u16)| Line::lay(handle, *listen, *to);
            ports.iter().map(lay).collect()
        };
        let bootstrap = |ports: &Vec<(u16, u16)>| {
            let brokers = ports.iter().map(|(line, _)| format!("127.0.0.1:{line}"));
            brokers.collect::<Vec<_>>().join(",")
        };
        Self {
            folder: folder.to_owned(),
            lines: ways.iter().map(lay).collect(),
            bootstraps: ways.iter().map(bootstrap).collect(),
        }
    }

    /// Brokers as a process reaches them.
    pub fn bootstrap(&self, process: usize) -> &str {
        &self.bootstraps[process]
    }

    /// The lines of a process, to one broker or to all.
    pub fn set_lines(&self, process: usize, broker: Option<usize>, state: State) {
        for (at, line) in self.lines[process].iter().enumerate() {
            if broker.is_none_or(|broker| broker == at) {
                line.set(state);
            }
        }
    }

    /// Without a word, as when its machine dies.
    pub fn kill(&self, broker: usize) {
        let number = (broker + 1).to_string();
        script(&["stop-broker", self.folder.to_str().unwrap(), &number, "--kill"]);
    }

    pub fn start_again(&self, broker: usize) {
        let number = (broker + 1).to_string();
        script(&["start-broker", self.folder.to_str().unwrap(), &number]);
    }

    /// It stands still, or goes on.
    pub fn pause(&self, broker: usize, pauses: bool) {
        let file = self.folder.join(format!("broker-{}/pid", broker + 1));
        let pid = std::fs::read_to_string(file).unwrap();
        let signal = if pauses { "-STOP" } else { "-CONT" };
        let told = Command::new("kill").args([signal, pid.trim()]).status().unwrap();
        assert!(told.success());
    }

    /// As an operator does.
    pub fn stop(&self) {
        script(&["stop", self.folder.to_str().unwrap()]);
    }
}
