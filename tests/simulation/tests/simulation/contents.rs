//! What projects may contain: commits of the fixture repositories, with the graph that each must become.

use std::sync::LazyLock;

use repos::MetadataFolder;
use testkit::{Commit, ExpectedGraph, Fixture};

pub const HOST: &str = "renku.test";

/// Fixture, and which of its commits: every so many.
const FIXTURES: [(&str, usize); 3] = [("project-meta", 1), ("datasets-basic", 5), ("empty-init", 1)];

/// One commit.
pub struct Version {
    pub name: String,
    pub commit: Commit,
    pub folders: Vec<MetadataFolder>,
    pub graph: ExpectedGraph,
}

pub static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(load);

fn load() -> Vec<Version> {
    let folder = tempfile::tempdir().unwrap();
    let mut versions = Vec::new();
    for (name, every) in FIXTURES {
        let fixture = Fixture::named(name);
        let git = fixture.clone_into(folder.path());
        for sha in git.line_of(&fixture.branch).iter().rev().step_by(every) {
            let commit = Commit::read(&git, sha);
            // The first commits of a project may not have a database yet.
            if let Ok(graph) = commit.graph(HOST) {
                let name = format!("{name}@{}", &sha[..7]);
                versions.push(Version {
                    name,
                    folders: commit.folders(),
                    commit,
                    graph,
                });
            }
        }
    }
    assert!(versions.len() >= 8, "{} commits with metadata", versions.len());
    versions
}
