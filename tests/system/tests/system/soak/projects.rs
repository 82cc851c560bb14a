//! Projects that change at random, and what must be known of them in the end.

use std::path::PathBuf;

use gitlab_sim::{Change, Commit, NewProject, Sim};
use model::{Digest, ProjectId, Slug, Visibility};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use testkit::{Fixture, Git};
use tokio::runtime::Handle;

use crate::node::HOST;

/// What projects begin with.
const FIXTURES: [&str; 3] = ["empty-init", "datasets-basic", "workflows-run"];
/// The object that every push changes.
const PROJECT: &str = ".renku/metadata/project";
/// In the slug of whoever never was anything but private.
pub const SECRET: &str = "secret-";

#[derive(Clone, Debug)]
pub struct Project {
    pub id: ProjectId,
    pub slug: Slug,
    pub visibility: Visibility,
    pub pushes: u64,
    branch: String,
    /// The object as the fixture has it.
    object: Value,
}

impl Project {
    pub fn is_secret(&self) -> bool {
        self.slug.as_str().contains(SECRET)
    }

    /// As a journal keeps it.
    pub fn written(&self) -> Value {
        json!({"id": self.id.get(), "slug": self.slug.as_str(), "visibility": self.visibility.as_str(), "pushes": self.pushes})
    }
}

pub struct Projects {
    pub all: Vec<Project>,
    sim: Sim,
    handle: Handle,
}

impl Projects {
    /// Makes them in GitLab. `known`: as a journal has them; their repositories are in the folder of the GitLab that was before.
    pub fn make(sim: &Sim, handle: &Handle, count: usize, known: &[Value], before: Option<&PathBuf>) -> Self {
        let fixtures: Vec<(Fixture, Value)> = FIXTURES
            .iter()
            .map(|name| {
                let fixture = Fixture::named(name);
                let folder = tempfile::tempdir().unwrap();
                let git = fixture.clone_into(folder.path());
                let object = git.ok(&["show", &format!("{}:{PROJECT}", fixture.head)]);
                (fixture, serde_json::from_str(&object).unwrap())
            })
            .collect();
        let make = |number: usize| {
            let (fixture, object) = &fixtures[number % FIXTURES.len()];
            let known = known.get(number);
            let text = |name: &str| known.map(|known| known[name].as_str().unwrap().to_owned());
            let secret = if number.is_multiple_of(4) { SECRET } else { "" };
            let slug = text("slug").unwrap_or(format!("soak/group-{}/{secret}{number}", number % 7));
            let visibility = match (text("visibility"), number % 4) {
                (Some(known), _) => known.parse().unwrap(),
                (None, 0) => Visibility::Private,
                (None, 1) => Visibility::Internal,
                (None, _) => Visibility::Public,
            };
            let bundle = match (known, before) {
                (Some(known), Some(folder)) => repository(folder, known["id"].as_u64().unwrap()),
                _ => fixture.path(),
            };
            let new = NewProject {
                id: Some(u32::try_from(number + 1).unwrap()),
                default_branch: Some(fixture.branch.clone()),
                ..NewProject::new(&slug).bundle(bundle).visibility(visibility)
            };
            Project {
                id: handle.block_on(sim.create_project(new)).unwrap(),
                slug: slug.parse().unwrap(),
                visibility,
                pushes: known.map_or(0, |known| known["pushes"].as_u64().unwrap()),
                branch: fixture.branch.clone(),
                object: object.clone(),
            }
        };
        Self {
            all: (0..count).map(make).collect(),
            sim: sim.clone(),
            handle: handle.clone(),
        }
    }

    /// Pushes a commit that changes what the project says of itself. Its id.
    pub fn push(&mut self, at: usize) -> String {
        let project = &mut self.all[at];
        project.pushes += 1;
        let mut object = project.object.clone();
        object["description"] = json!(format!("state {} of {}", project.pushes, project.id));
        object["keywords"] = json!([format!("push-{}", project.pushes), "soak"]);
        let commit = Commit::file(PROJECT, object.to_string()).on(&project.branch);
        self.handle.block_on(self.sim.commit(project.id, commit)).unwrap()
    }

    /// Another name, or others who see it.
    pub fn change(&mut self, at: usize, random: &mut StdRng) {
        let project = &mut self.all[at];
        let mut change = Change::default();
        if random.random_bool(0.3) {
            let secret = if project.is_secret() { SECRET } else { "" };
            let slug = format!(
                "soak/group-{}/{secret}{at}-{}",
                random.random_range(0..7),
                project.pushes
            );
            project.slug = slug.parse().unwrap();
            change.slug = Some(slug);
        } else if !project.is_secret() {
            let all = [Visibility::Public, Visibility::Internal, Visibility::Private];
            project.visibility = all[random.random_range(0..3)];
            change.visibility = Some(project.visibility);
        }
        self.handle
            .block_on(self.sim.change_project(project.id, change))
            .unwrap();
    }

    /// The digest that a project's graph must have, and its head. Computed from the repository by the exporter alone.
    pub fn expected(&self, at: usize) -> (Digest, String) {
        let project = &self.all[at];
        let head = self.sim.head(project.id, &project.branch).unwrap();
        let git = Git::open(&self.sim.repository(project.id).unwrap());
        let graph = testkit::Commit::read(&git, &head).graph(HOST).unwrap();
        (graph.digest(&project.slug), head)
    }

    /// Names of the graphs that everybody sees, sorted.
    pub fn public_graphs(&self) -> Vec<String> {
        let public = self.all.iter().filter(|p| p.visibility == Visibility::Public);
        let mut names: Vec<String> = public
            .map(|project| format!("https://{HOST}/projects/{}", project.slug))
            .collect();
        names.sort_unstable();
        names
    }
}

/// Where a GitLab had the repository of a project.
fn repository(folder: &PathBuf, id: u64) -> PathBuf {
    let of = format!("{id}-");
    let mut entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&of)
        })
        .unwrap()
}
