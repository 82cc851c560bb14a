//! Each role is built from its section and the seams, and started in its stage.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use blobs::Blobs;
use bus::Bus;
use commit_fetcher::{CommitFetcher, GitContent, GitLabFacts};
use gitlab::{ClientSettings, RestClient};
use repos::{FetchLimits, MirrorSettings, Mirrors};
use runtime::{Edges, Tasks};
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
    fetcher: Option<CommitFetcher>,
}

/// Builds the named roles. Nothing is started.
pub(crate) async fn build(settings: &Settings, roles: &[Role], seams: &Seams, edges: &Edges) -> Result<Built> {
    let mut built = Built { public: Router::new(), admin: Router::new(), fetcher: None };
    if roles.contains(&Role::WebhookService) {
        let service = WebhookService::build(&settings.hooks, bus(seams)?, edges)
            .await
            .context("webhook-service cannot be built")?;
        built.public = built.public.merge(service.router());
    }
    if roles.contains(&Role::CommitFetcher) {
        built.fetcher = Some(fetcher(settings, seams, edges).context("commit-fetcher cannot be built")?);
    }
    Ok(built)
}

fn bus(seams: &Seams) -> Result<Arc<dyn Bus>> {
    Ok(Arc::new(seams.bus.clone().context("the bus is not open")?))
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

impl Built {
    /// Starts what is not a part of a listener.
    pub(crate) fn run(self, workers: &Tasks, _views: &Tasks) -> Result<()> {
        if let Some(fetcher) = self.fetcher {
            fetcher.run(workers);
        }
        Ok(())
    }
}
