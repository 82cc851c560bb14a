use model::{AccessLevel, ProjectId, Slug, Timestamp, UserId, Visibility};
use serde::Deserialize;

use crate::GitLabError;

/// A project, as `GET /projects/:id` tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// GitLab's number.
    pub id: ProjectId,
    /// `path_with_namespace`.
    pub slug: Slug,
    /// Display name.
    pub name: String,
    /// None when empty.
    pub description: Option<String>,
    /// Public where GitLab does not say, as older releases did not to anonymous callers.
    pub visibility: Visibility,
    /// None in a repository without commits, or where the repository is switched off.
    pub default_branch: Option<String>,
    /// No commit yet.
    pub empty_repository: bool,
    /// The repository is switched off for everybody (`repository_access_level`).
    pub repository_disabled: bool,
    /// Read-only.
    pub archived: bool,
    /// Somebody deleted it; GitLab removes it in some days.
    pub pending_deletion: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The latest of `updated_at` and `last_activity_at`.
    pub updated_at: Option<Timestamp>,
    /// Who made it.
    pub creator_id: Option<UserId>,
    /// GitLab's topics.
    pub topics: Vec<String>,
    /// URL of the picture.
    pub avatar_url: Option<String>,
    /// What it was forked from, if that still exists and can be seen.
    pub fork_parent: Option<ProjectId>,
    /// Clone URL.
    pub http_url: String,
    /// Clone URL.
    pub ssh_url: String,
    /// Page.
    pub web_url: String,
    /// Page of the readme.
    pub readme_url: Option<String>,
    /// Number of forks.
    pub forks_count: i32,
    /// Number of stars.
    pub stars_count: i32,
}

/// Somebody who has access, directly or by a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// GitLab's number.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// What the user may do.
    pub access_level: AccessLevel,
    /// `YYYY-MM-DD`, the first day without access.
    pub expires_at: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ProjectBody {
    id: ProjectId,
    path_with_namespace: Slug,
    name: String,
    description: Option<String>,
    visibility: Option<Visibility>,
    default_branch: Option<String>,
    empty_repo: Option<bool>,
    repository_access_level: Option<String>,
    archived: Option<bool>,
    marked_for_deletion_at: Option<String>,
    marked_for_deletion_on: Option<String>,
    created_at: String,
    updated_at: Option<String>,
    last_activity_at: Option<String>,
    creator_id: Option<UserId>,
    topics: Option<Vec<String>>,
    tag_list: Option<Vec<String>>,
    avatar_url: Option<String>,
    forked_from_project: Option<ForkParent>,
    http_url_to_repo: Option<String>,
    ssh_url_to_repo: Option<String>,
    web_url: Option<String>,
    readme_url: Option<String>,
    forks_count: Option<i32>,
    star_count: Option<i32>,
}

#[derive(Deserialize)]
struct ForkParent {
    id: ProjectId,
}

impl TryFrom<ProjectBody> for Project {
    type Error = GitLabError;

