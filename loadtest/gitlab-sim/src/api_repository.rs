//! `/api/v4/projects/:id/repository`: branches, commits, archives.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Answer, Page, paged, visible};
use crate::world::{Project, World};
use crate::{SimError, archive, shape};

/// Runs what starts a `git` off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SimError> + Send + 'static,
) -> Result<T, SimError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SimError::Bad(error.to_string())),
    }
}

fn branch(project: &Project, name: &str, sha: &str) -> Value {
    let commit = project
        .repository
        .commit(sha)
        .map(|commit| shape::commit(&commit));
    json!({"name": name, "default": project.default_branch.as_deref() == Some(name), "commit": commit, "can_push": true})
}

pub(crate) async fn branches(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, SimError> {
    let (project, _) = visible(&world, &headers, &id)?;
    let items = blocking(move || {
        let refs = project.repository.refs();
        let heads = refs
            .iter()
            .filter_map(|(name, sha)| Some((name.strip_prefix("refs/heads/")?, sha)));
        Ok(heads.map(|(name, sha)| branch(&project, name, sha)).collect())
    })
    .await?;
    Ok(paged(items, &page))
}

pub(crate) async fn one_branch(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path((id, name)): Path<(String, String)>,
) -> Answer {
    let (project, _) = visible(&world, &headers, &id)?;
    blocking(move || {
        let sha = project
            .repository
            .head_of(&name)
            .ok_or(SimError::NotFound("Branch"))?;
        Ok(Json(branch(&project, &name, &sha)))
    })
    .await
}

pub(crate) async fn commit(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path((id, sha)): Path<(String, String)>,
) -> Answer {
    let (project, _) = visible(&world, &headers, &id)?;
    blocking(move || {
        let commit = project
            .repository
            .commit(&sha)
            .ok_or(SimError::NotFound("Commit"))?;
        Ok(Json(shape::commit(&commit)))
    })
    .await
}

#[derive(Deserialize)]
pub(crate) struct ArchiveQuery {
    sha: Option<String>,
    path: Option<String>,
}

pub(crate) async fn archive(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<ArchiveQuery>,
) -> Result<Response, SimError> {
    let (project, _) = visible(&world, &headers, &id)?;
    let bytes = blocking(move || {
        let revision = query.sha.or(project.default_branch.clone()).unwrap_or_default();
        let commit = project
            .repository
            .commit(&revision)
            .ok_or(SimError::NotFound("Commit"))?;
        archive::tar_gz(&project, &commit.sha, query.path.as_deref())
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}
