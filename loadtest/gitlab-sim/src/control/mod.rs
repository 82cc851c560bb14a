//! What tests and people do to the stand-in: the same as its users would do in GitLab's pages, and faults.

pub(crate) mod http;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use model::{Slug, Visibility};
use serde::Deserialize;

use crate::SimError;
use crate::api_repository::blocking;
use crate::git_http::changes;
use crate::payload;
use crate::repository::{NewCommit, Repository};
use crate::world::{Membership, Project, User, World};

/// A project to make. Everything but the slug has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// `namespace/project`.
    pub slug: String,
    /// Its number; None: the next one.
    #[serde(default)]
    pub id: Option<u32>,
    /// Display name; None: the last part of the slug.
    #[serde(default)]
    pub name: Option<String>,
    /// Text.
    #[serde(default)]
    pub description: Option<String>,
    /// None: public.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// None: `main`, or the branch that the bundle has.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// A file to load branches and tags from.
    #[serde(default)]
    pub bundle: Option<PathBuf>,
    /// GitLab's topics.
    #[serde(default)]
    pub topics: Vec<String>,
    /// What it was forked from.
    #[serde(default)]
    pub forked_from: Option<u32>,
}

impl NewProject {
    /// An empty public project.
    pub fn new(slug: impl Into<String>) -> Self {
        Self {
            slug: slug.into(),
            id: None,
            name: None,
            description: None,
            visibility: None,
            default_branch: None,
            bundle: None,
            topics: vec![],
            forked_from: None,
        }
    }

    /// With the content of a bundle.
    #[must_use]
    pub fn bundle(self, bundle: impl Into<PathBuf>) -> Self {
        Self {
            bundle: Some(bundle.into()),
            ..self
        }
    }

    /// Seen by these.
    #[must_use]
    pub fn visibility(self, visibility: Visibility) -> Self {
        Self {
            visibility: Some(visibility),
            ..self
        }
    }
}

/// A user to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Login name.
    pub username: String,
    /// Display name; None: the login name.
    #[serde(default)]
    pub name: Option<String>,
    /// A token for the user.
    #[serde(default)]
    pub token: Option<String>,
    /// May everything.
    #[serde(default)]
    pub admin: bool,
    /// Sees internal projects as a member only.
    #[serde(default)]
    pub external: bool,
}

/// What to change of a project; what is None stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// A new name in the same namespace is a rename, another namespace a transfer.
    pub slug: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Text.
    pub description: Option<String>,
    /// Who sees it.
    pub visibility: Option<Visibility>,
    /// The branch that is shown first.
    pub default_branch: Option<String>,
    /// Read-only.
    pub archived: Option<bool>,
    /// Switched off for everybody.
    pub repository_disabled: Option<bool>,
    /// GitLab's topics.
    pub topics: Option<Vec<String>>,
    /// Picture.
    pub avatar_url: Option<String>,
}

/// A commit to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The branch, made if it is not there.
    #[serde(default = "main_branch")]
    pub branch: String,
    /// Text.
    #[serde(default = "update")]
    pub message: String,
    /// Text by path; null deletes.
    #[serde(default)]
    pub files: BTreeMap<String, Option<String>>,
    /// Base64 by path.
    #[serde(default)]
    pub binary_files: BTreeMap<String, String>,
    /// Put it on this commit, not on the branch: a forced push.
    #[serde(default)]
    pub parent: Option<String>,
    /// Put it on nothing: a forced push of a new history.
    #[serde(default)]
    pub orphan: bool,
    /// Who pushes, by login name; None: the administrator.
    #[serde(default)]
    pub username: Option<String>,
}

fn main_branch() -> String {
    "main".into()
}

fn update() -> String {
    "Update".into()
}

impl Commit {
    /// A commit on `main` that writes one file.
    pub fn file(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            branch: main_branch(),
            message: update(),
            files: BTreeMap::from([(path.into(), Some(content.into()))]),
            binary_files: BTreeMap::new(),
            parent: None,
            orphan: false,
            username: None,
        }
    }

    /// The same on another branch.
    #[must_use]
    pub fn on(self, branch: impl Into<String>) -> Self {
        Self {
            branch: branch.into(),
            ..self
        }
    }
}

const OWNER: u8 = 50;

fn slug(text: &str) -> Result<String, SimError> {
    text.parse::<Slug>()
        .map(|slug| slug.to_string())
        .map_err(|error| SimError::Bad(error.to_string()))
}

