//! A process that answers the queries of the list, ours or the peer's, spoken to in lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

/// What one execution took, seconds: the mean over the repetitions of one command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    pub wall: f64,
    pub cpu: f64,
}

/// What came out: rows, and a digest over the sorted lines where the rows are not a choice of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub rows: u64,
    pub digest: Option<String>,
}

impl Answer {
    /// # Errors
    /// The value is not what a worker writes.
    pub fn read(value: &Value) -> anyhow::Result<Self> {
        let rows = value["rows"].as_u64().context("an answer without rows")?;
        Ok(Self {
            rows,
            digest: value["digest"].as_str().map(str::to_owned),
        })
    }
}

/// A running worker. It ends when this is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Served {
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the worker has no output")?);
        Ok(Self { child, input, output })
    }

    fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        let input = self.input.as_mut().context("the worker is closed")?;
        writeln!(input, "{line}").context("the worker is gone")?;
        let mut reply = String::new();
        self.output.read_line(&mut reply).context("the worker is gone")?;
        anyhow::ensure!(!reply.is_empty(), "the worker ended at `{line}`");
        serde_json::from_str(&reply).with_context(|| format!("the worker answered {reply:?}"))
    }

    /// Runs a query `times` times.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn time(&mut self, query: usize, times: usize, visible: &str) -> anyhow::Result<Timing> {
        let reply = self.ask(&format!("time {query} {times} {visible}"))?;
        let field = |name: &str| {
            reply[name]
                .as_f64()
                .with_context(|| format!("a timing without {name}: {reply}"))
        };
        Ok(Timing {
            wall: field("wall")?,
            cpu: field("cpu")?,
        })
    }

    /// Runs it once for what comes out.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn answer(&mut self, query: usize, visible: &str) -> anyhow::Result<Answer> {
        Answer::read(&self.ask(&format!("answer {query} {visible}"))?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A closed input ends the worker; a stuck one is ended by force.
        drop(self.input.take());
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often to repeat a query so that one command takes about `aim` seconds.
#[must_use]
pub fn repetitions(once: Timing, aim: f64) -> usize {
    (aim / once.wall.max(1e-6)).ceil().clamp(1.0, 5_000.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_in_lines() {
        let script = r#"while read what rest; do
            case $what in
              time) echo '{"wall": 0.5, "cpu": 0.25}';;
              *) echo '{"rows": 3, "digest": null}';;
            esac
          done"#;
        let mut served = Served::start(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(served.time(0, 2, "all").unwrap(), Timing { wall: 0.5, cpu: 0.25 });
        assert_eq!(
            served.answer(0, "all").unwrap(),
            Answer {
                rows: 3,
                digest: None
            }
        );
    }

    #[test]
    fn a_worker_that_ends_is_an_error() {
        let mut served = Served::start(&mut Command::new("true")).unwrap();
        assert!(served.answer(0, "all").is_err());
    }

    #[test]
    fn repeats_short_queries_only() {
        assert_eq!(repetitions(Timing { wall: 2.0, cpu: 2.0 }, 0.03), 1);
        assert_eq!(
            repetitions(
                Timing {
                    wall: 0.001,
                    cpu: 0.001
                },
                0.03
            ),
            30
        );
        assert_eq!(repetitions(Timing { wall: 0.0, cpu: 0.0 }, 0.03), 5_000);
    }
}
