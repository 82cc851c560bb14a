//! Bodies of hooks, as GitLab's pages "Webhook events" and "System hooks" show them.

use model::Visibility;
use serde_json::{Value, json};

use crate::repository::{CommitInfo, ZERO};
use crate::world::{Project, User};

/// One ref that a push moved.
#[derive(Clone, Debug)]
pub(crate) struct RefChange {
    pub name: String,
    pub before: String,
    pub after: String,
}

impl RefChange {
    pub(crate) fn is_tag(&self) -> bool {
        self.name.starts_with("refs/tags/")
    }
}

fn level(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 10,
        Visibility::Public => 20,
    }
}

fn ssh_url(url: &str, project: &Project) -> String {
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or(url)
        .split(':')
        .next()
        .unwrap_or_default();
    format!("git@{host}:{}.git", project.slug)
}

/// A push or tag hook of a project.
pub(crate) fn push(
    url: &str,
    project: &Project,
    user: &User,
    change: &RefChange,
    commits: &[CommitInfo],
    total: usize,
) -> Value {
    let kind = if change.is_tag() { "tag_push" } else { "push" };
    let http = format!("{url}/{}.git", project.slug);
    let web = format!("{url}/{}", project.slug);
    let ssh = ssh_url(url, project);
    let checkout = if change.after == ZERO {
        Value::Null
    } else {
        json!(change.after)
    };
    json!({
        "object_kind": kind,
        "event_name": kind,
        "before": change.before,
        "after": change.after,
        "ref": change.name,
        "ref_protected": project.default_branch.as_deref() == change.name.strip_prefix("refs/heads/"),
        "checkout_sha": checkout,
        "message": null,
        "user_id": user.id,
        "user_name": user.name,
        "user_username": user.username,
        "user_email": user.email,
        "user_avatar": null,
        "project_id": project.id,
        "project": {
            "id": project.id,
            "name": project.name,
            "description": project.description,
            "web_url": web,
            "avatar_url": project.avatar_url,
            "git_ssh_url": ssh,
            "git_http_url": http,
            "namespace": project.namespace(),
            "visibility_level": level(project.visibility),
            "path_with_namespace": project.slug,
            "default_branch": project.default_branch,
            "ci_config_path": null,
            "homepage": web,
            "url": ssh,
            "ssh_url": ssh,
            "http_url": http,
        },
        "commits": commits.iter().map(|commit| json!({
            "id": commit.sha,
            "message": commit.message,
            "title": commit.title(),
            "timestamp": commit.committer.2,
            "url": format!("{web}/-/commit/{}", commit.sha),
            "author": {"name": commit.author.0, "email": commit.author.1},
            "added": commit.added,
            "modified": commit.modified,
            "removed": commit.removed,
        })).collect::<Vec<_>>(),
        "total_commits_count": total,
        "push_options": {},
        "repository": {
            "name": project.name,
            "url": ssh,
            "description": project.description,
            "homepage": web,
            "git_http_url": http,
            "git_ssh_url": ssh,
            "visibility_level": level(project.visibility),
        },
    })
}

/// The same for the system hook, which shows no commits.
pub(crate) fn without_commits(mut push: Value) -> Value {
    if let Some(body) = push.as_object_mut() {
        body.insert("commits".into(), json!([]));
    }
    push
}

/// A system hook about a project itself.
pub(crate) fn project(kind: &str, project: &Project, owner: &User, old_slug: Option<&str>) -> Value {
    let mut body = json!({
        "event_name": kind,
        "created_at": project.created_at.to_string(),
        "updated_at": project.updated_at.to_string(),
        "name": project.name,
        "path": project.path(),
        "path_with_namespace": project.slug,
        "project_id": project.id,
        "owner_name": owner.name,
        "owner_email": owner.email,
        "owners": [{"name": owner.name, "email": owner.email}],
        "project_namespace_id": 1,
        "project_visibility": project.visibility.as_str(),
    });
    if let (Some(old), Some(body)) = (old_slug, body.as_object_mut()) {
        body.insert("old_path_with_namespace".into(), json!(old));
    }
    body
}

/// A system hook about somebody's rights in a project.
pub(crate) fn member(kind: &str, project: &Project, user: &User, access_level: u8) -> Value {
    let access_level = match access_level {
        50.. => "Owner",
        40..50 => "Maintainer",
        30..40 => "Developer",
        20..30 => "Reporter",
        15..20 => "Planner",
        10..15 => "Guest",
        _ => "Minimal Access",
    };
    json!({
        "event_name": kind,
        "created_at": project.created_at.to_string(),
        "updated_at": project.updated_at.to_string(),
        "access_level": access_level,
        "project_id": project.id,
        "project_name": project.name,
        "project_path": project.path(),
        "project_path_with_namespace": project.slug,
        "user_email": user.email,
        "user_name": user.name,
        "user_username": user.username,
        "user_id": user.id,
        "project_visibility": project.visibility.as_str(),
    })
}
