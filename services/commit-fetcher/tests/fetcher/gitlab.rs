//! With gitlab-sim: real git over HTTP, real REST calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use commit_fetcher::{GitContent, GitLabFacts};
use events::{CommitFetched, Decoder, MetadataSection, StageOutcome};
use gitlab::{ClientSettings, RestClient};
use gitlab_sim::{Change, Commit, Fault, NewProject, NewUser, Sim, SimSettings, Surface};
use model::{BlobName, ProjectId, Secret, Visibility};
use repos::{FetchLimits, MirrorSettings, Mirrors};
use runtime::Tasks;

use crate::stack::Stack;

struct World {
    sim: Sim,
    stack: Stack,
    // Stops the stand-in when dropped with its tasks.
    tasks: Tasks,
    _mirrors: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        Self::limited(FetchLimits::default()).await
    }

    async fn limited(limits: FetchLimits) -> Self {
        let tasks = Tasks::new();
        let sim = Sim::start(SimSettings::default(), &tasks).await.unwrap();
        let (url, token) = (
            sim.url().parse::<url::Url>().unwrap(),
            Some(Secret::new(sim.token())),
        );
        let mut client = ClientSettings::new(url.clone(), token.clone());
        client.timeout = Duration::from_millis(800);
        let folder = tempfile::tempdir().unwrap();
        let settings = MirrorSettings {
            folder: folder.path().to_owned(),
            gitlab: url,
            token,
            limits,
        };
        let facts = GitLabFacts::new(Arc::new(RestClient::new(client).unwrap()));
        let content = GitContent::new(Arc::new(Mirrors::open(settings).unwrap()));
        let stack = Stack::with(Arc::new(facts), Arc::new(content), 50).await;
        Self {
            sim,
            stack,
            tasks,
            _mirrors: folder,
        }
    }

    async fn project(&self, slug: &str) -> ProjectId {
        self.sim.create_project(NewProject::new(slug)).await.unwrap()
    }

    async fn commit(&self, project: ProjectId, commit: Commit) -> String {
        self.sim.commit(project, commit).await.unwrap()
    }

    /// A look, and what the last commits record says.
    async fn look(&self, project: ProjectId) -> CommitFetched {
        let event = self.stack.event(project).await;
        self.stack.answered(&event, project).await;
        self.stack.commits().await.pop().unwrap()
    }

    async fn last_code(&self) -> Option<String> {
        self.stack.statuses().await.pop().and_then(|status| status.code)
    }

    async fn told(&self, code: &str) {
        self.stack
            .until(code, async || {
                self.stack
                    .statuses()
                    .await
                    .iter()
                    .any(|status| status.code.as_deref() == Some(code))
            })
            .await;
    }

    async fn end(self) {
        self.stack.stop().await;
        self.sim.stop().await;
        self.tasks.stop_and_drain(Duration::from_secs(10)).await.unwrap();
    }
}

const OID: &str = "abcd000000000000000000000000000000000000000000000000000000000000";

fn with_files(branch: &str, files: &[(&str, &str)]) -> Commit {
    Commit {
        branch: branch.to_owned(),
        message: "change\n\nmore".to_owned(),
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())))
            .collect(),
        ..Commit::file("", "")
    }
}

fn metadata(branch: &str, text: &str) -> Commit {
    let object = format!(".renku/metadata/ab/cd/{OID}");
    with_files(
        branch,
        &[
            (".renku/metadata.yml", "version: 9\n"),
            (&object, text),
            ("README.md", text),
        ],
    )
}

/// Path → content of all that an attached record names.
fn content(commit: &CommitFetched) -> BTreeMap<String, String> {
    let blobs: BTreeMap<BlobName, bytes::Bytes> = commit
        .attached
        .iter()
        .map(|attached| attached.blob().unwrap())
        .collect();
    let mut files = BTreeMap::new();
    for section in &commit.sections {
        let bytes = &blobs[&BlobName::Digest(section.digest.0)];
        let list: MetadataSection = Decoder::default()
            .decode("renku.metadata-section", bytes)
            .unwrap();
        for entry in list.entries {
            let bytes = &blobs[&BlobName::Git(entry.blob)];
            assert_eq!(bytes.len() as i64, entry.size);
            files.insert(entry.path, String::from_utf8(bytes.to_vec()).unwrap());
        }
    }
    files
}

