//! A program run once, from start to end, with what it used.

use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use wait4::Wait4 as _;

/// What one whole process used, its own children included.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub status: ExitStatus,
    /// Seconds from before the start until the end was seen.
    pub wall: f64,
    /// User and system seconds.
    pub cpu: f64,
    /// Largest resident size, MiB. The kernel counts the pages of the process that started it up to the
    /// moment of `exec`, so the measuring process itself must stay small.
    pub peak_mib: f64,
}

/// Runs a command to its end, output thrown away, and takes the kernel's account of it.
///
/// # Errors
/// The program cannot be started or waited for.
pub fn run(command: &mut Command) -> anyhow::Result<Usage> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let used = child.wait4().context("wait for the program")?;
    let wall = started.elapsed().as_secs_f64();
    Ok(Usage {
        status: used.status,
        wall,
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_mib: used.rusage.maxrss as f64 / (1024.0 * 1024.0),
    })
}

/// As [`run`], and what it wrote to standard output.
///
/// # Errors
/// As [`run`].
pub fn run_for_output(command: &mut Command) -> anyhow::Result<(Usage, Vec<u8>)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_end(&mut output)
            .context("read the program's output")?;
    }
    let used = child.wait4().context("wait for the program")?;
    let usage = Usage {
        status: used.status,
        wall: started.elapsed().as_secs_f64(),
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_mib: used.rusage.maxrss as f64 / (1024.0 * 1024.0),
    };
    Ok((usage, output))
}

/// As [`run`], and the program must end well.
///
/// # Errors
/// As [`run`], and an exit code other than 0.
pub fn run_well(command: &mut Command) -> anyhow::Result<Usage> {
    let usage = run(command)?;
    anyhow::ensure!(usage.status.success(), "{command:?} ended with {}", usage.status);
    Ok(usage)
}

/// Runs a command for its output.
///
/// # Errors
/// It cannot be started, or ends badly: its error text is in the message.
pub fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_cpu_and_grandchildren() {
        let busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
        let alone = run_well(Command::new("sh").args(["-c", busy])).unwrap();
        let nested = run_well(Command::new("sh").args(["-c", &format!("(sh -c '{busy}'); :")])).unwrap();
        assert!(alone.cpu > 0.001 && alone.peak_mib > 0.1);
        assert!(nested.cpu > alone.cpu * 0.3, "{} {}", nested.cpu, alone.cpu);
    }

    #[test]
    fn a_bad_end_is_an_error() {
        assert!(run_well(&mut Command::new("false")).is_err());
        assert!(run(&mut Command::new("/nonexistent/program")).is_err());
        let message = output(Command::new("sh").args(["-c", "echo oops >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(message.contains("oops"), "{message}");
    }
}
