use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use commit_fetcher::edges::{ContentSource, FactsError, FactsSource, FetchError, Fetched, Head, Trouble};
use commit_fetcher::facts::Aim;
use events::{MetadataEntry, ProjectState, Signature};
use model::{BlobName, GitObjectId, ProjectId, Sha, Timestamp, Visibility};
use parking_lot::Mutex;
use repos::{MetadataFile, MetadataFolder};
use tokio::sync::Semaphore;

/// A GitLab in memory.
pub struct FakeGitLab {
    state: Mutex<State>,
    /// Fetches pass here; without permits they wait.
    gate: Semaphore,
}

#[derive(Default)]
struct State {
    projects: HashMap<ProjectId, FakeProject>,
    /// What the next questions get instead of an answer.
    troubles: VecDeque<Trouble>,
    fetches: usize,
    reads: usize,
    lost_reads: usize,
}

#[derive(Clone)]
pub struct FakeProject {
    pub state: ProjectState,
    pub branches: HashMap<String, Commit>,
}

#[derive(Clone)]
pub struct Commit {
    pub sha: Sha,
    pub files: Vec<(String, Bytes)>,
}

impl Commit {
    /// A commit with this many metadata files of this size; file `n` is the same in every commit.
    pub fn of(sha: u8, files: usize, size: usize) -> Self {
        let file = |n: usize| {
            let oid = format!("{:02x}{n:062x}", n % 7);
            let path = format!("metadata/{}/{}/{oid}", &oid[..2], &oid[2..4]);
            (path, Bytes::from(format!("{n:0size$}")))
        };
        Self {
            sha: Sha::new([sha; 20]),
            files: (0..files).map(file).collect(),
        }
    }
}

pub fn git_id(bytes: &[u8]) -> GitObjectId {
    match blobs::git_name(bytes) {
        BlobName::Git(id) => id,
        other => panic!("{other}"),
    }
}

pub fn project_state(slug: &str) -> ProjectState {
    ProjectState {
        slug: slug.parse().unwrap(),
        name: "A project".into(),
        description: None,
        visibility: Visibility::Public,
        members: Vec::new(),
        default_branch: Some("main".into()),
        created_at: Timestamp::from_micros(1),
        updated_at: None,
        creator_id: None,
        topics: Vec::new(),
        images: Vec::new(),
        fork_parent: None,
        empty_repository: false,
        archived: false,
        http_url: format!("https://gitlab.test/{slug}.git"),
        ssh_url: String::new(),
        web_url: String::new(),
        readme_url: None,
        forks_count: 0,
        stars_count: 0,
    }
}

impl FakeGitLab {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub fn add(&self, project: ProjectId, slug: &str, commit: Commit) {
        let branches = HashMap::from([("main".to_owned(), commit)]);
        let project_state = project_state(slug);
        self.state.lock().projects.insert(
            project,
            FakeProject {
                state: project_state,
                branches,
            },
        );
    }

    pub fn change(&self, project: ProjectId, change: impl FnOnce(&mut FakeProject)) {
        change(self.state.lock().projects.get_mut(&project).unwrap());
    }

    pub fn push(&self, project: ProjectId, commit: Commit) {
        self.change(project, |project| {
            project.branches.insert("main".into(), commit);
        });
    }

    pub fn delete(&self, project: ProjectId) {
        self.state.lock().projects.remove(&project);
    }

    pub fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state.lock().troubles.extend(troubles);
    }

    /// From now on fetches wait.
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// They go on.
    pub fn let_go(&self) {
        self.gate.add_permits(1_000);
    }

    /// The next so many reads find nothing.
    pub fn lose_reads(&self, count: usize) {
        self.state.lock().lost_reads = count;
    }

    pub fn fetches(&self) -> usize {
        self.state.lock().fetches
    }

    pub fn reads(&self) -> usize {
        self.state.lock().reads
    }
}

#[async_trait]
impl FactsSource for FakeGitLab {
    async fn facts(&self, project: ProjectId) -> Result<ProjectState, FactsError> {
        let mut state = self.state.lock();
        if let Some(trouble) = state.troubles.pop_front() {
            return Err(trouble.into());
        }
        state
            .projects
            .get(&project)
            .map(|project| project.state.clone())
            .ok_or(FactsError::Gone)
    }
}

#[async_trait]
impl ContentSource for FakeGitLab {
    async fn fetch(&self, project: ProjectId, aim: &Aim) -> Result<Fetched, FetchError> {
        self.state.lock().fetches += 1;
        let _permit = self.gate.acquire().await.unwrap();
        let mut state = self.state.lock();
        if let Some(trouble) = state.troubles.pop_front() {
            return Err(trouble.into());
        }
        let project = state.projects.get(&project).ok_or(FetchError::NoRepository)?;
        if project.state.slug != aim.slug {
            return Err(FetchError::NoRepository);
        }
        let commit = project.branches.get(&aim.branch).ok_or(FetchError::NoBranch)?;
        let mut folders: Vec<MetadataFolder> = Vec::new();
        let mut files = commit.files.clone();
        files.sort();
        for (path, bytes) in files {
            let file = MetadataFile {
                path: path.into(),
                blob: git_id(&bytes),
                size: bytes.len() as u64,
            };
            let key = MetadataEntry::section_key(&file.path).to_owned();
            match folders.last_mut().filter(|folder| folder.key == key) {
                Some(folder) => folder.files = folder.files.iter().cloned().chain([file]).collect(),
                None => folders.push(MetadataFolder {
                    key,
                    name: GitObjectId::ZERO,
                    files: [file].into(),
                }),
            }
        }
        for folder in &mut folders {
            folder.name = git_id(format!("{:?}", folder.files).as_bytes());
        }
        let signature = Signature {
            name: "Ada".into(),
            email: "ada@example.org".into(),
            at: Timestamp::from_micros(3),
        };
        Ok(Fetched {
            head: Head {
                sha: commit.sha,
                parents: Vec::new(),
                author: signature.clone(),
                committer: signature,
                title: "commit".into(),
                r#ref: format!("refs/heads/{}", aim.branch),
            },
            folders,
            linked: Vec::new(),
            bytes: 0,
        })
    }

    async fn read(&self, project: ProjectId, blobs: &[GitObjectId]) -> Result<Vec<Bytes>, FetchError> {
        let mut state = self.state.lock();
        if state.lost_reads > 0 {
            state.lost_reads -= 1;
            return Err(Trouble::Ours("not in the mirror".into()).into());
        }
        state.reads += blobs.len();
        let project = state.projects.get(&project).ok_or(FetchError::NoRepository)?;
        let all: HashMap<_, _> = project
            .branches
            .values()
            .flat_map(|commit| &commit.files)
            .map(|(_, bytes)| (git_id(bytes), bytes.clone()))
            .collect();
        blobs
            .iter()
            .map(|id| {
                all.get(id)
                    .cloned()
                    .ok_or_else(|| Trouble::Ours("not in the mirror".into()).into())
            })
            .collect()
    }
}
