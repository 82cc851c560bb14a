//! What GitLab's hooks say: project hooks (push, tag) and the system hook (everything that changes who may see what).
//! Shapes: GitLab's "Webhook events" and "System hooks" pages.

mod body;
mod depth;

use model::{AccessLevel, ProjectId, Sha, UserId};
use serde::de::DeserializeOwned;

use body::{GroupBody, GroupMemberBody, ProjectBody, ProjectMemberBody, PushBody, UserBody};

/// A hook that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Branches moved. Also `repository_update`, which the system hook sends once for a whole push.
    Push(PushHook),
    /// A tag was made or deleted.
    TagPush(PushHook),
    /// Something about a project itself.
    Project(ProjectHook),
    /// Somebody's rights in one project.
    ProjectMember(ProjectMemberHook),
    /// Something about a group itself.
    Group(GroupHook),
    /// Somebody's rights in a group, and so in all its projects.
    GroupMember(GroupMemberHook),
    /// Something about a user.
    User(UserHook),
    /// A kind that nobody here needs; its name, cut short.
    Unknown(String),
}

/// A push, as far as it is needed: everything but the project is a hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushHook {
    /// The project.
    pub project_id: ProjectId,
    /// `path_with_namespace`, as it was then.
    pub slug: Option<String>,
    /// `refs/heads/…` or `refs/tags/…`; none where several moved.
    pub r#ref: Option<String>,
    /// Where it was; [`Sha::ZERO`] when it was made.
    pub before: Option<Sha>,
    /// Where it is; [`Sha::ZERO`] when it was deleted.
    pub after: Option<Sha>,
}

/// What happened to a project.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProjectChange {
    /// `project_create`
    Created,
    /// `project_destroy`
    Destroyed,
    /// `project_rename`
    Renamed,
    /// `project_transfer`
    Transferred,
    /// `project_update`
    Updated,
}

/// See [`ProjectChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectHook {
    /// What happened.
    pub change: ProjectChange,
    /// The project.
    pub project_id: ProjectId,
    /// `path_with_namespace`.
    pub slug: Option<String>,
    /// What it was called before.
    pub old_slug: Option<String>,
}

/// What happened to a membership.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemberChange {
    /// Has access now.
    Added,
    /// Has another level or another last day now.
    Updated,
    /// Has no access any more, unless by another way.
    Removed,
}

/// See [`MemberChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectMemberHook {
    /// What happened.
    pub change: MemberChange,
    /// Where.
    pub project_id: ProjectId,
    /// To whom.
    pub user_id: UserId,
    /// The level, if its name is known.
    pub access_level: Option<AccessLevel>,
    /// `path_with_namespace`.
    pub slug: Option<String>,
}

/// See [`MemberChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMemberHook {
    /// What happened.
    pub change: MemberChange,
    /// GitLab's number of the group.
    pub group_id: u32,
    /// Path of the group.
    pub group_path: Option<String>,
    /// To whom.
    pub user_id: UserId,
    /// The level, if its name is known.
    pub access_level: Option<AccessLevel>,
}

/// What happened to a group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GroupChange {
    /// `group_create`
    Created,
    /// `group_destroy`
    Destroyed,
    /// `group_rename`: the slugs of all its projects change.
    Renamed,
}

/// See [`GroupChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupHook {
    /// What happened.
    pub change: GroupChange,
    /// GitLab's number of the group.
    pub group_id: u32,
    /// Full path.
    pub path: Option<String>,
    /// Full path before.
    pub old_path: Option<String>,
}

/// What happened to a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UserChange {
    /// `user_create`
    Created,
    /// `user_destroy`
    Destroyed,
    /// `user_rename`: the slugs of the user's own projects change.
    Renamed,
}

/// See [`UserChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserHook {
    /// What happened.
    pub change: UserChange,
    /// Whom.
    pub user_id: UserId,
    /// Login name.
    pub username: Option<String>,
    /// Login name before.
    pub old_username: Option<String>,
}

/// The body is no hook. Nothing of the body is repeated but names of fields.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Nested too deep.
    #[error("the body is nested deeper than {} levels", Hook::DEPTH_LIMIT)]
    TooDeep,
    /// JSON is UTF-8, also where nobody reads it.
    #[error("the body is not JSON: it is not UTF-8 text")]
    NotText(#[from] std::str::Utf8Error),
    /// Not JSON, or a needed field is absent or wrong.
    #[error("the body is not a GitLab hook: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Neither `object_kind` nor `event_name`.
    #[error("the body is not a GitLab hook: it has neither object_kind nor event_name")]
    NoKind,
    /// Two places name two projects.
    #[error("the body is not a GitLab hook: project_id and project.id differ")]
    TwoProjects,
    /// No place names one.
    #[error("the body is not a GitLab hook: it has no project_id")]
    NoProject,
}