#[tokio::test]
async fn a_push_arrives_with_its_metadata() {
    let world = World::start().await;
    let project = world.project("group/sub/flights").await;
    let user = world
        .sim
        .create_user(NewUser {
            username: "ada".into(),
            name: None,
            token: None,
            admin: false,
            external: false,
        })
        .unwrap();
    world.sim.set_member(project, user, Some(40)).unwrap();
    let sha = world.commit(project, metadata("main", "one")).await;
    let commit = world.look(project).await;
    assert_eq!(commit.sha.to_string(), sha);
    assert_eq!(
        (commit.title.as_str(), commit.r#ref.as_str()),
        ("change", "refs/heads/main")
    );
    let files = content(&commit);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["metadata.yml", &format!("metadata/ab/cd/{OID}")]
    );
    assert_eq!(files[&format!("metadata/ab/cd/{OID}")], "one");

    let facts = world.stack.facts().await.remove(0).state.unwrap();
    assert_eq!(facts.slug.as_str(), "group/sub/flights");
    assert!(
        facts
            .members
            .iter()
            .any(|member| member.username == "ada" && member.access_level.0 == 40)
    );

    let second = world.commit(project, metadata("main", "two")).await;
    let commit = world.look(project).await;
    assert_eq!(commit.sha.to_string(), second);
    assert_eq!(
        commit.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [sha]
    );
    assert_eq!(content(&commit)[&format!("metadata/ab/cd/{OID}")], "two");
    assert_eq!(
        world.stack.facts().await.len(),
        1,
        "a push alone makes no new facts"
    );
    world.end().await;
}

