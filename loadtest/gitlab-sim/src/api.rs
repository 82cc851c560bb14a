//! `/api/v4`: projects, members, users, hooks.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::SimError;
use crate::access::{Caller, caller, who};
use crate::faults::Surface;
use crate::shape;
use crate::sim::{Struck, broken_off, strike};
use crate::world::{HookTarget, Project, ProjectHook, World};

pub(crate) type Answer = Result<Json<Value>, SimError>;

/// Maintainers manage hooks.
const MAINTAINER: u8 = 40;

/// Counts, and lets faults strike.
pub(crate) async fn gate(State(world): State<Arc<World>>, request: Request, next: Next) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let project = {
        let mut state = world.state();
        state.counters.api += 1;
        let name = path
            .strip_prefix("/api/v4/projects/")
            .and_then(|rest| rest.split('/').next());
        let name = name.map(|name| percent_encoding::percent_decode_str(name).decode_utf8_lossy());
        name.and_then(|name| state.find(&name).map(|project| project.id))
    };
    let struck = strike(&world, Surface::Api, project, &path).await;
    match struck {
        Struck {
            instead: Some(response),
            ..
        } => response,
        Struck {
            break_after: None, ..
        } => next.run(request).await,
        Struck {
            break_after: Some(bytes),
            ..
        } => broken_off(next.run(request).await, bytes).await,
    }
}

#[derive(Deserialize)]
pub(crate) struct Page {
    page: Option<usize>,
    per_page: Option<usize>,
}

/// One page of a list, with GitLab's headers.
pub(crate) fn paged(items: Vec<Value>, page: &Page) -> Response {
    let per_page = page.per_page.unwrap_or(20).clamp(1, 100);
    let page = page.page.unwrap_or(1).max(1);
    let total = items.len();
    let pages = total.div_ceil(per_page).max(1);
    let part: Vec<Value> = items
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page)
        .collect();
    let next = if page < pages {
        (page + 1).to_string()
    } else {
        String::new()
    };
    let previous = if page > 1 {
        (page - 1).to_string()
    } else {
        String::new()
    };
    let headers = [
        ("x-page", page.to_string()),
        ("x-per-page", per_page.to_string()),
        ("x-next-page", next),
        ("x-prev-page", previous),
        ("x-total", total.to_string()),
        ("x-total-pages", pages.to_string()),
    ];
    (headers, Json(Value::Array(part))).into_response()
}

/// The project, if the caller may see it, and the caller.
pub(crate) fn visible(world: &World, headers: &HeaderMap, id: &str) -> Result<(Project, Caller), SimError> {
    let state = world.state();
    let caller = caller(&state, headers)?;
    let project = state.find(id).filter(|project| caller.may_see(project)).cloned();
    Ok((project.ok_or(SimError::NotFound("Project"))?, caller))
}

pub(crate) async fn version(State(world): State<Arc<World>>, headers: HeaderMap) -> Answer {
    caller(&world.state(), &headers)?.user()?;
    Ok(Json(json!({"version": "17.5.1-sim", "revision": "0000000"})))
}

pub(crate) async fn current_user(State(world): State<Arc<World>>, headers: HeaderMap) -> Answer {
    let (caller, _) = who(&world.state(), &headers)?;
    Ok(Json(shape::user(&world.url, caller.user()?)))
}

pub(crate) async fn user(State(world): State<Arc<World>>, headers: HeaderMap, Path(id): Path<u32>) -> Answer {
    let state = world.state();
    caller(&state, &headers)?;
    let user = state.users.get(&id).ok_or(SimError::NotFound("User"))?;
    Ok(Json(shape::user(&world.url, user)))
}

pub(crate) async fn projects(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(page): Query<Page>,
) -> Result<Response, SimError> {
    let seen: Vec<Project> = {
        let state = world.state();
        let caller = caller(&state, &headers)?;
        state
            .projects
            .values()
            .filter(|project| caller.may_see(project))
            .cloned()
            .collect()
    };
    let items = seen
        .iter()
        .map(|project| shape::project(&world.url, project))
        .collect();
    Ok(paged(items, &page))
}

pub(crate) async fn project(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let (project, _) = visible(&world, &headers, &id)?;
    Ok(Json(shape::project(&world.url, &project)))
}

pub(crate) async fn members(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, SimError> {
    let (project, _) = visible(&world, &headers, &id)?;
    let state = world.state();
    let items = project
        .members
        .iter()
        .filter_map(|(user, membership)| Some(shape::member(&world.url, state.users.get(user)?, membership)))
        .collect();
    Ok(paged(items, &page))
}

pub(crate) async fn member(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path((id, user)): Path<(String, u32)>,
) -> Answer {
    let (project, _) = visible(&world, &headers, &id)?;
    let state = world.state();
    let membership = project.members.get(&user).ok_or(SimError::NotFound("Member"))?;
    let user = state.users.get(&user).ok_or(SimError::NotFound("Member"))?;
    Ok(Json(shape::member(&world.url, user, membership)))
}

fn managed(world: &World, headers: &HeaderMap, id: &str) -> Result<Project, SimError> {
    let (project, caller) = visible(world, headers, id)?;
    caller.user()?;
    if caller.has_level(&project, MAINTAINER) {
        Ok(project)
    } else {
        Err(SimError::Forbidden)
    }
}

pub(crate) async fn hooks(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, SimError> {
    let project = managed(&world, &headers, &id)?;
    Ok(paged(
        project
            .hooks
            .iter()
            .map(|(id, hook)| shape::hook(*id, project.id, hook))
            .collect(),
        &page,
    ))
}

#[derive(Deserialize)]
pub(crate) struct NewHook {
    url: String,
    token: Option<String>,
    push_events: Option<bool>,
    tag_push_events: Option<bool>,
}

pub(crate) async fn add_hook(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(new): Json<NewHook>,
) -> Result<Response, SimError> {
    let project = managed(&world, &headers, &id)?;
    let hook = ProjectHook {
        target: HookTarget {
            url: new.url,
            token: new.token,
        },
        push_events: new.push_events.unwrap_or(true),
        tag_push_events: new.tag_push_events.unwrap_or(false),
        created_at: world.clock.now(),
    };
    let mut state = world.state();
    let number = state.next_hook;
    state.next_hook += 1;
    let known = state
        .projects
        .get_mut(&project.id)
        .ok_or(SimError::NotFound("Project"))?;
    known.hooks.insert(number, hook.clone());
    Ok((StatusCode::CREATED, Json(shape::hook(number, project.id, &hook))).into_response())
}

pub(crate) async fn delete_hook(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path((id, hook)): Path<(String, u32)>,
) -> Result<StatusCode, SimError> {
    let project = managed(&world, &headers, &id)?;
    let mut state = world.state();
    let known = state
        .projects
        .get_mut(&project.id)
        .ok_or(SimError::NotFound("Project"))?;
    known
        .hooks
        .remove(&hook)
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(SimError::NotFound("Hook"))
}
