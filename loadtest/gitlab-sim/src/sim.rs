use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Response, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{any, delete, get, post, put};
use model::ProjectId;
use runtime::http::{ServeLimits, serve};
use runtime::{Clock, OsRandomness, Randomness, SystemClock, Tasks};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::control::{self, Change, Commit, NewProject, NewUser};
use crate::deliver::{Delivery, deliver};
use crate::error::SimError;
use crate::faults::{Fault, HookFaults, Surface};
use crate::world::{Counters, HookTarget, World};
use crate::{api, api_repository, git_http};

/// How to start.
#[derive(Debug)]
pub struct SimSettings {
    /// Loopback only; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where repositories go; None: a temporary folder that is deleted at the end.
    pub folder: Option<PathBuf>,
    /// The administrator's token, which the platform uses as its service token.
    pub token: String,
    /// Where the system hook goes.
    pub system_hook: Option<HookTarget>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids of hooks.
    pub randomness: Arc<dyn Randomness>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: None,
            token: "glpat-sim-service".into(),
            system_hook: None,
            clock: SystemClock::shared(),
            randomness: OsRandomness::shared(),
        }
    }
}

/// A running stand-in. Clones are the same one.
#[derive(Clone)]
pub struct Sim {
    world: Arc<World>,
    token: String,
    /// Deleted with the last clone.
    _temporary: Option<Arc<tempfile::TempDir>>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim")
            .field("url", &self.world.url)
            .finish_non_exhaustive()
    }
}

/// A person's or a script's clients may be slow; hooks have a deadline like GitLab's.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl Sim {
    /// Starts it. It runs in a group of `tasks`, until that is asked to stop.
    pub async fn start(settings: SimSettings, tasks: &Tasks) -> Result<Self, SimError> {
        if !settings.listen.ip().is_loopback() {
            return Err(SimError::NotLoopback(settings.listen));
        }
        let tasks = tasks.group("gitlab-sim");
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(SimError::io(settings.listen.to_string()))?;
        let address = listener.local_addr().map_err(SimError::io("listener"))?;
        let (folder, temporary) = match settings.folder {
            Some(folder) => (folder, None),
            None => {
                let folder = tempfile::tempdir().map_err(SimError::io("temporary folder"))?;
                (folder.path().to_owned(), Some(Arc::new(folder)))
            }
        };
        std::fs::create_dir_all(&folder).map_err(SimError::io(&folder))?;
        let folder = folder.canonicalize().map_err(SimError::io(&folder))?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(HOOK_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| SimError::Bad(error.to_string()))?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let world = Arc::new(World::new(
            format!("http://{address}"),
            folder,
            backend()?,
            settings.clock,
            settings.randomness,
            tasks.clone(),
            sender,
            settings.token.clone(),
            settings.system_hook,
        ));
        let sending = deliver(world.clone(), client, receiver);
        tasks.spawn("hooks", async move {
            sending.await;
            Ok::<(), std::io::Error>(())
        });
        let limits = ServeLimits {
            grace: Duration::from_secs(2),
            ..ServeLimits::default()
        };
        tasks.spawn_service(
            "http",
            serve(
                listener,
                router(world.clone()),
                None,
                limits,
                tasks.stop().clone(),
            ),
        );
        Ok(Self {
            world,
            token: settings.token,
            _temporary: temporary,
        })
    }

    /// Its address, as `gitlab.url`.
    pub fn url(&self) -> &str {
        &self.world.url
    }

    /// The administrator's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address to push to and fetch from with the administrator's rights.
    pub fn git_url(&self, slug: &str) -> String {
        format!(
            "{}/{slug}.git",
            self.world
                .url
                .replacen("://", &format!("://oauth2:{}@", self.token), 1)
        )
    }

    /// Ends it.
    pub async fn stop(&self) {
        if let Err(left) = self.world.tasks.stop_and_drain(Duration::from_secs(5)).await {
            tracing::warn!(%left, "the stand-in did not end cleanly");
        }
    }

    /// Sends the system hook there from now on.
    pub fn set_system_hook(&self, target: Option<HookTarget>) {
        self.world.state().system_hook = target;
    }

    /// Makes a user.
    pub fn create_user(&self, new: NewUser) -> Result<u32, SimError> {
        control::create_user(&self.world, new)
    }

    /// Makes a project.
    pub async fn create_project(&self, new: NewProject) -> Result<ProjectId, SimError> {
        let world = self.world.clone();
        let id = api_repository::blocking(move || control::create_project(&world, new)).await?;
        ProjectId::new(i64::from(id)).map_err(|error| SimError::Bad(error.to_string()))
    }

    /// Changes a project.
    pub async fn change_project(&self, id: ProjectId, change: Change) -> Result<(), SimError> {
        let world = self.world.clone();
        api_repository::blocking(move || control::change_project(&world, id.get(), change)).await
    }

    /// Deletes a project and its repository.
    pub async fn delete_project(&self, id: ProjectId) -> Result<(), SimError> {
        let world = self.world.clone();
        api_repository::blocking(move || control::delete_project(&world, id.get())).await
    }

    /// Gives or takes away (None) a member's level.
    pub fn set_member(&self, id: ProjectId, user: u32, level: Option<u8>) -> Result<(), SimError> {
        control::set_member(&self.world, id.get(), user, level, None)
    }

    /// Commits, as a push of one commit would. Gives the commit's id.
    pub async fn commit(&self, id: ProjectId, commit: Commit) -> Result<String, SimError> {
        control::commit(&self.world, id.get(), commit).await
    }

    /// Deletes a branch, as a push would.
    pub async fn delete_branch(&self, id: ProjectId, branch: &str) -> Result<(), SimError> {
        control::delete_branch(&self.world, id.get(), branch.to_owned()).await
    }

    /// The head of a branch.
    pub fn head(&self, id: ProjectId, branch: &str) -> Option<String> {
        self.world.project(id.get()).ok()?.repository.head_of(branch)
    }

    /// Where a project's bare repository is.
    pub fn repository(&self, id: ProjectId) -> Option<PathBuf> {
        Some(self.world.project(id.get()).ok()?.repository.path)
    }

    /// Misbehaves from now on; an empty list ends it.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.world.state().faults.set(faults);
    }

    /// Treats hooks badly from now on.
    pub fn set_hook_faults(&self, faults: HookFaults) {
        self.world.state().hook_faults = faults;
    }

    /// Takes a token's rights away, or gives them to a user.
    pub fn set_token(&self, token: &str, user: Option<u32>) {
        let mut state = self.world.state();
        match user {
            Some(user) => state.tokens.insert(token.to_owned(), user),
            None => state.tokens.remove(token),
        };
    }

    /// From now on a token has the scope `read_user` alone.
    pub fn narrow_token(&self, token: &str) {
        self.world.state().reads_user_only.insert(token.to_owned());
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.world.state().counters
    }

    /// Hooks sent so far whose number is above `after`.
    pub fn deliveries(&self, after: u64) -> Vec<Delivery> {
        self.world
            .state()
            .deliveries
            .iter()
            .filter(|delivery| delivery.number > after)
            .cloned()
            .collect()
    }
}

