use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auth::Identities;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use model::{Day, Secret};
use runtime::http::AdminToken;
use runtime::metrics::MetricError;
use runtime::{Clock, Edges, Stop};
use store::{Reader, StoreError, StoreOptions};
use tokio::sync::Semaphore;

use crate::config::{Config, ConfigFault};
use crate::metrics::Counters;
use crate::{asker, reads, sparql};

/// How often a process that was started before the writer looks for the view.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The role cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// See [`Config`].
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// Two metrics of one name.
    #[error(transparent)]
    Metrics(#[from] MetricError),
}

/// Where a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listener {
    Public,
    Admin,
}

/// The role. It has no task of its own: it lives in the two listeners.
#[derive(Clone)]
pub struct QueryService {
    inner: Arc<Inner>,
    listener: Listener,
}

pub(crate) struct Inner {
    pub config: Config,
    pub reader: Reader,
    pub public_url: String,
    pub admin: Option<AdminToken>,
    pub identities: Arc<Identities>,
    pub slots: Arc<Semaphore>,
    pub counters: Counters,
    pub clock: Arc<dyn Clock>,
}

impl Inner {
    /// The day by which memberships are open or over.
    pub(crate) fn today(&self) -> Day {
        Day::of(self.clock.now())
    }
}

impl std::fmt::Debug for QueryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryService")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl QueryService {
    /// `public_url`: how readers reach this, for links. `admin_token`: who sends it as a bearer to the admin listener sees
    /// everything; without one configured, nobody does. `identities`: whose word is taken for who everybody else is.
    pub fn build(
        config: &Config,
        reader: Reader,
        public_url: &str,
        admin_token: Option<Secret>,
        identities: Arc<Identities>,
        edges: &Edges,
    ) -> Result<Self, BuildError> {
        config.check()?;
        let inner = Inner {
            config: config.clone(),
            reader,
            public_url: public_url.trim_end_matches('/').to_owned(),
            admin: admin_token.map(|token| AdminToken::new(Some(token))),
            identities,
            slots: Arc::new(Semaphore::new(config.queries as usize)),
            counters: Counters::register(&edges.metrics)?,
            clock: edges.clock.clone(),
        };
        edges.health.component("query-service").ready();
        Ok(Self {
            inner: Arc::new(inner),
            listener: Listener::Public,
        })
    }

    /// The reads, for the public listener.
    pub fn router(&self) -> Router {
        self.routes(Listener::Public, Router::new().fallback(asker::nothing))
    }

    /// The same reads, for the admin listener: the bearer of the admin token is the administrator.
    pub fn admin_router(&self) -> Router {
        self.routes(Listener::Admin, Router::new())
    }

    fn routes(&self, listener: Listener, routes: Router<Self>) -> Router {
        let service = Self {
            inner: self.inner.clone(),
            listener,
        };
        routes
            .route("/sparql", get(sparql::get).post(sparql::post))
            .route("/knowledge-graph/projects/{*slug}", get(reads::project))
            .route("/knowledge-graph/version", get(reads::version))
            .route("/projects/{id}/events/status", get(reads::status))
            .route("/version", get(reads::version))
            .route("/ping", get(|_: asker::Asker| async { "pong" }))
            .layer(from_fn_with_state(service.clone(), asker::tell))
            .with_state(service)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn listener(&self) -> Listener {
        self.listener
    }
}

/// Opens a view that another process writes, once that has made it. `None`: asked to stop before.
///
/// # Errors
/// As [`store::open_reader`], but for [`StoreError::Absent`].
pub async fn open_view(
    folder: &Path,
    options: &StoreOptions,
    clock: &dyn Clock,
    stop: &Stop,
) -> Result<Option<Reader>, StoreError> {
    loop {
        match store::open_reader(folder, options.clone()) {
            Err(StoreError::Absent { .. }) => {}
            other => return other.map(Some),
        }
        if stop.or(clock.sleep(LOOK_EVERY)).await.is_none() {
            return Ok(None);
        }
    }
}
