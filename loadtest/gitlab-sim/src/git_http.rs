use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use futures::FutureExt;

use crate::SimError;
use crate::access::{Caller, caller};
use crate::cgi::{self, CgiRequest};
use crate::faults::Surface;
use crate::payload::RefChange;
use crate::repository::ZERO;
use crate::sim::strike;
use crate::world::World;

/// Developers push.
const DEVELOPER: u8 = 30;

/// `/<slug>.git/<service>`.
pub(crate) async fn serve(world: Arc<World>, request: Request<Body>) -> Response<Body> {
    match answer(world, request).await {
        Ok(response) => response,
        Err(SimError::Unauthorized) => {
            let mut response = SimError::Unauthorized.into_response();
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"GitLab\""),
            );
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn answer(world: Arc<World>, request: Request<Body>) -> Result<Response<Body>, SimError> {
    let path = percent_encoding::percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    let (slug, service) = path
        .trim_start_matches('/')
        .split_once(".git/")
        .ok_or(SimError::NotFound("Page"))?;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (project, caller) = {
        let mut state = world.state();
        state.counters.git += 1;
        let caller = caller(&state, request.headers());
        (state.find(slug).cloned(), caller)
    };
    let struck = strike(
        &world,
        Surface::Git,
        project.as_ref().map(|project| project.id),
        &path,
    )
    .await;
    if let Some(response) = struck.instead {
        return Ok(response);
    }
    let caller = caller?;
    // GitLab asks who somebody is before it says that there is nothing.
    let hidden = || {
        if matches!(caller, Caller::Anonymous) {
            SimError::Unauthorized
        } else {
            SimError::NotFound("Project")
        }
    };
    let project = project
        .filter(|project| caller.may_see(project))
        .ok_or_else(hidden)?;
    let pushes = service == "git-receive-pack" || query.contains("service=git-receive-pack");
    if pushes {
        let user = caller.user()?;
        if !caller.has_level(&project, DEVELOPER) || project.archived {
            tracing::info!(user = user.username, project = project.slug, "a push was refused");
            return Err(SimError::Forbidden);
        }
    }
    if project.repository_disabled {
        return Err(SimError::Forbidden);
    }
    if !matches!(service, "info/refs" | "git-upload-pack" | "git-receive-pack") {
        return Err(SimError::NotFound("Page"));
    }
    let break_after = struck.break_after;
    let (parts, body) = request.into_parts();
    let folder = project
        .repository
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let cgi = CgiRequest {
        backend: &world.backend,
        root: &world.folder,
        path: format!("/{folder}/{service}"),
        method: &parts.method,
        query: &query,
        headers: &parts.headers,
        user: caller.user().ok().map(|user| user.username.as_str()),
        body,
    };
    if service != "git-receive-pack" {
        return cgi::run(cgi, &world.tasks, |answer| {
            async move { drop(answer.follow(false, break_after).await) }.boxed()
        })
        .await;
    }
    let user = caller.user()?.clone();
    let pushing = project.pushing.clone().lock_owned().await;
    let before = project.repository.refs();
    let announcing = world.clone();
    cgi::run(cgi, &world.tasks, move |answer| {
        async move {
            let end = answer.follow(true, break_after).await;
            let changes = changes(&before, &project.repository.refs());
            drop(pushing);
            drop(end);
            let done =
                tokio::task::spawn_blocking(move || announcing.pushed(&project, &user, &changes)).await;
            if let Err(error) = done {
                tracing::error!(%error, "the hooks of a push were not sent");
            }
        }
        .boxed()
    })
    .await
}

/// What is different between two looks at the refs.
pub(crate) fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<RefChange> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |refs: &BTreeMap<String, String>, name: &String| {
        refs.get(name).cloned().unwrap_or_else(|| ZERO.to_owned())
    };
    names
        .into_iter()
        .map(|name| RefChange {
            name: name.clone(),
            before: of(before, name),
            after: of(after, name),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_made_and_deleted() {
        let refs = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(n, o)| ((*n).to_owned(), (*o).to_owned()))
                .collect()
        };
        let found = changes(
            &refs(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &refs(&[("a", "1"), ("b", "2"), ("d", "1")]),
        );
        let found: Vec<_> = found
            .iter()
            .map(|change| {
                (
                    change.name.as_str(),
                    change.before.as_str(),
                    change.after.as_str(),
                )
            })
            .collect();
        assert_eq!(found, [("b", "1", "2"), ("c", "1", ZERO), ("d", ZERO, "1")]);
    }
}