pub(crate) fn create_user(world: &World, new: NewUser) -> Result<u32, SimError> {
    let mut state = world.state();
    if state.user_named(&new.username).is_some() {
        return Err(SimError::Bad(format!("there is a user {}", new.username)));
    }
    let id = state.users.keys().next_back().map_or(1, |last| last + 1);
    let user = User {
        id,
        email: format!("{}@example.com", new.username),
        name: new.name.unwrap_or_else(|| new.username.clone()),
        username: new.username,
        admin: new.admin,
        state: "active".into(),
        external: new.external,
    };
    state.users.insert(id, user);
    if let Some(token) = new.token {
        state.tokens.insert(token, id);
    }
    Ok(id)
}

/// Blocks.
pub(crate) fn create_project(world: &World, new: NewProject) -> Result<u32, SimError> {
    let slug = slug(&new.slug)?;
    let id = {
        let mut state = world.state();
        if state.find(&slug).is_some() {
            return Err(SimError::Bad(format!("there is a project {slug}")));
        }
        let id = new.id.unwrap_or(state.next_project);
        if id == 0 || state.projects.contains_key(&id) {
            return Err(SimError::Bad(format!("the number {id} is taken")));
        }
        state.next_project = state.next_project.max(id + 1);
        id
    };
    let wanted = new.default_branch.clone().unwrap_or_else(|| "main".into());
    // A name of its own for each life: a deleted project's number may be given again in a test.
    let path = world
        .folder
        .join(format!("{id}-{:08x}.git", world.randomness.bits64() as u32));
    let repository = Repository::create(path, &wanted)?;
    let mut default_branch = new.default_branch.clone();
    if let Some(bundle) = &new.bundle {
        repository.load_bundle(bundle)?;
        if default_branch.is_none() {
            let refs = repository.refs();
            let heads: Vec<&str> = refs
                .keys()
                .filter_map(|name| name.strip_prefix("refs/heads/"))
                .collect();
            default_branch = ["main", "master"]
                .into_iter()
                .find(|name| heads.contains(name))
                .or(heads.first().copied())
                .map(str::to_owned);
        }
        if let Some(branch) = &default_branch {
            repository.set_head(branch)?;
        }
    }
    let now = world.clock.now();
    let last = slug.rsplit('/').next().unwrap_or_default().to_owned();
    let project = Project {
        id,
        name: new.name.unwrap_or(last),
        slug,
        description: new.description,
        visibility: new.visibility.unwrap_or(Visibility::Public),
        default_branch: default_branch.or(new.default_branch),
        created_at: now,
        updated_at: now,
        creator: 1,
        topics: new.topics,
        avatar_url: None,
        forked_from: new.forked_from,
        archived: false,
        repository_disabled: false,
        members: BTreeMap::from([(
            1,
            Membership {
                level: OWNER,
                expires_at: None,
            },
        )]),
        hooks: BTreeMap::new(),
        repository,
        pushing: Arc::default(),
    };
    world.state().projects.insert(id, project.clone());
    announce(world, "project_create", &project, None);
    Ok(id)
}

fn announce(world: &World, kind: &str, project: &Project, old_slug: Option<&str>) {
    let owner = world.state().users.get(&project.creator).cloned();
    if let Some(owner) = owner {
        world.announce(
            Some(project.id),
            payload::project(kind, project, &owner, old_slug),
        );
    }
}

/// Blocks.
pub(crate) fn change_project(world: &World, id: u32, change: Change) -> Result<(), SimError> {
    let new_slug = change.slug.as_deref().map(slug).transpose()?;
    let (project, old_slug) = {
        let mut state = world.state();
        if let Some(new) = &new_slug
            && state.find(new).is_some_and(|other| other.id != id)
        {
            return Err(SimError::Bad(format!("there is a project {new}")));
        }
        let project = state.projects.get_mut(&id).ok_or(SimError::NotFound("Project"))?;
        let old_slug = project.slug.clone();
        project.slug = new_slug.unwrap_or_else(|| old_slug.clone());
        project.name = change.name.unwrap_or_else(|| project.name.clone());
        project.description = change.description.or(project.description.take());
        project.visibility = change.visibility.unwrap_or(project.visibility);
        project.archived = change.archived.unwrap_or(project.archived);
        project.repository_disabled = change.repository_disabled.unwrap_or(project.repository_disabled);
        project.topics = change.topics.unwrap_or_else(|| project.topics.clone());
        project.avatar_url = change.avatar_url.or(project.avatar_url.take());
        project.default_branch = change.default_branch.clone().or(project.default_branch.take());
        project.updated_at = world.clock.now();
        (project.clone(), old_slug)
    };
    if let Some(branch) = &change.default_branch {
        project.repository.set_head(branch)?;
    }
    let old_namespace = old_slug.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    if project.slug == old_slug {
        announce(world, "project_update", &project, None);
    } else if project.namespace() == old_namespace {
        announce(world, "project_rename", &project, Some(&old_slug));
    } else {
        announce(world, "project_transfer", &project, Some(&old_slug));
    }
    Ok(())
}

