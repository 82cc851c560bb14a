//! Each role is built from its section and the seams, and started in its stage.

use std::sync::Arc;

use anyhow::{Context, Result};
use auth::{Identities, WhoIs};
use axum::Router;
use blobs::Blobs;
use bus::Bus;
use commit_fetcher::{CommitFetcher, GitContent, GitLabFacts};
use gitlab::{ClientSettings, RestClient};
use graph_writer::GraphWriter;
use operations::{AskReplay, Operations, Sweep};
use query_service::QueryService;
use repos::{FetchLimits, MirrorSettings, Mirrors};
use runtime::{Edges, Stop, Tasks};
use store::Reader;
use triple_generator::TripleGenerator;
use url::Url;
use webhook_service::WebhookService;

use crate::node::Seams;
use crate::role::Role;
use crate::settings::Settings;

/// The roles of this process, built.
pub(crate) struct Built {
    /// Routes of the public listener.
    pub public: Router,
    /// Routes of the admin listener.
    pub admin: Router,
    /// Sweeps blobs, in the role that writes most of them.
    pub sweep: Option<Sweep>,
    fetcher: Option<CommitFetcher>,
    generator: Option<TripleGenerator>,
    writer: Option<GraphWriter>,
    queries: Option<QueryService>,
}

/// Builds the named roles. Nothing is started.
pub(crate) async fn build(
    settings: &Settings,
    roles: &[Role],
    seams: &Seams,
    edges: &Edges,
    stop: &Stop,
) -> Result<Built> {
    let mut built = Built {
        public: Router::new(),
        admin: Router::new(),
        sweep: None,
        fetcher: None,
        generator: None,
        writer: None,
        queries: None,
    };
    if roles.contains(&Role::WebhookService) {
        let service = WebhookService::build(&settings.hooks, bus(seams)?, edges)
            .await
            .context("webhook-service cannot be built")?;
        built.public = built.public.merge(service.router());
    }
    if roles.contains(&Role::CommitFetcher) {
        built.fetcher = Some(fetcher(settings, seams, edges).context("commit-fetcher cannot be built")?);
    }
    if roles.contains(&Role::TripleGenerator) {
        built.generator =
            Some(generator(settings, seams, edges).context("triple-generator cannot be built")?);
    }
    let mut reader: Option<Reader> = None;
    if roles.contains(&Role::GraphWriter) {
        let (writer, view) = writer(settings, seams, edges)
            .await
            .context("graph-writer cannot be built")?;
        built.writer = Some(writer);
        reader = Some(view);
    }
    if roles.contains(&Role::QueryService) {
        let view = match reader.clone() {
            Some(reader) => reader,
            None => other_reader(settings, seams, edges, stop).await?,
        };
        reader = Some(view.clone());
        let token = settings.admin.token.clone();
        let identities = Arc::new(identities(settings, edges)?);
        let url = settings.public_url();
        let service = QueryService::build(&settings.limits, view, &url, token, identities, edges)
            .context("query-service cannot be built")?;
        built.public = built.public.merge(service.router());
        built.admin = built.admin.merge(service.admin_router());
        built.queries = Some(service);
    }
    if seams.bus.is_some() {
        let sweep = Sweep::new(bus(seams)?, blobs(seams)?);
        if roles.contains(&Role::CommitFetcher) {
            built.sweep = Some(sweep.clone());
        }
        let mut desk = Operations::new(bus(seams)?, reader, edges).with_sweep(sweep);
        if let Some(writer) = &built.writer {
            desk = desk.with_replay(replay(writer));
        }
        built.admin = built.admin.merge(desk.router());
    }
    Ok(built)
}

/// GitLab's tokens are asked of GitLab, where its address is known.
fn identities(settings: &Settings, edges: &Edges) -> Result<Identities> {
    let who_is: Option<Arc<dyn WhoIs>> = match settings.gitlab.url.is_empty() {
        true => None,
        false => {
            let url = Url::parse(&settings.gitlab.url).context("gitlab.url is not a URL")?;
            Some(Arc::new(RestClient::new(ClientSettings::new(url, None))?))
        }
    };
    Identities::new(&settings.auth, who_is, edges).map_err(|why| anyhow::anyhow!("auth: {why}"))
}

/// The desk asks, the view does.
fn replay(writer: &GraphWriter) -> AskReplay {
    let replays = writer.replays();
    AskReplay::new(move |from_empty| {
        let replays = replays.clone();
        async move { replays.ask(from_empty).await.map_err(|error| error.to_string()) }
    })
}

fn bus(seams: &Seams) -> Result<Arc<dyn Bus>> {
    Ok(seams
        .bus
        .as_ref()
        .context("the bus is not open")?
        .seam(seams.registry.as_ref()))
}

fn blobs(seams: &Seams) -> Result<Arc<dyn Blobs>> {
    seams.blobs.clone().context("the blob store is not open")
}

fn fetcher(settings: &Settings, seams: &Seams, edges: &Edges) -> Result<CommitFetcher> {
    let url = Url::parse(&settings.gitlab.url).context("gitlab.url is not a URL")?;
    let token = settings.gitlab.token.clone();
    let client = RestClient::new(ClientSettings::new(url.clone(), token.clone()))?;
    let mirrors = Mirrors::open(MirrorSettings {
        folder: seams.data.mirrors(),
        gitlab: url,
        token,
        limits: FetchLimits::default(),
    })?;
    let sources = commit_fetcher::Sources {
        bus: bus(seams)?,
        blobs: blobs(seams)?,
        facts: Arc::new(GitLabFacts::new(Arc::new(client))),
        content: Arc::new(GitContent::new(Arc::new(mirrors))),
    };
    Ok(commit_fetcher::build(&settings.fetcher, sources, edges)?)
}

fn generator(settings: &Settings, seams: &Seams, edges: &Edges) -> Result<TripleGenerator> {
    let host: rdf::Host = settings.rdf_host()?.parse().context("rdf.host")?;
    Ok(triple_generator::build(
        &settings.generator,
        &host,
        bus(seams)?,
        blobs(seams)?,
        edges,
    )?)
}

async fn writer(settings: &Settings, seams: &Seams, edges: &Edges) -> Result<(GraphWriter, Reader)> {
    let (folder, options) = (seams.data.views(), settings.store.options(&settings.rdf_host()?));
    let opened = tokio::task::spawn_blocking(move || graph_writer::open_view(&folder, options)).await;
    let (writer, reader) = opened
        .context("opening the view failed")?
        .context("the view cannot be opened")?;
    let role = GraphWriter::build(&settings.store, writer, bus(seams)?, blobs(seams)?, edges).await?;
    Ok((role, reader))
}

/// The view that another process writes, once it is there.
async fn other_reader(settings: &Settings, seams: &Seams, edges: &Edges, stop: &Stop) -> Result<Reader> {
    let options = settings.store.options(&settings.rdf_host()?);
    let folder = seams.data.views();
    query_service::open_view(&folder, &options, edges.clock.as_ref(), stop)
        .await
        .context("the view cannot be opened for reading")?
        .context("stopped before there was a view")
}

impl Built {
    /// Starts what is not a part of a listener. Views first: nothing is lost in any order, but this one has no gap.
    pub(crate) fn run(self, workers: &Tasks, views: &Tasks) {
        if let Some(writer) = self.writer {
            writer.run(views);
        }
        if let Some(queries) = self.queries {
            let stop = views.stop().clone();
            views.spawn_service("canary", queries.probe(stop));
        }
        if let Some(generator) = self.generator {
            generator.run(workers);
        }
        if let Some(fetcher) = self.fetcher {
            fetcher.run(workers);
        }
    }
}
