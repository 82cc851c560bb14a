//! Reads with a shape of their own: a project, how far its events came, versions.

use std::sync::Arc;

use access::{Caller, VisibleSet};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use events::ProjectState;
use model::{Generation, ProjectId, Slug};
use serde::Serialize;
use serde_json::json;
use store::{ProjectNotes, Snapshot, StoreError};

use crate::asker::Asker;
use crate::covered;
use crate::details::{Details, Parent};
use crate::negotiate::choose;
use crate::own_words::own_words;
use crate::progress::{Looks, Progress};
use crate::refusal::{Refusal, WITHHELD};
use crate::service::{Inner, QueryService};

/// `GET /version`.
pub(crate) async fn version() -> Json<serde_json::Value> {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({ "name": "query-service", "versions": [{ "version": version }] }))
}

/// `GET /knowledge-graph/projects/:slug`.
pub(crate) async fn project(
    State(service): State<QueryService>,
    Path(slug): Path<String>,
    Asker(caller): Asker,
    headers: HeaderMap,
) -> Response {
    let accept: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if choose(accept.iter().copied(), &[("application/json", ())]).is_none() {
        let why = format!("Accept: {} not supported", accept.join(", "));
        return told::<()>(
            &service,
            "project",
            Err(Refusal::new(StatusCode::BAD_REQUEST, why)),
        );
    }
    let Ok(slug) = slug.parse::<Slug>() else {
        return told::<()>(
            &service,
            "project",
            Err(Refusal::new(StatusCode::NOT_FOUND, "Resource not found")),
        );
    };
    let absent = format!("No '{slug}' project found");
    let found = read(&service, (&caller, &headers), move |inner, snapshot, visible| {
        let Some(project) = snapshot.project_by_slug(visible, &slug)? else {
            return Ok(None);
        };
        let Some(state) = state(snapshot, visible, project)? else {
            return Ok(None);
        };
        let parent = match state.fork_parent {
            Some(parent) => self::state(snapshot, visible, parent)?,
            None => None,
        };
        let own = own_words(snapshot, visible, &state.slug)?;
        let parent = parent.as_ref().map(|state| Parent { state });
        Ok(Some(Details::of(project, &state, own, parent, &inner.public_url)))
    });
    told(
        &service,
        "project",
        found
            .await
            .and_then(|found| found.ok_or_else(|| not_found(absent))),
    )
}

/// `GET /projects/:id/events/status`.
pub(crate) async fn status(
    State(service): State<QueryService>,
    Path(id): Path<String>,
    Asker(caller): Asker,
    headers: HeaderMap,
) -> Response {
    let Ok(project) = id.parse::<ProjectId>() else {
        return told::<()>(&service, "status", Err(not_found("Resource not found")));
    };
    let found = read(&service, (&caller, &headers), move |_, snapshot, visible| {
        if !visible.contains(project) {
            return Ok(None);
        }
        let notes = ProjectNotes::read(snapshot.note(project)?.as_deref())?;
        let applied = snapshot.applied(visible, project)?;
        Ok(Some(Progress::of(Looks {
            newest: notes.newest.as_ref(),
            applied: applied.map_or(Generation::default(), |applied| applied.generation),
            left_out: notes
                .left_out
                .as_ref()
                .map(|left| (left.generation, left.why.as_str())),
        })))
    });
    let found = found
        .await
        .and_then(|found| found.ok_or_else(|| not_found("Info about project cannot be found")));
    told(&service, "status", found)
}

fn not_found(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, why)
}

/// The facts of a project that the caller may see.
fn state(
    snapshot: &Snapshot,
    visible: &VisibleSet,
    project: ProjectId,
) -> Result<Option<ProjectState>, Refusal> {
    let Some(facts) = snapshot
        .facts(visible, project)?
        .filter(|facts| facts.live.is_some())
    else {
        return Ok(None);
    };
    let damaged = |_| Refusal::from(StoreError::Damaged("facts have no payload"));
    serde_json::from_slice(&facts.payload).map(Some).map_err(damaged)
}

/// Waits for what the request waits for, then reads from one snapshot, off the async threads.
async fn read<T: Send + 'static>(
    service: &QueryService,
    (caller, headers): (&Caller, &HeaderMap),
    read: impl FnOnce(&Inner, &Snapshot, &VisibleSet) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    covered::wait(service.inner(), caller.clone(), headers).await?;
    let (inner, caller): (Arc<Inner>, Caller) = (service.inner().clone(), caller.clone());
    let work = move || {
        let snapshot = inner.reader.snapshot()?;
        let visible = snapshot.visible(&caller, inner.today())?;
        read(&inner, &snapshot, &visible)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Refusal::failed()))
}

fn told<T: Serialize>(service: &QueryService, route: &str, result: Result<T, Refusal>) -> Response {
    let response = match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => {
            if refusal.outcome == WITHHELD {
                let withheld = &service.inner().counters.withheld;
                withheld.with_label_values::<&str>(&[]).inc();
            }
            let again_after = refusal.again_after;
            let mut response = refusal.into_json();
            if let Some(seconds) = again_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    };
    service
        .inner()
        .counters
        .reads
        .with_label_values(&[route, response.status().as_str()])
        .inc();
    response
}
