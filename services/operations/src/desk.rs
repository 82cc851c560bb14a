use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bus::Bus;
use runtime::Edges;
use store::Reader;

use crate::replay::AskReplay;
use crate::sweep::Sweep;
use crate::{access, campaigns, parked_routes, positions, rejects, replay, sweep_route};

/// The routes, and what they stand on. It has no task of its own: it lives in the admin listener.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub bus: Arc<dyn Bus>,
    /// The view, if this process has one.
    pub reader: Option<Reader>,
    pub edges: Edges,
    /// The blob store, if this process has it.
    pub sweep: Option<Sweep>,
    /// The view's writer, if it is in this process.
    pub replay: Option<AskReplay>,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operations")
    }
}

impl Operations {
    /// Nothing is asked yet.
    pub fn new(bus: Arc<dyn Bus>, reader: Option<Reader>, edges: &Edges) -> Self {
        Self(Arc::new(Inner {
            bus,
            reader,
            edges: edges.clone(),
            sweep: None,
            replay: None,
        }))
    }

    /// With a blob store that can be swept.
    #[must_use]
    pub fn with_sweep(self, sweep: Sweep) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.sweep = Some(sweep);
        Self(Arc::new(inner))
    }

    /// With a view that can be told to read the log again.
    #[must_use]
    pub fn with_replay(self, replay: AskReplay) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.replay = Some(replay);
        Self(Arc::new(inner))
    }

    /// For the admin listener, which guards them.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/admin/positions", get(positions::get))
            .route(
                "/admin/parked",
                get(parked_routes::list).post(parked_routes::resolve),
            )
            .route(
                "/admin/parked/{topic}/{partition}/{offset}",
                get(parked_routes::show),
            )
            .route("/admin/views/rejects", get(rejects::list))
            .route("/admin/access/explain", get(access::explain))
            .route("/admin/access/who", get(access::who))
            .route("/admin/blobs/sweep", axum::routing::post(sweep_route::sweep))
            .route("/admin/views/graph/replay", axum::routing::post(replay::replay))
            .route("/admin/rebuild", axum::routing::post(campaigns::rebuild))
            .route("/admin/campaigns/{id}", get(campaigns::progress))
            .with_state(self.clone())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}
