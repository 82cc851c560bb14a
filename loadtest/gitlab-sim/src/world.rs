use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use model::{Timestamp, Visibility};
use parking_lot::{Mutex, MutexGuard};
use runtime::{Clock, Randomness, Tasks};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::SimError;
use crate::deliver::{Delivery, Due};
use crate::faults::{Faults, HookFaults};
use crate::repository::Repository;

/// A project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub id: u32,
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub visibility: Visibility,
    pub default_branch: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub creator: u32,
    pub topics: Vec<String>,
    pub avatar_url: Option<String>,
    pub forked_from: Option<u32>,
    pub archived: bool,
    pub repository_disabled: bool,
    pub members: BTreeMap<u32, Membership>,
    pub hooks: BTreeMap<u32, ProjectHook>,
    pub repository: Repository,
    /// Receives one push at a time, so that each push knows what it changed.
    pub pushing: Arc<tokio::sync::Mutex<()>>,
}

impl Project {
    pub(crate) fn namespace(&self) -> &str {
        self.slug.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub(crate) fn path(&self) -> &str {
        self.slug.rsplit_once('/').map_or(&self.slug, |(_, path)| path)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub level: u8,
    pub expires_at: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProjectHook {
    pub target: HookTarget,
    pub push_events: bool,
    pub tag_push_events: bool,
    pub created_at: Timestamp,
}

/// Where hooks go, and the token that they carry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HookTarget {
    /// Where to post.
    pub url: String,
    /// `X-Gitlab-Token`.
    pub token: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub id: u32,
    pub username: String,
    pub name: String,
    pub email: String,
    pub admin: bool,
    pub state: String,
    pub external: bool,
}

/// What happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// REST requests.
    pub api: u64,
    /// Requests of git.
    pub git: u64,
    /// Pushes that changed something.
    pub pushes: u64,
    /// Hooks sent.
    pub hooks: u64,
    /// Hooks lost on purpose.
    pub hooks_dropped: u64,
    /// Hooks that were not answered with a 2xx.
    pub hooks_failed: u64,
    /// Faults that struck.
    pub faults: u64,
}

pub(crate) struct State {
    pub projects: BTreeMap<u32, Project>,
    pub users: BTreeMap<u32, User>,
    /// Token → user.
    pub tokens: BTreeMap<String, u32>,
    /// Tokens of the scope `read_user`.
    pub reads_user_only: BTreeSet<String>,
    pub system_hook: Option<HookTarget>,
    pub faults: Faults,
    pub hook_faults: HookFaults,
    pub counters: Counters,
    pub deliveries: VecDeque<Delivery>,
    pub next_project: u32,
    pub next_hook: u32,
}

/// Everything, shared by all requests.
pub(crate) struct World {
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    /// Repositories.
    pub folder: PathBuf,
    /// `git-http-backend`.
    pub backend: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub tasks: Tasks,
    pub due: mpsc::UnboundedSender<Due>,
    state: Mutex<State>,
}

impl World {
    #[expect(clippy::too_many_arguments, reason = "one call site")]
    pub(crate) fn new(
        url: String,
        folder: PathBuf,
        backend: PathBuf,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        tasks: Tasks,
        due: mpsc::UnboundedSender<Due>,
        service_token: String,
        system_hook: Option<HookTarget>,
    ) -> Self {
        let root = User {
            id: 1,
            username: "root".into(),
            name: "Administrator".into(),
            email: "admin@example.com".into(),
            admin: true,
            state: "active".into(),
            external: false,
        };
        let state = State {
            projects: BTreeMap::new(),
            users: BTreeMap::from([(1, root)]),
            tokens: BTreeMap::from([(service_token, 1)]),
            reads_user_only: BTreeSet::new(),
            system_hook,
            faults: Faults::default(),
            hook_faults: HookFaults::default(),
            counters: Counters::default(),
            deliveries: VecDeque::new(),
            next_project: 1,
            next_hook: 1,
        };
        Self {
            url,
            folder,
            backend,
            clock,
            randomness,
            tasks,
            due,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn project(&self, id: u32) -> Result<Project, SimError> {
        self.state()
            .projects
            .get(&id)
            .cloned()
            .ok_or(SimError::NotFound("Project"))
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&self) -> String {
        let bits = self.randomness.bits128();
        let bits = (bits & !(0xf000 << 64) & !(0xc000 << 48)) | (0x4000 << 64) | (0x8000 << 48);
        let hex = format!("{bits:032x}");
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

impl State {
    /// By number or by slug, in any case, as GitLab does.
    pub(crate) fn find(&self, id_or_slug: &str) -> Option<&Project> {
        match id_or_slug.parse::<u32>() {
            Ok(id) => self.projects.get(&id),
            Err(_) => self
                .projects
                .values()
                .find(|project| project.slug.eq_ignore_ascii_case(id_or_slug)),
        }
    }

    pub(crate) fn user_named(&self, username: &str) -> Option<&User> {
        self.users.values().find(|user| user.username == username)
    }
}