#[tokio::test]
async fn histories_that_are_rewritten_are_just_a_new_head() {
    let world = World::start().await;
    let project = world.project("g/p").await;
    let first = world.commit(project, metadata("main", "one")).await;
    world.commit(project, metadata("main", "two")).await;
    world.look(project).await;

    let forced = Commit {
        parent: Some(first),
        ..metadata("main", "three")
    };
    let forced = world.commit(project, forced).await;
    assert_eq!(world.look(project).await.sha.to_string(), forced);

    // Another default branch, then the old one is deleted.
    let trunk = world.commit(project, metadata("trunk", "four")).await;
    world.look(project).await;
    assert_eq!(
        world.stack.commits().await.len(),
        2,
        "another branch is nothing new"
    );
    let change = Change {
        default_branch: Some("trunk".into()),
        ..Change::default()
    };
    world.sim.change_project(project, change).await.unwrap();
    let commit = world.look(project).await;
    assert_eq!(
        (commit.sha.to_string(), commit.r#ref.as_str()),
        (trunk.clone(), "refs/heads/trunk")
    );
    world.sim.delete_branch(project, "main").await.unwrap();
    assert_eq!(world.look(project).await.sha.to_string(), trunk);
    assert_eq!(world.stack.commits().await.len(), 3);
    world.end().await;
}

#[tokio::test]
async fn empty_renamed_hidden_and_deleted_projects() {
    let world = World::start().await;
    let project = world.project("g/p").await;
    let event = world.stack.event(project).await;
    world.stack.answered(&event, project).await;
    assert_eq!(world.last_code().await.as_deref(), Some("nothing-to-read"));
    assert!(
        world.stack.facts().await[0]
            .state
            .as_ref()
            .unwrap()
            .empty_repository
    );

    // The first commit has no metadata.
    world
        .commit(project, with_files("main", &[("README.md", "hello")]))
        .await;
    assert!(world.look(project).await.sections.is_empty());

    world.commit(project, metadata("main", "one")).await;
    let change = Change {
        slug: Some("other/q".into()),
        visibility: Some(Visibility::Private),
        ..Change::default()
    };
    world.sim.change_project(project, change).await.unwrap();
    let commit = world.look(project).await;
    let facts = world.stack.facts().await.pop().unwrap();
    assert_eq!(facts.state.as_ref().unwrap().slug.as_str(), "other/q");
    assert_eq!(facts.state.as_ref().unwrap().visibility, Visibility::Private);
    assert_eq!(commit.envelope.state_version, facts.state_version());
    assert_eq!(content(&commit).len(), 2);

    // The old name is another project's now: nothing of it gets into the first one.
    let squatter = world.project("g/p").await;
    world.commit(squatter, metadata("main", "not yours")).await;
    let change = Change {
        slug: Some("third/r".into()),
        ..Change::default()
    };
    world.sim.change_project(project, change).await.unwrap();
    let event = world.stack.event(project).await;
    world.stack.answered(&event, project).await;
    assert!(
        world
            .stack
            .commits()
            .await
            .iter()
            .all(|commit| commit.project_id == project)
    );

    world.sim.delete_project(project).await.unwrap();
    let event = world.stack.event(project).await;
    world.stack.answered(&event, project).await;
    assert_eq!(world.last_code().await.as_deref(), Some("project-gone"));
    assert_eq!(world.stack.facts().await.pop().unwrap().state, None);

    // A project that never was.
    let nobody = ProjectId::new(999_999).unwrap();
    let event = world.stack.event(nobody).await;
    world.stack.answered(&event, nobody).await;
    assert_eq!(world.last_code().await.as_deref(), Some("project-gone"));
    world.stack.settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_gitlab_that_misbehaves_is_asked_until_it_behaves() {
    let world = World::start().await;
    let project = world.project("g/p").await;
    world.commit(project, metadata("main", "0")).await;
    world.look(project).await;
    let busy = Fault {
        retry_after: Some(0),
        ..Fault::on(Surface::Api).status(429)
    };
    let git_busy = Fault {
        retry_after: Some(0),
        ..Fault::on(Surface::Git).status(429)
    };
    let garbage = |surface| Fault {
        garbage: true,
        ..Fault::on(surface)
    };
    let broken = |surface| Fault {
        break_after: Some(20),
        ..Fault::on(surface)
    };
    let faults = [
        Fault::on(Surface::Api).status(503),
        busy,
        garbage(Surface::Api),
        broken(Surface::Api),
        Fault::on(Surface::Api).delay(Duration::from_secs(2)),
        Fault::on(Surface::Git).status(502),
        git_busy,
        garbage(Surface::Git),
        broken(Surface::Git),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let sha = world
            .commit(project, metadata("main", &format!("{}", n + 1)))
            .await;
        let before = world.sim.counters().faults;
        world.sim.set_faults(vec![fault.clone().times(2)]);
        let commit = world.look(project).await;
        assert_eq!(commit.sha.to_string(), sha, "{fault:?}");
        assert!(world.sim.counters().faults > before, "{fault:?}");
    }
    world.stack.settled().await;
    let statuses = world.stack.statuses().await;
    for code in ["gitlab-down", "gitlab-busy", "gitlab-garbage"] {
        assert!(statuses.iter().any(|s| s.code.as_deref() == Some(code)), "{code}");
    }
    let finals = statuses
        .iter()
        .filter(|s| s.sha.is_none() && s.outcome != StageOutcome::Retrying)
        .count();
    assert_eq!(finals, 0, "every push ended in its content");
    world.end().await;
}

#[tokio::test]
async fn a_refused_token_heals_when_it_is_good_again() {
    let world = World::start().await;
    let project = world.project("g/p").await;
    world.commit(project, metadata("main", "one")).await;
    world.sim.set_faults(vec![Fault::on(Surface::Api).status(401)]);
    let event = world.stack.event(project).await;
    world.told("gitlab-refused").await;
    assert!(world.stack.facts().await.is_empty());
    world.sim.set_faults(Vec::new());
    world.stack.answered(&event, project).await;
    assert_eq!(world.stack.commits().await.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_project_made_private_does_not_wait_for_its_repository() {
    let world = World::start().await;
    let project = world.project("g/p").await;
    world.commit(project, metadata("main", "one")).await;
    world.look(project).await;
    world.sim.set_faults(vec![Fault::on(Surface::Git).status(500)]);
    let change = Change {
        visibility: Some(Visibility::Private),
        ..Change::default()
    };
    world.sim.change_project(project, change).await.unwrap();
    world.commit(project, metadata("main", "two")).await;
    let event = world.stack.event(project).await;
    world
        .stack
        .until("private", async || {
            let facts = world.stack.facts().await;
            facts
                .last()
                .is_some_and(|f| f.state.as_ref().unwrap().visibility == Visibility::Private)
        })
        .await;
    world.sim.set_faults(Vec::new());
    world.stack.answered(&event, project).await;
    assert_eq!(world.stack.commits().await.len(), 2);
    world.end().await;
}

fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    base64::engine::general_purpose::STANDARD.encode(noise)
}

#[tokio::test]
async fn a_repository_too_large_for_git_comes_by_archive_and_one_too_large_for_both_is_refused() {
    let limits = FetchLimits {
        bytes: 64 << 10,
        ..FetchLimits::default()
    };
    let world = World::limited(limits).await;
    let project = world.project("g/p").await;
    let mut large = metadata("main", "one");
    for n in 0..20 {
        large
            .binary_files
            .insert(format!("data/{n}.bin"), noise(n, 50_000));
    }
    let sha = world.commit(project, large).await;
    let commit = world.look(project).await;
    assert_eq!(commit.sha.to_string(), sha);
    assert_eq!(content(&commit).len(), 2);

    let mut larger = metadata("main", "two");
    for n in 0..20 {
        let path = format!(".renku/metadata/{n:02x}/00/{n:02x}00{}", "0".repeat(60));
        larger.binary_files.insert(path, noise(n, 50_000));
    }
    world.commit(project, larger).await;
    let event = world.stack.event(project).await;
    world.stack.answered(&event, project).await;
    let ending = world.stack.endings().await.pop().unwrap();
    assert_eq!(
        (ending.outcome, ending.code.as_deref()),
        (StageOutcome::Rejected, Some("repository-too-large"))
    );
    assert_eq!(world.stack.commits().await.len(), 1, "what was there stays");
    world.stack.settled().await;
    let parked = world.stack.records(&events::parked(&events::PUSH_EVENTS)).await;
    assert_eq!(parked.len(), 1);
    world.end().await;
}
