//! A project under load: where its commits are, and what must be true when one has arrived.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::stack::{HOST, Stack};
use crate::measure::child;
use crate::renku_repo::{BRANCH, RenkuRepo, Shape, write_repository};

/// A project whose commits are made before the clock runs.
#[derive(Clone, Debug)]
pub(super) struct Project {
    pub(super) id: u32,
    shape: Shape,
    /// Has all commits.
    source: PathBuf,
    /// A bare clone that fetches what was pushed, for comparison.
    clone: PathBuf,
    pub(super) url: String,
    pub(super) commits: Vec<String>,
}

impl Project {
    /// Makes commits and the project in GitLab; nothing is pushed yet.
    pub(super) fn make(
        stack: &Stack,
        folder: &Path,
        slug: &str,
        activities: usize,
        pushes: usize,
    ) -> anyhow::Result<Self> {
        let shape = Shape {
            seed: 1,
            slug: slug.to_owned(),
            activities,
        };
        let name = slug.replace('/', "-");
        let source = folder.join(format!("{name}.git"));
        let commits = write_repository(&shape, pushes, &source)?;
        let clone = folder.join(format!("{name}-clone.git"));
        child::output(
            Command::new("git")
                .args(["init", "-q", "--bare", "-b", BRANCH])
                .arg(&clone),
        )?;
        let id = stack.create_project(slug)?;
        Ok(Self {
            id,
            shape,
            source,
            clone,
            url: stack.repository_url(slug),
            commits,
        })
    }

    /// Pushes up to the commit of this number; 0 is the first.
    pub(super) fn push(&self, number: usize) -> anyhow::Result<()> {
        let refspec = format!("{}:refs/heads/{BRANCH}", self.commits[number]);
        child::output(
            Command::new("git")
                .arg("-C")
                .arg(&self.source)
                .args(["push", "-q", &self.url, &refspec]),
        )?;
        Ok(())
    }

    /// What a bare `git fetch` of the newest commit takes, seconds: the whole program, the history cut off at it as the
    /// pipeline does.
    pub(super) fn fetch(&self) -> anyhow::Result<f64> {
        let refspec = format!("+refs/heads/{BRANCH}:refs/heads/{BRANCH}");
        let started = Instant::now();
        child::output(Command::new("git").arg("-C").arg(&self.clone).args([
            "fetch",
            "-q",
            "--depth",
            "1",
            "--no-tags",
            &self.url,
            &refspec,
        ]))?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// True once the commit of this number is in the graph: its newest activity is.
    pub(super) fn query(&self, number: usize) -> String {
        let newest = self.shape.activities + number - 1;
        format!(
            "ASK {{ GRAPH <https://{HOST}/projects/{}> {{ <https://{HOST}{}> a <http://www.w3.org/ns/prov#Activity> }} }}",
            self.shape.slug,
            RenkuRepo::activity_id(&self.shape, newest)
        )
    }
}
