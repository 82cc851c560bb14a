use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::{Stopped, free_port, target_folder, wait_until_ready};

/// `xtask idle`
#[derive(Debug, Args)]
pub struct Options {
    /// How long to look, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Look at a running process instead of starting one.
    #[arg(long)]
    pid: Option<u32>,
}

/// What an idle node may cost.
const MOST_RESIDENT_MIB: f64 = 80.0;
const MOST_OF_A_CORE: f64 = 0.005;

/// Starts `renkud up` on an empty folder, leaves it alone, and reads what it cost.
pub fn run(root: &Path, options: &Options) -> Result<Vec<String>> {
    let (pid, started) = match options.pid {
        Some(pid) => (pid, None),
        None => {
            let started = start(root)?;
            (started.0.0.id(), Some(started))
        }
    };
    // The first seconds belong to the start.
    std::thread::sleep(Duration::from_secs(5));
    let (before, since) = (cpu_seconds(pid)?, Instant::now());
    std::thread::sleep(Duration::from_secs(options.seconds));
    let share = (cpu_seconds(pid)? - before) / since.elapsed().as_secs_f64();
    let memory = Memory::of(pid)?;
    println!(
        "idle: {:.1} MiB anonymous, {:.1} MiB of files, {} threads, {:.3} % of a core over {} s",
        memory.anonymous_mib,
        memory.files_mib,
        memory.threads,
        share * 100.0,
        options.seconds
    );
    drop(started);
    let mut faults = Vec::new();
    if memory.anonymous_mib + memory.program_mib > MOST_RESIDENT_MIB {
        faults.push(format!("more than {MOST_RESIDENT_MIB} MiB are resident"));
    }
    if share > MOST_OF_A_CORE {
        faults.push(format!(
            "more than {} % of a core is used",
            MOST_OF_A_CORE * 100.0
        ));
    }
    Ok(faults)
}

fn start(root: &Path) -> Result<(Stopped, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let (listen, admin) = (free_port()?, free_port()?);
    let child: Child = Command::new(target_folder(root).join("renkud"))
        .arg("up")
        .args(["--data", &folder.path().display().to_string()])
        .args([
            "--listen",
            &format!("127.0.0.1:{listen}"),
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
        ])
        .env("RENKU__HOOKS__SECRETS", "[\"0123456789abcdef0123456789abcdef\"]")
        .env("RENKU__GITLAB__URL", "http://127.0.0.1:9")
        .stderr(Stdio::null())
        .spawn()
        .context("renkud does not start: build it first (make build)")?;
    let child = Stopped(child);
    wait_until_ready(admin, Duration::from_secs(30))?;
    Ok((child, folder))
}

struct Memory {
    anonymous_mib: f64,
    /// All file pages, those of the views' mapped file among them.
    files_mib: f64,
    /// Pages of the executable itself.
    program_mib: f64,
    threads: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
        let field = |name: &str| -> Result<f64> {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .context("no such field in status")?;
            let number = line
                .split_whitespace()
                .nth(1)
                .context("an empty field in status")?;
            Ok(number.parse()?)
        };
        Ok(Self {
            anonymous_mib: field("RssAnon:")? / 1024.0,
            files_mib: field("RssFile:")? / 1024.0,
            program_mib: program_mib(pid)?,
            threads: field("Threads:")? as u64,
        })
    }
}

/// Resident pages of mapped executables and libraries: file pages that are not a store's.
fn program_mib(pid: u32) -> Result<f64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).context("the process is gone")?;
    let (mut counts, mut kib) = (false, 0.0);
    for line in maps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.contains('-') && !first.ends_with(':') {
            counts = line.ends_with("/renkud") || line.contains(".so");
        } else if counts && first == "Rss:" {
            kib += line
                .split_whitespace()
                .nth(1)
                .and_then(|n| n.parse::<f64>().ok())
                .unwrap_or(0.0);
        }
    }
    Ok(kib / 1024.0)
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The second field, in brackets, may hold spaces; user and system time are the 12th and 13th after it.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        bail!("stat is not understood")
    };
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<f64>);
    let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
        bail!("stat is not understood")
    };
    // Linux reports in hundredths of a second on every platform that we run on (USER_HZ).
    Ok((user + system) / 100.0)
}
