//! A GitLab without a network: projects, facts and content, each answer behind a gate.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use commit_fetcher::edges::{ContentSource, FactsError, FactsSource, FetchError, Fetched, Head, Trouble};
use commit_fetcher::facts::Aim;
use events::{ProjectState, Signature};
use model::{GitObjectId, ProjectId, Slug, Timestamp, Visibility};
use parking_lot::Mutex;

use crate::contents::VERSIONS;
use crate::gates::{GatesOf, Verdict};

/// A project as GitLab has it.
#[derive(Clone, Debug)]
pub struct Project {
    pub slug: Slug,
    pub visibility: Visibility,
    pub branch: String,
    /// Which of the contents; none: no commit yet.
    pub content: Option<usize>,
    pub is_there: bool,
    /// Something has changed since the last hook that was accepted.
    pub unannounced: bool,
}

pub type Projects = Arc<Mutex<BTreeMap<ProjectId, Project>>>;

/// GitLab as a process reaches it.
pub struct GitLab {
    pub projects: Projects,
    pub gates: GatesOf,
}

impl GitLab {
    async fn pass(&self, what: String) -> Result<(), Trouble> {
        match self.gates.pass(what, true).await {
            Verdict::Go => Ok(()),
            Verdict::FailBefore => Err(Trouble::down("the simulation says so")),
            Verdict::FailAfter => Err(Trouble::Garbage("the simulation says so".to_owned())),
        }
    }

    fn project(&self, id: ProjectId) -> Option<Project> {
        self.projects
            .lock()
            .get(&id)
            .filter(|project| project.is_there)
            .cloned()
    }
}

#[async_trait]
impl FactsSource for GitLab {
    async fn facts(&self, id: ProjectId) -> Result<ProjectState, FactsError> {
        self.pass(format!("facts of {id} request")).await?;
        let answer = self
            .project(id)
            .map(|project| state(&project))
            .ok_or(FactsError::Gone);
        self.pass(format!("facts of {id} answer")).await?;
        answer
    }
}

#[async_trait]
impl ContentSource for GitLab {
    async fn fetch(&self, id: ProjectId, aim: &Aim) -> Result<Fetched, FetchError> {
        self.pass(format!("fetch {id} request")).await?;
        let project = self.project(id).filter(|project| project.slug == aim.slug);
        self.pass(format!("fetch {id} answer")).await?;
        let project = project.ok_or(FetchError::NoRepository)?;
        let content = project
            .content
            .filter(|_| project.branch == aim.branch)
            .ok_or(FetchError::NoBranch)?;
        let version = &VERSIONS[content];
        let signature = Signature {
            name: "Ada".into(),
            email: "ada@example.org".into(),
            at: Timestamp::from_micros(3),
        };
        Ok(Fetched {
            head: Head {
                sha: version.commit.sha,
                parents: Vec::new(),
                author: signature.clone(),
                committer: signature,
                title: version.name.clone(),
                r#ref: format!("refs/heads/{}", aim.branch),
            },
            folders: version.folders.clone(),
            linked: Vec::new(),
            bytes: 1_000,
        })
    }

    async fn read(&self, _: ProjectId, blobs: &[GitObjectId]) -> Result<Vec<Bytes>, FetchError> {
        let content = |id: &GitObjectId| {
            VERSIONS
                .iter()
                .find_map(|version| version.commit.blobs.get(id).cloned())
        };
        Ok(blobs
            .iter()
            .map(|id| content(id).expect("it was listed"))
            .collect())
    }
}

pub fn state(project: &Project) -> ProjectState {
    let slug = &project.slug;
    ProjectState {
        slug: slug.clone(),
        name: slug.project().to_owned(),
        description: None,
        visibility: project.visibility,
        members: Vec::new(),
        default_branch: project.content.map(|_| project.branch.clone()),
        created_at: Timestamp::from_micros(1),
        updated_at: None,
        creator_id: None,
        topics: Vec::new(),
        images: Vec::new(),
        fork_parent: None,
        empty_repository: project.content.is_none(),
        archived: false,
        http_url: format!("https://gitlab.test/{slug}.git"),
        ssh_url: String::new(),
        web_url: String::new(),
        readme_url: None,
        forks_count: 0,
        stars_count: 0,
    }
}
