//! How much room the disks have that this process writes to.

use std::path::PathBuf;

use crate::metrics::{IntGaugeVec, MetricError, MetricKind, MetricSpec, Metrics, level};

const FREE: MetricSpec = MetricSpec {
    name: "renku_disk_free_bytes",
    kind: MetricKind::Gauge,
    help: "Bytes that this process may still write to the disk of a folder: data, and blobs when they are elsewhere.",
    labels: &["folder"],
};

const SIZE: MetricSpec = MetricSpec {
    name: "renku_disk_size_bytes",
    kind: MetricKind::Gauge,
    help: "The size of that disk.",
    labels: &["folder"],
};

/// The catalogue.
pub const METRICS: &[MetricSpec] = &[FREE, SIZE];

/// Tells the room of the folders' disks from now on. Each has a word for its label.
pub fn watch(metrics: &Metrics, folders: Vec<(&'static str, PathBuf)>) -> Result<(), MetricError> {
    let (free, size) = (metrics.gauge(&FREE)?, metrics.gauge(&SIZE)?);
    metrics.before_exposition(move || {
        for (word, folder) in &folders {
            match rustix::fs::statvfs(folder) {
                Ok(found) => {
                    set(&free, word, found.f_bavail.saturating_mul(found.f_frsize));
                    set(&size, word, found.f_blocks.saturating_mul(found.f_frsize));
                }
                // What was told last is not true any more.
                Err(_) => [&free, &size].into_iter().for_each(|gauge| {
                    let _ = gauge.remove_label_values(&[word]);
                }),
            }
        }
    });
    Ok(())
}

fn set(gauge: &IntGaugeVec, word: &str, bytes: u64) {
    gauge.with_label_values(&[word]).set(level(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_there_has_a_size() {
        let metrics = Metrics::new();
        let folder = tempfile::tempdir().unwrap();
        let folders = vec![
            ("data", folder.path().to_owned()),
            ("blobs", "/no/such/folder".into()),
        ];
        watch(&metrics, folders).unwrap();
        let text = metrics.exposition().unwrap();
        let told = |name: &str| -> i64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        let (free, size) = (
            told("renku_disk_free_bytes{folder=\"data\"}"),
            told("renku_disk_size_bytes{folder=\"data\"}"),
        );
        assert!(0 <= free && free <= size, "{text}");
        assert!(!text.contains("folder=\"blobs\""), "{text}");
    }
}
