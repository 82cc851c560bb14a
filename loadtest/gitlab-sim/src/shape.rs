//! Bodies of the REST API, as GitLab documents them.

use serde_json::{Value, json};

use crate::repository::CommitInfo;
use crate::world::{Membership, Project, ProjectHook, User};

pub(crate) fn project(url: &str, project: &Project) -> Value {
    let empty = project
        .repository
        .refs()
        .keys()
        .all(|name| !name.starts_with("refs/heads/"));
    let default_branch = if empty {
        None
    } else {
        project.default_branch.as_deref()
    };
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or(url)
        .split(':')
        .next()
        .unwrap_or_default();
    json!({
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": format!("{} / {}", project.namespace(), project.name),
        "path": project.path(),
        "path_with_namespace": project.slug,
        "created_at": project.created_at.to_string(),
        "updated_at": project.updated_at.to_string(),
        "last_activity_at": project.updated_at.to_string(),
        "default_branch": default_branch,
        "tag_list": project.topics,
        "topics": project.topics,
        "ssh_url_to_repo": format!("git@{host}:{}.git", project.slug),
        "http_url_to_repo": format!("{url}/{}.git", project.slug),
        "web_url": format!("{url}/{}", project.slug),
        "readme_url": default_branch.map(|branch| format!("{url}/{}/-/blob/{branch}/README.md", project.slug)),
        "forks_count": 0,
        "star_count": 0,
        "avatar_url": project.avatar_url,
        "namespace": {
            "id": 1,
            "name": project.namespace(),
            "path": project.namespace().rsplit('/').next(),
            "kind": "group",
            "full_path": project.namespace(),
        },
        "visibility": project.visibility.as_str(),
        "empty_repo": empty,
        "archived": project.archived,
        "creator_id": project.creator,
        "repository_access_level": if project.repository_disabled { "disabled" } else { "enabled" },
        "forked_from_project": project.forked_from.map(|id| json!({"id": id})),
    })
}

pub(crate) fn user(url: &str, user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": user.state,
        "external": user.external,
        "email": user.email,
        "avatar_url": null,
        "web_url": format!("{url}/{}", user.username),
    })
}

pub(crate) fn member(url: &str, user: &User, membership: &Membership) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": user.state,
        "avatar_url": null,
        "web_url": format!("{url}/{}", user.username),
        "access_level": membership.level,
        "expires_at": membership.expires_at,
        "membership_state": "active",
    })
}

pub(crate) fn hook(id: u32, project: u32, hook: &ProjectHook) -> Value {
    json!({
        "id": id,
        "url": hook.target.url,
        "project_id": project,
        "push_events": hook.push_events,
        "tag_push_events": hook.tag_push_events,
        "enable_ssl_verification": true,
        "created_at": hook.created_at.to_string(),
    })
}

pub(crate) fn commit(commit: &CommitInfo) -> Value {
    json!({
        "id": commit.sha,
        "short_id": commit.sha.get(..8),
        "title": commit.title(),
        "message": commit.message,
        "created_at": commit.committer.2,
        "parent_ids": commit.parents,
        "author_name": commit.author.0,
        "author_email": commit.author.1,
        "authored_date": commit.author.2,
        "committer_name": commit.committer.0,
        "committer_email": commit.committer.1,
        "committed_date": commit.committer.2,
    })
}
