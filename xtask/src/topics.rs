use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

const ROLES: &[&str] = &[
    "webhook-service",
    "commit-fetcher",
    "triple-generator",
    "graph-writer",
    "query-service",
    "operator",
];

/// What is checked of `topics/*.yaml`; crates/events reads all of it.
#[derive(Deserialize)]
struct Declaration {
    topic: String,
    partition_by: String,
    partitions: u32,
    value: String,
    written_by: Vec<String>,
    read_by: Vec<String>,
}

/// Declarations that make no sense.
pub fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut counts = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("topics")).context("topics/ cannot be read")? {
        let path = entry?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path)?;
        let topic: Declaration = match serde_yaml_ng::from_str(&text) {
            Ok(topic) => topic,
            Err(error) => {
                faults.push(format!("topics/{file}: {error}"));
                continue;
            }
        };
        if file != format!("{}.yaml", topic.topic) {
            faults.push(format!("topics/{file} declares {}", topic.topic));
        }
        if !root.join("schemas").join(&topic.value).is_dir() {
            faults.push(format!("topics/{file}: schemas/{} is missing", topic.value));
        }
        if topic.partition_by.starts_with("project") {
            counts.insert(topic.partitions);
        }
        for role in topic.written_by.iter().chain(&topic.read_by) {
            if !ROLES.contains(&role.as_str()) {
                faults.push(format!("topics/{file}: {role} is no role"));
            }
        }
    }
    if counts.len() > 1 {
        faults.push(format!(
            "topics partitioned by project must have equally many partitions, not {counts:?}"
        ));
    }
    Ok(faults)
}
