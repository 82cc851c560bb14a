//! How roles are put together, started, and stopped in the order of the data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use blobs::{Blobs, FolderBlobs};
use bus::registry::Registry;
use runtime::http::{AdminToken, ServeLimits, Tls, admin_router, serve};
use runtime::traces::{Exporter, Traces};
use runtime::{Edges, Stop, Tasks};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::bus_settings::BusKind;
use crate::data_folder::DataFolder;
use crate::open_bus::OpenBus;
use crate::role::Role;
use crate::roles::{self, Built};
use crate::settings::Settings;

/// How long each step of a stop may take. Together they stay below the 30 s that orchestrators give.
const SERVERS_WITHIN: Duration = Duration::from_secs(6);
const WORKERS_WITHIN: Duration = Duration::from_secs(14);
const VIEWS_WITHIN: Duration = Duration::from_secs(6);
const REST_WITHIN: Duration = Duration::from_secs(2);

/// The bound sockets.
#[derive(Debug)]
pub struct Listeners {
    /// For hooks and queries, if a role has any.
    pub public: Option<TcpListener>,
    /// For metrics, health and administration.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what the roles need.
    pub async fn bind(settings: &Settings, roles: &[Role]) -> Result<Self> {
        let public = if roles.iter().any(|role| role.is_public()) {
            Some(bind("listen", settings.listen).await?)
        } else {
            None
        };
        Ok(Self {
            public,
            admin: bind("admin_listen", settings.admin_listen).await?,
        })
    }
}

async fn bind(key: &str, address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: cannot listen on {address}: is something else there?"))
}

/// What the roles stand on: the data folder, the bus, the blobs.
pub struct Seams {
    /// Where everything lies.
    pub data: DataFolder,
    /// The bus, if a role needs it.
    pub bus: Option<OpenBus>,
    /// The schema registry, if there is one.
    pub registry: Option<Arc<Registry>>,
    /// The blob store, if a role needs it.
    pub blobs: Option<Arc<dyn Blobs>>,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams")
            .field("data", &self.data)
            .field("bus", &self.bus)
            .finish_non_exhaustive()
    }
}

impl Seams {
    /// Opens what the roles need.
    pub async fn open(settings: &Settings, roles: &[Role], edges: &Edges) -> Result<Self> {
        let with_bus = roles.iter().any(|role| role.needs_bus());
        let data = DataFolder::open(&settings.data, with_bus && settings.bus.kind == BusKind::Embedded)?;
        let bus = if with_bus {
            let bus = OpenBus::open(settings, &data, edges).await?;
            bus.seam(None)
                .ensure_topics(&events::topic_specs())
                .await
                .context("the topics cannot be made as declared")?;
            Some(bus)
        } else {
            None
        };
        let blobs = if with_bus {
            Some(open_blobs(settings, &data, edges).await?)
        } else {
            None
        };
        let registry = match settings.bus.registry_url.as_str() {
            url if with_bus && !url.is_empty() => Some(
                Registry::open(url, data.registry())
                    .await
                    .context("bus.registry_url")?,
            ),
            _ => None,
        };
        Ok(Self {
            data,
            bus,
            registry,
            blobs,
        })
    }
}

async fn open_blobs(settings: &Settings, data: &DataFolder, edges: &Edges) -> Result<Arc<dyn Blobs>> {
    let folder = settings.blobs.folder().context("blobs.url")?;
    let (folder, clock) = (folder.unwrap_or_else(|| data.blobs()), edges.clock.clone());
    let blobs =
        tokio::task::spawn_blocking(move || FolderBlobs::open(&folder, Arc::new(move || clock.now())))
            .await
            .context("opening the blob store failed")?
            .context("the blob store cannot be opened")?;
    Ok(Arc::new(blobs))
}

/// Roles, built and not yet started.
pub struct Node {
    seams: Seams,
    edges: Edges,
    roles: Built,
    admin_token: AdminToken,
    admin_tls: Option<Tls>,
    exporter: Option<Exporter>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("seams", &self.seams)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Connects and checks everything; starts nothing.
    pub async fn build(
        settings: &Settings,
        roles: &[Role],
        seams: Seams,
        mut edges: Edges,
        stop: &Stop,
    ) -> Result<Self> {
        let (traces, exporter) = Traces::new(&settings.traces, &edges).context("traces")?;
        edges.traces = traces;
        runtime::process::watch(&edges).context("the process's own metrics")?;
        let mut folders = vec![("data", settings.data.clone())];
        folders.extend(settings.blobs.folder()?.map(|folder| ("blobs", folder)));
        runtime::disk::watch(&edges.metrics, folders).context("the disks' metrics")?;
        Ok(Self {
            roles: roles::build(settings, roles, &seams, &edges, stop).await?,
            admin_token: AdminToken::new(settings.admin.token.clone()),
            admin_tls: settings
                .admin
                .tls
                .as_ref()
                .map(Tls::read)
                .transpose()
                .context("admin.tls")?,
            seams,
            edges,
            exporter,
        })
    }

