//! What a soak that was broken off goes on from: one JSON file, written after each round.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::projects::Projects;

pub struct Journal {
    folder: PathBuf,
    pub seed: u64,
    pub rounds: u64,
    pub pushes: u64,
    pub faults: u64,
    /// Generations that a view has applied and that were counted.
    pub generations: u64,
    pub projects: Vec<Value>,
}

impl Journal {
    /// Of a soak in this folder, or of a new one with that seed.
    pub fn open(folder: &Path, seed: u64) -> Self {
        let known: Value = match std::fs::read_to_string(folder.join("journal.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => json!({"seed": seed}),
        };
        let number = |name: &str| known[name].as_u64().unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            seed: number("seed"),
            rounds: number("rounds"),
            pushes: number("pushes"),
            faults: number("faults"),
            generations: number("generations"),
            projects: known["projects"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// Repositories of GitLab, by how often it was started.
    pub fn gitlab(&self) -> (Option<PathBuf>, PathBuf) {
        let folder = |number: u64| self.folder.join(format!("gitlab-{number}"));
        let number = (0..).find(|number| !folder(*number).exists()).unwrap();
        (number.checked_sub(1).map(folder), folder(number))
    }

    /// By a rename, so that it is whole whenever the soak is broken off.
    pub fn write(&mut self, projects: &Projects) {
        self.projects = projects
            .all
            .iter()
            .map(super::projects::Project::written)
            .collect();
        let text = json!({
            "seed": self.seed, "rounds": self.rounds, "pushes": self.pushes, "faults": self.faults,
            "generations": self.generations, "projects": self.projects,
        });
        let new = self.folder.join("journal.new");
        std::fs::write(&new, text.to_string()).unwrap();
        std::fs::rename(new, self.folder.join("journal.json")).unwrap();
    }
}
