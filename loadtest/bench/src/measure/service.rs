//! A running process, watched through `/proc`.

use std::fs;

use anyhow::Context as _;

use crate::machine::value_of;

/// Ticks of `/proc/<pid>/stat`: fixed at 100 a second in what Linux shows to programs.
const TICKS: f64 = 100.0;

/// CPU seconds that a process has used so far, children that it waited for included.
///
/// # Errors
/// The process is gone, or `/proc` is not as Linux writes it.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse_stat(&stat).context("cannot read /proc/<pid>/stat")
}

/// The same to the nanosecond, threads that ended and waited-for children left out.
///
/// # Errors
/// The process is gone, or the kernel has no schedstat.
pub fn running_seconds(pid: u32) -> anyhow::Result<f64> {
    let mut total = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let path = task?.path().join("schedstat");
        // A thread may end between listing and reading.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        total += text
            .split(' ')
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(total as f64 / 1e9)
}

/// Processor time of this process, exact. What the kernel writes of other processes is as of their last clock tick.
#[must_use]
pub fn own_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn parse_stat(stat: &str) -> Option<f64> {
    // The name in brackets may hold anything, so count from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<f64>().unwrap_or(0.0))
        .sum();
    Some(ticks / TICKS)
}

/// Resident memory of a process by kind, MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resident {
    /// Heap and stacks.
    pub anonymous: f64,
    /// Pages of mapped files that are not data of a store: the executable and libraries.
    pub program: f64,
    /// Pages of mapped files under the data folder: the kernel's page cache, given back on demand.
    pub data: f64,
}

impl Resident {
    /// What the process holds for itself.
    #[must_use]
    pub fn own(self) -> f64 {
        self.anonymous + self.program
    }
}

/// Sorts the resident pages of a process by what is behind them; files under `data_folder` are data.
///
/// # Errors
/// The process is gone, or is not ours to read.
pub fn resident(pid: u32, data_folder: &str) -> anyhow::Result<Resident> {
    let maps =
        fs::read_to_string(format!("/proc/{pid}/smaps")).with_context(|| format!("process {pid} is gone"))?;
    Ok(parse_smaps(&maps, data_folder))
}

fn parse_smaps(maps: &str, data_folder: &str) -> Resident {
    let mut resident = Resident {
        anonymous: 0.0,
        program: 0.0,
        data: 0.0,
    };
    let mut path = "";
    let mut rss = 0.0;
    for line in maps.lines() {
        let Some((key, value)) = line.split_once(':').filter(|(key, _)| !key.contains(' ')) else {
            // A new mapping: `address perms offset dev inode path`.
            path = line.splitn(6, ' ').nth(5).unwrap_or("").trim();
            continue;
        };
        let kib = value.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0;
        match key {
            "Rss" => rss = kib,
            "Anonymous" => {
                resident.anonymous += kib;
                if path.starts_with(data_folder) {
                    resident.data += rss - kib;
                } else {
                    resident.program += rss - kib;
                }
            }
            _ => {}
        }
    }
    resident
}

/// Peak resident size so far, MiB.
///
/// # Errors
/// The process is gone.
pub fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    Ok(value_of(&status, "VmHWM")
        .trim_end_matches(" kB")
        .parse::<f64>()
        .unwrap_or(0.0)
        / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_counted_from_the_end_of_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 20 5 20 0 1 0 100 1000 10";
        assert_eq!(parse_stat(stat), Some(2.25));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn pages_are_sorted_by_what_is_behind_them() {
        let maps = "55a0-55b0 r-xp 00000000 08:01 12 /usr/bin/x\nSize: 100 kB\nRss: 2048 kB\nAnonymous: 0 kB\n\
                    7f00-7f10 rw-p 00000000 00:00 0\nRss: 1024 kB\nAnonymous: 1024 kB\n\
                    7f20-7f30 r--s 00000000 08:01 13 /data/views/data.mdb\nRss: 4096 kB\nAnonymous: 0 kB\n";
        let resident = parse_smaps(maps, "/data");
        assert_eq!(
            resident,
            Resident {
                anonymous: 1.0,
                program: 2.0,
                data: 4.0
            }
        );
        assert_eq!(resident.own(), 3.0);
    }

    #[test]
    fn watches_itself() {
        let pid = std::process::id();
        assert!(resident(pid, "/nonexistent").unwrap().own() > 0.5);
        assert!(
            cpu_seconds(pid).is_ok() && running_seconds(pid).unwrap() > 0.0 && peak_mib(pid).unwrap() > 0.5
        );
    }
}
