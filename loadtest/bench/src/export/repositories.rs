//! The repositories that are exported: clones of the fixtures, and generated ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::measure::child;

/// A repository made by the real CLI, cloned from its bundle.
#[derive(Clone, Debug)]
pub(super) struct Fixture {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) triples: usize,
}

impl Fixture {
    /// Every fixture that has a full export, cloned once into `folder`.
    pub(super) fn all(fixtures: &Path, folder: &Path) -> anyhow::Result<Vec<Self>> {
        let path = fixtures.join("manifest.json");
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let manifest: Value =
            serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
        let mut all = Vec::new();
        for project in list(&manifest, "projects") {
            let full = list(project, "exports")
                .iter()
                .find(|export| export["kind"] == "full");
            let (Some(full), Some(name)) = (full, project["name"].as_str()) else {
                continue;
            };
            let bundle = fixtures.join(project["bundle"].as_str().unwrap_or_default());
            let remote = project["remotes"]["origin"].as_str().unwrap_or_default();
            let clone = folder.join(name);
            clone_once(
                &bundle,
                project["branch"].as_str().unwrap_or("master"),
                remote,
                &clone,
            )?;
            let triples = full["triples"].as_u64().unwrap_or_default() as usize;
            all.push(Self {
                name: name.to_owned(),
                folder: clone,
                triples,
            });
        }
        anyhow::ensure!(
            !all.is_empty(),
            "{} names no fixture with a full export",
            path.display()
        );
        Ok(all)
    }
}

/// A repository of a chosen size.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    pub(super) folder: PathBuf,
}

impl Generated {
    /// Made once, by this program in a process of its own.
    pub(super) fn make(activities: usize, bench: &Path, folder: &Path) -> anyhow::Result<Self> {
        let bare = folder.join(format!("generated-{activities}.git"));
        let clone = folder.join(format!("generated-{activities}"));
        if !clone.join(".git/complete").exists() {
            remove(&bare)?;
            let size = activities.to_string();
            child::output(
                Command::new(bench)
                    .args(["repo", "--activities", &size])
                    .arg(&bare),
            )?;
        }
        let remote = "https://gitlab.example.org/bench/generated.git";
        clone_once(&bare, crate::renku_repo::BRANCH, remote, &clone)?;
        Ok(Self { folder: clone })
    }
}

fn clone_once(source: &Path, branch: &str, remote: &str, clone: &Path) -> anyhow::Result<()> {
    let complete = clone.join(".git/complete");
    if complete.exists() {
        return Ok(());
    }
    remove(clone)?;
    child::output(
        Command::new("git")
            .args(["clone", "--quiet", "--no-hardlinks", "--branch", branch])
            .arg(source)
            .arg(clone),
    )?;
    // The host of all IRIs comes from the remote.
    child::output(
        Command::new("git")
            .arg("-C")
            .arg(clone)
            .args(["remote", "set-url", "origin", remote]),
    )?;
    std::fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}
