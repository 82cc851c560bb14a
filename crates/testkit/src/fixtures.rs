use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Git;

/// A repository made by the `renku` CLI, with what the CLI exports of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Fixture {
    /// Its name.
    pub name: String,
    /// The file in the folder of fixtures.
    pub bundle: String,
    /// The branch that the exports are of.
    pub branch: String,
    /// The newest commit of that branch.
    pub head: String,
    /// What the CLI printed.
    #[serde(default)]
    pub exports: Vec<Export>,
}

/// One export by the CLI.
#[derive(Clone, Debug, Deserialize)]
pub struct Export {
    /// `full`, or a name for a range.
    pub kind: String,
    /// The file.
    #[serde(default)]
    pub file: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    projects: Vec<Fixture>,
}

/// Where they are.
pub fn fixtures_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// All of them.
pub fn fixtures() -> Vec<Fixture> {
    let text = std::fs::read(fixtures_folder().join("manifest.json")).expect("the fixtures have a manifest");
    serde_json::from_slice::<Manifest>(&text)
        .expect("the manifest is as it was")
        .projects
}

impl Fixture {
    /// The one of that name.
    pub fn named(name: &str) -> Self {
        fixtures()
            .into_iter()
            .find(|fixture| fixture.name == name)
            .expect("there is a fixture of that name")
    }

    /// Whether the CLI exports it.
    pub fn is_exported(&self) -> bool {
        self.exports
            .iter()
            .any(|export| export.kind == "full" && export.file.is_some())
    }

    /// The bundle.
    pub fn path(&self) -> PathBuf {
        fixtures_folder().join(&self.bundle)
    }

    /// A bare clone in `folder`.
    pub fn clone_into(&self, folder: &Path) -> Git {
        Git::clone_bare(&self.path(), &folder.join(format!("{}.git", self.name)))
    }
}