/// Blocks.
pub(crate) fn delete_project(world: &World, id: u32) -> Result<(), SimError> {
    let project = world
        .state()
        .projects
        .remove(&id)
        .ok_or(SimError::NotFound("Project"))?;
    announce(world, "project_destroy", &project, None);
    std::fs::remove_dir_all(&project.repository.path).map_err(SimError::io(&project.repository.path))
}

pub(crate) fn set_member(
    world: &World,
    id: u32,
    user: u32,
    level: Option<u8>,
    expires_at: Option<String>,
) -> Result<(), SimError> {
    let (kind, project, user, level) = {
        let mut state = world.state();
        let user = state
            .users
            .get(&user)
            .cloned()
            .ok_or(SimError::NotFound("User"))?;
        let now = world.clock.now();
        let project = state.projects.get_mut(&id).ok_or(SimError::NotFound("Project"))?;
        let old = match level {
            Some(level) => project.members.insert(user.id, Membership { level, expires_at }),
            None => project.members.remove(&user.id),
        };
        project.updated_at = now;
        let kind = match (&old, level) {
            (None, Some(_)) => "user_add_to_team",
            (Some(_), Some(_)) => "user_update_for_team",
            (_, None) => "user_remove_from_team",
        };
        (
            kind,
            project.clone(),
            user,
            level.or(old.map(|old| old.level)).unwrap_or(0),
        )
    };
    world.announce(Some(id), payload::member(kind, &project, &user, level));
    Ok(())
}

fn pusher(world: &World, username: Option<&str>) -> Result<User, SimError> {
    let state = world.state();
    state
        .user_named(username.unwrap_or("root"))
        .cloned()
        .ok_or(SimError::NotFound("User"))
}

pub(crate) async fn commit(world: &Arc<World>, id: u32, commit: Commit) -> Result<String, SimError> {
    let project = world.project(id)?;
    let user = pusher(world, commit.username.as_deref())?;
    let mut files: BTreeMap<String, Option<Vec<u8>>> = commit
        .files
        .iter()
        .map(|(path, text)| (path.clone(), text.clone().map(String::into_bytes)))
        .collect();
    for (path, text) in &commit.binary_files {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| SimError::Bad(format!("{path} is not base64: {error}")))?;
        files.insert(path.clone(), Some(bytes));
    }
    push(world, project, user, move |project, user, seconds| {
        let new = NewCommit {
            branch: &commit.branch,
            parent: if commit.orphan {
                Some(None)
            } else {
                commit.parent.as_deref().map(Some)
            },
            author: (&user.name, &user.email),
            seconds,
            message: &commit.message,
            files: &files,
        };
        project.repository.write(&new)
    })
    .await
}

pub(crate) async fn delete_branch(world: &Arc<World>, id: u32, branch: String) -> Result<(), SimError> {
    let (project, user) = (world.project(id)?, pusher(world, None)?);
    if branch.starts_with('-')
        || !project
            .repository
            .refs()
            .contains_key(&format!("refs/heads/{branch}"))
    {
        return Err(SimError::NotFound("Branch"));
    }
    push(world, project, user, move |project, _, _| {
        project.repository.delete_branch(&branch)
    })
    .await
}

/// Does to the repository what a push would do, and lets the hooks fire.
async fn push<T: Send + 'static>(
    world: &Arc<World>,
    project: Project,
    user: User,
    work: impl FnOnce(&Project, &User, i64) -> Result<T, SimError> + Send + 'static,
) -> Result<T, SimError> {
    let pushing = project.pushing.clone().lock_owned().await;
    let world = world.clone();
    blocking(move || {
        let before = project.repository.refs();
        let done = work(&project, &user, world.clock.now().as_micros() / 1_000_000)?;
        let moved = changes(&before, &project.repository.refs());
        drop(pushing);
        world.pushed(&project, &user, &moved);
        Ok(done)
    })
    .await
}