impl Hook {
    /// Deepest nesting of a body.
    pub const DEPTH_LIMIT: usize = 64;

    /// Reads a body. Kinds that are not known are no error.
    pub fn parse(body: &[u8]) -> Result<Self, HookError> {
        if depth::exceeds(body, Self::DEPTH_LIMIT) {
            return Err(HookError::TooDeep);
        }
        std::str::from_utf8(body)?;
        let kind = serde_json::from_slice::<body::Kind>(body)?;
        let kind = kind.event_name.or(kind.object_kind).ok_or(HookError::NoKind)?;
        let project = |change| from::<ProjectBody>(body).map(|it| Self::Project(it.hook(change)));
        let member = |change| from::<ProjectMemberBody>(body).map(|it| Self::ProjectMember(it.hook(change)));
        let group = |change| from::<GroupBody>(body).map(|it| Self::Group(it.hook(change)));
        let group_member =
            |change| from::<GroupMemberBody>(body).map(|it| Self::GroupMember(it.hook(change)));
        let user = |change| from::<UserBody>(body).map(|it| Self::User(it.hook(change)));
        match kind.as_str() {
            "push" | "repository_update" => from::<PushBody>(body)?.hook().map(Self::Push),
            "tag_push" => from::<PushBody>(body)?.hook().map(Self::TagPush),
            "project_create" => project(ProjectChange::Created),
            "project_destroy" => project(ProjectChange::Destroyed),
            "project_rename" => project(ProjectChange::Renamed),
            "project_transfer" => project(ProjectChange::Transferred),
            "project_update" => project(ProjectChange::Updated),
            "user_add_to_team" => member(MemberChange::Added),
            "user_update_for_team" => member(MemberChange::Updated),
            "user_remove_from_team" => member(MemberChange::Removed),
            "group_create" => group(GroupChange::Created),
            "group_destroy" => group(GroupChange::Destroyed),
            "group_rename" => group(GroupChange::Renamed),
            "user_add_to_group" => group_member(MemberChange::Added),
            "user_update_for_group" => group_member(MemberChange::Updated),
            "user_remove_from_group" => group_member(MemberChange::Removed),
            "user_create" => user(UserChange::Created),
            "user_destroy" => user(UserChange::Destroyed),
            "user_rename" => user(UserChange::Renamed),
            other => Ok(Self::Unknown(other.chars().take(64).collect())),
        }
    }

    /// The one project that has to be looked at, if the hook names one.
    pub fn project_id(&self) -> Option<ProjectId> {
        match self {
            Self::Push(push) | Self::TagPush(push) => Some(push.project_id),
            Self::Project(project) => Some(project.project_id),
            Self::ProjectMember(member) => Some(member.project_id),
            Self::Group(_) | Self::GroupMember(_) | Self::User(_) | Self::Unknown(_) => None,
        }
    }

    /// GitLab's name of the kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::Push(_) => "push",
            Self::TagPush(_) => "tag_push",
            Self::Project(it) => match it.change {
                ProjectChange::Created => "project_create",
                ProjectChange::Destroyed => "project_destroy",
                ProjectChange::Renamed => "project_rename",
                ProjectChange::Transferred => "project_transfer",
                ProjectChange::Updated => "project_update",
            },
            Self::ProjectMember(it) => match it.change {
                MemberChange::Added => "user_add_to_team",
                MemberChange::Updated => "user_update_for_team",
                MemberChange::Removed => "user_remove_from_team",
            },
            Self::Group(it) => match it.change {
                GroupChange::Created => "group_create",
                GroupChange::Destroyed => "group_destroy",
                GroupChange::Renamed => "group_rename",
            },
            Self::GroupMember(it) => match it.change {
                MemberChange::Added => "user_add_to_group",
                MemberChange::Updated => "user_update_for_group",
                MemberChange::Removed => "user_remove_from_group",
            },
            Self::User(it) => match it.change {
                UserChange::Created => "user_create",
                UserChange::Destroyed => "user_destroy",
                UserChange::Renamed => "user_rename",
            },
            Self::Unknown(kind) => kind,
        }
    }
}

fn from<T: DeserializeOwned>(body: &[u8]) -> Result<T, HookError> {
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests;