/// Git's CGI program.
fn backend() -> Result<PathBuf, SimError> {
    let output = std::process::Command::new("git")
        .arg("--exec-path")
        .output()
        .map_err(SimError::io("git"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("git-http-backend");
    if path.is_file() {
        Ok(path)
    } else {
        Err(SimError::Bad(format!(
            "{} is not there: install git",
            path.display()
        )))
    }
}

fn router(world: Arc<World>) -> Router {
    let api = Router::new()
        .route("/version", get(api::version))
        .route("/user", get(api::current_user))
        .route("/users/{id}", get(api::user))
        .route("/projects", get(api::projects))
        .route("/projects/{id}", get(api::project))
        .route("/projects/{id}/members/all", get(api::members))
        .route("/projects/{id}/members/all/{user}", get(api::member))
        .route("/projects/{id}/hooks", get(api::hooks).post(api::add_hook))
        .route("/projects/{id}/hooks/{hook}", delete(api::delete_hook))
        .route(
            "/projects/{id}/repository/branches",
            get(api_repository::branches),
        )
        .route(
            "/projects/{id}/repository/branches/{name}",
            get(api_repository::one_branch),
        )
        .route(
            "/projects/{id}/repository/commits/{sha}",
            get(api_repository::commit),
        )
        .route(
            "/projects/{id}/repository/archive.tar.gz",
            get(api_repository::archive),
        )
        .fallback(|| async { SimError::NotFound("Page") })
        .layer(from_fn_with_state(world.clone(), api::gate));
    let sim = Router::new()
        .route("/users", post(control::http::create_user))
        .route("/projects", post(control::http::create_project))
        .route(
            "/projects/{id}",
            put(control::http::change_project).delete(control::http::delete_project),
        )
        .route(
            "/projects/{id}/members/{user}",
            put(control::http::set_member).delete(control::http::remove_member),
        )
        .route("/projects/{id}/commits", post(control::http::commit))
        .route(
            "/projects/{id}/branches/{name}",
            delete(control::http::delete_branch),
        )
        .route("/system-hook", put(control::http::set_system_hook))
        .route("/tokens", put(control::http::set_token))
        .route("/faults", put(control::http::set_faults))
        .route("/hook-faults", put(control::http::set_hook_faults))
        .route("/counters", get(control::http::counters))
        .route("/deliveries", get(control::http::deliveries));
    Router::new()
        .nest("/api/v4", api)
        .nest("/sim", sim)
        .fallback(any(|State(world): State<Arc<World>>, request: Request| {
            git_http::serve(world, request)
        }))
        .layer(DefaultBodyLimit::disable())
        .with_state(world)
}

/// What a fault does to a request.
pub(crate) struct Struck {
    /// Answer with this.
    pub instead: Option<Response<Body>>,
    /// Answer well, but break off.
    pub break_after: Option<u64>,
}

/// Lets the first fault that fits strike: waits, and says what to do.
pub(crate) async fn strike(world: &World, surface: Surface, project: Option<u32>, path: &str) -> Struck {
    let fault = {
        let mut state = world.state();
        let fault = state.faults.strike(surface, project, path);
        state.counters.faults += u64::from(fault.is_some());
        fault
    };
    let Some(fault) = fault else {
        return Struck {
            instead: None,
            break_after: None,
        };
    };
    if fault.delay_ms > 0 {
        world.clock.sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let instead = if fault.garbage {
        // A page where none was expected, as a proxy in maintenance sends it.
        let page = "<html><body>Deploy in progress</body></html>";
        Some((StatusCode::OK, [(header::CONTENT_TYPE, "text/html")], page).into_response())
    } else {
        fault.status.map(|status| {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, "{\"message\":\"as asked for\"}").into_response();
            if let Some(seconds) = fault.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        })
    };
    Struck {
        instead,
        break_after: fault.break_after,
    }
}

/// The same answer, with an end in the middle.
pub(crate) async fn broken_off(response: Response<Body>, bytes: u64) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let part = whole.slice(..whole.len().min(usize::try_from(bytes).unwrap_or(usize::MAX)));
    let chunks = [Ok(part), Err(std::io::Error::other("broken off"))];
    Response::from_parts(parts, Body::from_stream(futures::stream::iter(chunks)))
}
