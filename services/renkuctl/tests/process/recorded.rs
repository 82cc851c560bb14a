//! Recorded repositories and what the real CLI printed of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Manifest {
    pub projects: Vec<Project>,
}

#[derive(Deserialize)]
pub struct Project {
    pub name: String,
    pub bundle: String,
    pub remotes: std::collections::BTreeMap<String, String>,
    pub exports: Vec<Export>,
}

#[derive(Deserialize)]
pub struct Export {
    pub file: String,
    pub revision: Option<String>,
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub fn manifest() -> Manifest {
    let text = std::fs::read(fixtures().join("manifest.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

pub fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Project {
    /// Clones the repository, bare or with a work tree, and gives it the remote that it had.
    pub fn clone_into(&self, parent: &Path, is_bare: bool) -> PathBuf {
        let folder = parent.join(&self.name);
        let bundle = fixtures().join(&self.bundle);
        let mut arguments = vec!["clone", "-q"];
        if is_bare {
            arguments.push("--bare");
        }
        arguments.extend([bundle.to_str().unwrap(), folder.to_str().unwrap()]);
        git(parent, &arguments);
        for (name, url) in &self.remotes {
            git(&folder, &["remote", "set-url", name, url]);
        }
        folder
    }
}

/// Runs the executable. RENKU_DOMAIN is set only if given.
pub fn renkuctl(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_renkuctl"))
        .args(arguments)
        .env_remove("RENKU_DOMAIN")
        .env_remove("RENKU__HOOKS__SECRETS")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}