    /// Starts everything within `tasks`.
    pub fn run(self, listeners: Listeners, tasks: Tasks) -> Result<Running> {
        let stages = Stages {
            admin: tasks.group("admin"),
            servers: tasks.group("public"),
            workers: tasks.group("workers"),
            views: tasks.group("views"),
            upkeep: tasks.group("upkeep"),
        };
        if let Some(bus) = self.seams.bus.clone() {
            let (edges, stop) = (self.edges.clone(), stages.upkeep.stop().clone());
            stages.upkeep.spawn_service("clean-up", bus.clean_up(edges, stop));
        }
        if let Some(sweep) = self.roles.sweep.clone() {
            let (edges, stop) = (self.edges.clone(), stages.upkeep.stop().clone());
            stages.upkeep.spawn_service("sweep", sweep.run(edges, stop));
        }
        if let Some(exporter) = self.exporter {
            // Behind the roles: spans of work that ends at a stop are sent too.
            let stop = stages.upkeep.stop().clone();
            stages.upkeep.spawn_service("traces", exporter.run(stop));
        }
        let limits = ServeLimits {
            grace: SERVERS_WITHIN - Duration::from_secs(1),
            ..ServeLimits::default()
        };
        if let Some(listener) = listeners.public {
            let address = listener.local_addr()?;
            let router = self.roles.public.clone().layer(CatchPanicLayer::new());
            let stop = stages.servers.stop().clone();
            stages
                .servers
                .spawn_service("http", serve(listener, router, None, limits, stop));
            tracing::info!(%address, "public listener is open");
        }
        let address = listeners.admin.local_addr()?;
        let router = admin_router(
            self.edges.health.clone(),
            self.edges.metrics.clone(),
            self.admin_token,
            self.roles.admin.clone(),
        )
        .layer(CatchPanicLayer::new());
        // Whoever asks for the state of a process that is stopping gets an answer at once, or none.
        let limits = ServeLimits {
            grace: REST_WITHIN / 2,
            ..limits
        };
        let stop = stages.admin.stop().clone();
        stages.admin.spawn_service(
            "http",
            serve(listeners.admin, router, self.admin_tls, limits, stop),
        );
        tracing::info!(%address, "admin listener is open");
        self.roles.run(&stages.workers, &stages.views);
        Ok(Running {
            stages,
            seams: self.seams,
            edges: self.edges,
        })
    }
}

#[derive(Debug)]
struct Stages {
    admin: Tasks,
    servers: Tasks,
    workers: Tasks,
    views: Tasks,
    upkeep: Tasks,
}

/// A node at work.
#[derive(Debug)]
pub struct Running {
    stages: Stages,
    seams: Seams,
    edges: Edges,
}

impl Running {
    /// Stops in the order of the data: no more intake, workers settle, views commit, the log is closed. Nothing accepted
    /// is lost if a step runs out of time: it is done again at the next start.
    pub async fn stop(self) -> Result<()> {
        self.edges.health.stopping();
        let mut left = Vec::new();
        for (stage, within) in [
            (&self.stages.servers, SERVERS_WITHIN),
            (&self.stages.workers, WORKERS_WITHIN),
            (&self.stages.views, VIEWS_WITHIN),
            (&self.stages.upkeep, REST_WITHIN),
        ] {
            if let Err(still) = stage.stop_and_drain(within).await {
                tracing::warn!(running = ?still.0, "not stopped in time");
                left.extend(still.0);
            }
        }
        if let Some(bus) = &self.seams.bus {
            bus.close().await?;
        }
        if let Err(still) = self.stages.admin.stop_and_drain(REST_WITHIN).await {
            left.extend(still.0);
        }
        anyhow::ensure!(left.is_empty(), "not stopped in time: {}", left.join(", "));
        Ok(())
    }
}