    fn try_from(body: ProjectBody) -> Result<Self, GitLabError> {
        let moment = |field: &str, text: &str| {
            Timestamp::parse_rfc3339(text).map_err(|error| {
                GitLabError::Garbage(format!("{field} of project {} is no time: {error}", body.id))
            })
        };
        let created_at = moment("created_at", &body.created_at)?;
        let updated_at = body
            .updated_at
            .as_deref()
            .map(|text| moment("updated_at", text))
            .transpose()?;
        let last_activity_at = body
            .last_activity_at
            .as_deref()
            .map(|text| moment("last_activity_at", text))
            .transpose()?;
        let default_branch = body.default_branch.filter(|branch| !branch.is_empty());
        Ok(Self {
            id: body.id,
            slug: body.path_with_namespace,
            name: body.name,
            description: body.description.filter(|text| !text.is_empty()),
            visibility: body.visibility.unwrap_or(Visibility::Public),
            empty_repository: body.empty_repo.unwrap_or(default_branch.is_none()),
            default_branch,
            repository_disabled: body.repository_access_level.as_deref() == Some("disabled"),
            archived: body.archived.unwrap_or(false),
            pending_deletion: body.marked_for_deletion_at.is_some() || body.marked_for_deletion_on.is_some(),
            created_at,
            updated_at: updated_at.max(last_activity_at),
            creator_id: body.creator_id,
            topics: body.topics.or(body.tag_list).unwrap_or_default(),
            avatar_url: body.avatar_url.filter(|url| !url.is_empty()),
            fork_parent: body.forked_from_project.map(|parent| parent.id),
            http_url: body.http_url_to_repo.unwrap_or_default(),
            ssh_url: body.ssh_url_to_repo.unwrap_or_default(),
            web_url: body.web_url.unwrap_or_default(),
            readme_url: body.readme_url,
            forks_count: body.forks_count.unwrap_or(0),
            stars_count: body.star_count.unwrap_or(0),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct MemberBody {
    id: UserId,
    username: String,
    name: String,
    state: Option<String>,
    membership_state: Option<String>,
    access_level: AccessLevel,
    expires_at: Option<String>,
}

impl MemberBody {
    /// Blocked, banned and awaiting users have no access.
    fn is_active(&self) -> bool {
        let active = |state: &Option<String>| state.as_deref().is_none_or(|state| state == "active");
        active(&self.state) && active(&self.membership_state)
    }
}

/// Active members sorted by user id. Releases before 13 list a user once for each way to membership: the highest level holds.
pub(crate) fn members(bodies: Vec<MemberBody>) -> Vec<Member> {
    let mut members: Vec<Member> = bodies
        .into_iter()
        .filter(MemberBody::is_active)
        .map(|body| Member {
            user_id: body.id,
            username: body.username,
            name: body.name,
            access_level: body.access_level,
            expires_at: body.expires_at,
        })
        .collect();
    members.sort_by_key(|member| (member.user_id, std::cmp::Reverse(member.access_level)));
    members.dedup_by_key(|member| member.user_id);
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(json: serde_json::Value) -> Result<Project, GitLabError> {
        serde_json::from_value::<ProjectBody>(json)
            .map_err(|error| GitLabError::Garbage(error.to_string()))
            .and_then(Project::try_from)
    }

    #[test]
    fn a_sparse_project() {
        let project = project(serde_json::json!({
            "id": 4, "path_with_namespace": "diaspora/client", "name": "Client", "description": "",
            "created_at": "2013-09-30T13:46:02Z", "last_activity_at": "2013-10-02T00:00:00.000Z", "default_branch": null
        }))
        .unwrap();
        assert_eq!(project.visibility, Visibility::Public);
        assert!(project.empty_repository);
        assert_eq!(project.description, None);
        assert_eq!(
            project.updated_at.unwrap().to_string(),
            "2013-10-02T00:00:00.000000Z"
        );
    }

    #[test]
    fn wrong_fields_are_named() {
        let wrong = serde_json::json!({"id": 4, "path_with_namespace": "a/b", "name": "x", "created_at": "yesterday"});
        assert!(project(wrong).unwrap_err().to_string().contains("created_at"));
        assert!(project(serde_json::json!({"id": 0, "path_with_namespace": "a/b", "name": "x"})).is_err());
    }

    #[test]
    fn members_are_active_sorted_and_single() {
        let bodies = serde_json::from_value(serde_json::json!([
            {"id": 9, "username": "z", "name": "Z", "state": "active", "access_level": 10},
            {"id": 9, "username": "z", "name": "Z", "state": "active", "access_level": 40},
            {"id": 3, "username": "b", "name": "B", "state": "blocked", "access_level": 50},
            {"id": 2, "username": "a", "name": "A", "state": "active", "membership_state": "active", "access_level": 30,
             "expires_at": "2030-01-01"},
            {"id": 1, "username": "w", "name": "W", "state": "active", "membership_state": "awaiting", "access_level": 30}
        ]))
        .unwrap();
        let members = members(bodies);
        assert_eq!(
            members
                .iter()
                .map(|m| (m.user_id.get(), m.access_level.0))
                .collect::<Vec<_>>(),
            [(2, 30), (9, 40)]
        );
    }
}
