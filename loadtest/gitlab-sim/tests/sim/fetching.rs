//! A project of the stand-in and the mirrors that it is fetched into.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitlab_sim::{Commit, NewProject};
use model::{ProjectId, Secret, Slug};
use repos::{Cancel, FetchError, FetchLimits, Fetched, MirrorSettings, Mirrors, RemoteBranch};

use crate::stage::{Stage, files};

pub struct Fetching {
    pub mirrors: Arc<Mirrors>,
    pub slug: Slug,
    pub project: ProjectId,
}

pub fn mirrors(stage: &Stage, token: &str, limits: FetchLimits) -> Arc<Mirrors> {
    let settings = MirrorSettings {
        folder: stage.folder.path().join("mirrors"),
        gitlab: stage.sim.url().parse().unwrap(),
        token: Some(Secret::new(token)),
        limits,
    };
    Arc::new(Mirrors::open(settings).unwrap())
}

pub async fn project(stage: &Stage, limits: FetchLimits) -> Fetching {
    let project = stage
        .sim
        .create_project(NewProject::new("group/project"))
        .await
        .unwrap();
    Fetching {
        mirrors: mirrors(stage, stage.sim.token(), limits),
        slug: "group/project".parse().unwrap(),
        project,
    }
}

impl Fetching {
    pub async fn of(&self, branch: &str) -> Result<Fetched, FetchError> {
        let (mirrors, slug, project, branch) = (
            self.mirrors.clone(),
            self.slug.clone(),
            self.project,
            branch.to_owned(),
        );
        let fetch = move || {
            let from = RemoteBranch {
                slug: &slug,
                branch: &branch,
                token: None,
            };
            mirrors.fetch(project, &from, &Cancel::new())
        };
        tokio::task::spawn_blocking(fetch).await.unwrap()
    }

    pub async fn head(&self) -> Result<Fetched, FetchError> {
        self.of("main").await
    }

    /// Contents of all files, by path.
    pub fn contents(&self, fetched: &Fetched) -> BTreeMap<String, Vec<u8>> {
        let files: Vec<_> = fetched
            .folders
            .iter()
            .flat_map(|folder| folder.files.iter())
            .collect();
        let blobs: Vec<_> = files.iter().map(|file| file.blob).collect();
        let contents = self.mirrors.read(self.project, &blobs).unwrap();
        files
            .iter()
            .zip(contents)
            .map(|(file, content)| (file.path.to_string(), content.to_vec()))
            .collect()
    }
}

pub fn metadata(pairs: &[(&str, &str)]) -> Commit {
    Commit {
        files: files(pairs),
        message: "Change metadata\n\nmore".into(),
        ..Commit::file("x", "")
    }
}

pub const AB: &str = ".renku/metadata/ab/cd/abcd0000";
pub const EF: &str = ".renku/metadata/ef/01/ef010000";
