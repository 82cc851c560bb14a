use model::{AccessLevel, ProjectId, Sha, UserId};
use serde::{Deserialize, Deserializer};

use super::{
    GroupChange, GroupHook, GroupMemberHook, HookError, MemberChange, ProjectChange, ProjectHook,
    ProjectMemberHook, PushHook, UserChange, UserHook,
};

#[derive(Deserialize)]
pub(super) struct Kind {
    pub event_name: Option<String>,
    pub object_kind: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PushBody {
    project_id: Option<ProjectId>,
    project: Option<PushProject>,
    r#ref: Option<String>,
    #[serde(default, deserialize_with = "sha")]
    before: Option<Sha>,
    #[serde(default, deserialize_with = "sha")]
    after: Option<Sha>,
}

#[derive(Deserialize)]
struct PushProject {
    id: Option<ProjectId>,
    path_with_namespace: Option<String>,
}

impl PushBody {
    pub(super) fn hook(self) -> Result<PushHook, HookError> {
        let inner = self.project.as_ref().and_then(|project| project.id);
        let project_id = match (self.project_id, inner) {
            (Some(outer), Some(inner)) if outer != inner => return Err(HookError::TwoProjects),
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => return Err(HookError::NoProject),
        };
        Ok(PushHook {
            project_id,
            slug: self.project.and_then(|project| project.path_with_namespace),
            r#ref: self.r#ref,
            before: self.before,
            after: self.after,
        })
    }
}

/// Repositories with SHA-256 ids send 64 digits: those are no [`Sha`], and a hint only.
fn sha<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

#[derive(Deserialize)]
pub(super) struct ProjectBody {
    project_id: ProjectId,
    path_with_namespace: Option<String>,
    old_path_with_namespace: Option<String>,
}

impl ProjectBody {
    pub(super) fn hook(self, change: ProjectChange) -> ProjectHook {
        ProjectHook {
            change,
            project_id: self.project_id,
            slug: self.path_with_namespace,
            old_slug: self.old_path_with_namespace,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ProjectMemberBody {
    project_id: ProjectId,
    user_id: UserId,
    access_level: Option<LevelBody>,
    project_path_with_namespace: Option<String>,
}

impl ProjectMemberBody {
    pub(super) fn hook(self, change: MemberChange) -> ProjectMemberHook {
        ProjectMemberHook {
            change,
            project_id: self.project_id,
            user_id: self.user_id,
            access_level: self.access_level.and_then(LevelBody::level),
            slug: self.project_path_with_namespace,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct GroupMemberBody {
    group_id: PositiveId,
    group_path: Option<String>,
    user_id: UserId,
    group_access: Option<LevelBody>,
}

impl GroupMemberBody {
    pub(super) fn hook(self, change: MemberChange) -> GroupMemberHook {
        GroupMemberHook {
            change,
            group_id: self.group_id.0,
            group_path: self.group_path,
            user_id: self.user_id,
            access_level: self.group_access.and_then(LevelBody::level),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct GroupBody {
    group_id: PositiveId,
    path: Option<String>,
    full_path: Option<String>,
    old_path: Option<String>,
    old_full_path: Option<String>,
}

impl GroupBody {
    pub(super) fn hook(self, change: GroupChange) -> GroupHook {
        GroupHook {
            change,
            group_id: self.group_id.0,
            path: self.full_path.or(self.path),
            old_path: self.old_full_path.or(self.old_path),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct UserBody {
    user_id: UserId,
    username: Option<String>,
    old_username: Option<String>,
}

impl UserBody {
    pub(super) fn hook(self, change: UserChange) -> UserHook {
        UserHook {
            change,
            user_id: self.user_id,
            username: self.username,
            old_username: self.old_username,
        }
    }
}

/// Groups are numbered like everything else in GitLab.
struct PositiveId(u32);

impl<'de> Deserialize<'de> for PositiveId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            number @ 1..=0x7fff_ffff => Ok(Self(number as u32)),
            number => Err(serde::de::Error::custom(format!(
                "{number} is not an id: a whole number from 1 is needed"
            ))),
        }
    }
}

/// GitLab writes the name of a level; some releases wrote its number.
#[derive(Deserialize)]
#[serde(untagged)]
enum LevelBody {
    Number(u8),
    Name(String),
}

impl LevelBody {
    fn level(self) -> Option<AccessLevel> {
        let number = match self {
            Self::Number(number) => number,
            Self::Name(name) => match name.as_str() {
                "No access" => 0,
                "Minimal Access" => 5,
                "Guest" => 10,
                "Planner" => 15,
                "Reporter" => 20,
                "Developer" => 30,
                "Maintainer" | "Master" => 40,
                "Owner" => 50,
                _ => return None,
            },
        };
        Some(AccessLevel(number))
    }
}
