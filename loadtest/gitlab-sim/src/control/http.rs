//! `/sim/…`: the same over HTTP, without any protection: the server listens on loopback.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Change, Commit, NewProject, NewUser};
use crate::api_repository::blocking;
use crate::deliver::Delivery;
use crate::faults::{Fault, HookFaults};
use crate::world::{Counters, HookTarget, World};
use crate::{SimError, shape};

type Shared = State<Arc<World>>;
type Done = Result<StatusCode, SimError>;

const DONE: StatusCode = StatusCode::NO_CONTENT;

pub(crate) async fn create_user(
    State(world): Shared,
    Json(new): Json<NewUser>,
) -> Result<Json<Value>, SimError> {
    super::create_user(&world, new).map(|id| Json(json!({"id": id})))
}

pub(crate) async fn create_project(
    State(world): Shared,
    Json(new): Json<NewProject>,
) -> Result<Json<Value>, SimError> {
    blocking(move || {
        let id = super::create_project(&world, new)?;
        Ok(Json(shape::project(&world.url, &world.project(id)?)))
    })
    .await
}

pub(crate) async fn change_project(
    State(world): Shared,
    Path(id): Path<u32>,
    Json(change): Json<Change>,
) -> Done {
    blocking(move || super::change_project(&world, id, change))
        .await
        .map(|()| DONE)
}

pub(crate) async fn delete_project(State(world): Shared, Path(id): Path<u32>) -> Done {
    blocking(move || super::delete_project(&world, id))
        .await
        .map(|()| DONE)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    access_level: u8,
    expires_at: Option<String>,
}

pub(crate) async fn set_member(
    State(world): Shared,
    Path((id, user)): Path<(u32, u32)>,
    Json(level): Json<Level>,
) -> Done {
    super::set_member(&world, id, user, Some(level.access_level), level.expires_at).map(|()| DONE)
}

pub(crate) async fn remove_member(State(world): Shared, Path((id, user)): Path<(u32, u32)>) -> Done {
    super::set_member(&world, id, user, None, None).map(|()| DONE)
}

pub(crate) async fn commit(
    State(world): Shared,
    Path(id): Path<u32>,
    Json(commit): Json<Commit>,
) -> Result<Json<Value>, SimError> {
    super::commit(&world, id, commit)
        .await
        .map(|sha| Json(json!({"id": sha})))
}

pub(crate) async fn delete_branch(State(world): Shared, Path((id, name)): Path<(u32, String)>) -> Done {
    super::delete_branch(&world, id, name).await.map(|()| DONE)
}

pub(crate) async fn set_system_hook(
    State(world): Shared,
    Json(target): Json<Option<HookTarget>>,
) -> StatusCode {
    world.state().system_hook = target;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenOf {
    token: String,
    /// None takes all rights away.
    user: Option<u32>,
}

pub(crate) async fn set_token(State(world): Shared, Json(token): Json<TokenOf>) -> StatusCode {
    let mut state = world.state();
    match token.user {
        Some(user) => state.tokens.insert(token.token, user),
        None => state.tokens.remove(&token.token),
    };
    DONE
}

pub(crate) async fn set_faults(State(world): Shared, Json(faults): Json<Vec<Fault>>) -> StatusCode {
    world.state().faults.set(faults);
    DONE
}

pub(crate) async fn set_hook_faults(State(world): Shared, Json(faults): Json<HookFaults>) -> StatusCode {
    world.state().hook_faults = faults;
    DONE
}

pub(crate) async fn counters(State(world): Shared) -> Json<Counters> {
    Json(world.state().counters)
}

#[derive(Deserialize)]
pub(crate) struct After {
    after: Option<u64>,
}

pub(crate) async fn deliveries(State(world): Shared, Query(after): Query<After>) -> Json<Vec<Delivery>> {
    let after = after.after.unwrap_or(0);
    let state = world.state();
    Json(
        state
            .deliveries
            .iter()
            .filter(|delivery| delivery.number > after)
            .cloned()
            .collect(),
    )
}
