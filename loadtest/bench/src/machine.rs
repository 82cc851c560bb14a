//! Where and when a figure was taken. Without it a figure says nothing.

use std::fs;
use std::path::Path;

use time::OffsetDateTime;
use time::macros::format_description;

/// The machine and the moment, as the head of a report shows them.
#[derive(Clone, Debug)]
pub struct Moment {
    pub when: OffsetDateTime,
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub memory_gib: f64,
    /// Load averages at the start: over 1, 5 and 15 minutes.
    pub load: String,
}

impl Moment {
    /// Reads `/proc`; what it does not tell is left empty.
    #[must_use]
    pub fn observe(now: OffsetDateTime) -> Self {
        let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            when: now,
            cpu: value_of(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_gib: value_of(&read("/proc/meminfo"), "MemTotal")
                .trim_end_matches(" kB")
                .parse::<f64>()
                .unwrap_or_default()
                / (1024.0 * 1024.0),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// The value behind `key` in the `key : value` lines that `/proc` is fond of.
pub(crate) fn value_of(text: &str, key: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
        let when = self.when.format(&format).unwrap_or_default();
        write!(
            f,
            "Taken {when} on {} × {}, {:.0} GiB, Linux {}; load when it began: {} (1, 5, 15 minutes).",
            self.cores, self.cpu, self.memory_gib, self.kernel, self.load
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc_lines() {
        assert_eq!(value_of("a\t: 1\nmodel name\t: X: Y\n", "model name"), "X: Y");
        assert_eq!(value_of("", "model name"), "");
    }
}
