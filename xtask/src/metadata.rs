use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What `cargo metadata` tells of everything that is linked.
pub struct Workspace {
    pub packages: Vec<Package>,
}

/// One crate.
pub struct Package {
    pub name: String,
    pub version: String,
    pub licence: Option<String>,
    pub ours: bool,
    pub source: Option<String>,
    /// Crates that it names itself, by kind.
    pub uses: BTreeSet<Use>,
}

/// A dependency as declared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub name: String,
    /// For tests only.
    pub tests_only: bool,
}

#[derive(Deserialize)]
struct Raw {
    packages: Vec<RawPackage>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Workspace {
    pub fn read(root: &Path) -> Result<Self> {
        // Only what is linked on the platform that we run on counts.
        let output = Command::new("cargo")
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
            ])
            .arg(platform()?)
            .current_dir(root)
            .output()
            .context("cargo metadata does not start")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let raw: Raw =
            serde_json::from_slice(&output.stdout).context("cargo metadata gave something else")?;
        Ok(Self::from_raw(raw))
    }

    fn from_raw(raw: Raw) -> Self {
        let names: BTreeMap<_, _> = raw
            .packages
            .iter()
            .map(|p| (p.id.clone(), p.name.clone()))
            .collect();
        let mut uses: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
        for node in raw.resolve.nodes {
            let declared = node.deps.into_iter().filter_map(|dep| {
                let name = names.get(&dep.pkg)?.clone();
                let tests_only = dep
                    .dep_kinds
                    .iter()
                    .all(|kind| kind.kind.as_deref() == Some("dev"));
                Some(Use { name, tests_only })
            });
            uses.insert(node.id, declared.collect());
        }
        let packages = raw
            .packages
            .into_iter()
            .map(|package| Package {
                ours: raw.workspace_members.contains(&package.id),
                uses: uses.remove(&package.id).unwrap_or_default(),
                name: package.name,
                version: package.version,
                licence: package.license,
                source: package.source,
            })
            .collect();
        Self { packages }
    }

    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.ours)
    }
}

fn platform() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc does not start")?;
    let told = String::from_utf8(output.stdout).context("rustc -vV gave no text")?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
