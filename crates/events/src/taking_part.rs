//! Which projects take part, their tokens, and access taken away: what webhook-service alone writes.

use bytes::Bytes;
use model::{GroupId, ProjectId, StateVersion, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::envelope::number;
use crate::records::topic_value;
use crate::{Envelope, TopicValue};

/// Is a project looked at?
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Activation {
    /// A word of a newer release.
    Unknown,
    /// Yes.
    Active,
    /// No; what is known of it stays as it is.
    Inactive,
}

/// Whether a project takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectHook {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// Of two records of a project the larger one holds. Microseconds, and more than that of the record before.
    pub version: i64,
    /// See [`Activation`].
    pub activation: Activation,
    /// GitLab's number of our hook.
    pub hook_id: Option<i64>,
    /// What the hook calls.
    pub hook_url: Option<String>,
    /// Which secret signed the hook's token: a short digest of it.
    pub signed_with: Option<String>,
    /// When it was switched on last.
    pub activated_at: Option<Timestamp>,
    /// Who switched it on or off.
    pub changed_by: Option<UserId>,
}

/// The access token of a project; `token: None`: there is none any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectToken {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// The project.
    pub project_id: ProjectId,
    /// Of two records of a project the larger one holds. Microseconds, and more than that of the record before.
    pub version: i64,
    /// The token, sealed.
    pub token: Option<SealedToken>,
    /// GitLab's number of it.
    pub gitlab_token_id: Option<i64>,
    /// `YYYY-MM-DD`, the first day on which GitLab does not take it.
    pub expires_on: Option<String>,
    /// In GitLab's words, sorted.
    pub scopes: Vec<String>,
}

/// A token under AES-256-GCM. Additional data: `sealed_for`, a zero byte, the project's number in decimal, a zero byte, `key_id`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedToken {
    /// Which key.
    pub key_id: String,
    /// 12 bytes.
    #[serde(with = "crate::digests::raw")]
    pub nonce: Bytes,
    /// The token, then the 16 bytes of the tag.
    #[serde(with = "crate::digests::raw")]
    pub ciphertext: Bytes,
    /// The topic that it was sealed for; a copy in a later version of the topic keeps this name.
    pub sealed_for: String,
}

/// What a denial takes away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DenialScope {
    /// A word of a newer release: deny the user everywhere, and without one everybody below the group.
    Unknown,
    /// A user in all projects below a group.
    GroupMember,
    /// Everybody in all projects below a group.
    Group,
    /// A user everywhere but in public projects.
    User,
}

/// Takes access away on the word of a hook, until the projects concerned were asked for again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessDenial {
    /// See [`Envelope`].
    pub envelope: Envelope,
    /// See [`DenialScope`].
    pub scope: DenialScope,
    /// GitLab's number of the group.
    pub group_id: Option<GroupId>,
    /// The group's own segment of its path, as the hook said.
    pub group_path: Option<String>,
    /// The group's whole path, if the hook said it.
    pub group_full_path: Option<String>,
    /// GitLab's number of the user.
    pub user_id: Option<UserId>,
    /// As the hook said, for people.
    pub username: Option<String>,
    /// For each project concerned it holds until the facts have a larger version. 0: it takes nothing away; the projects
    /// concerned are only to be looked at again.
    #[serde(with = "number")]
    pub holds_until: StateVersion,
    /// GitLab's name of the event.
    pub hook: String,
}

impl AccessDenial {
    /// Whether it denies anything, or only has projects looked at again.
    pub fn takes_away(&self) -> bool {
        self.holds_until > StateVersion::default()
    }
}

topic_value!(ProjectHook, "renku.project-hooks.v1-value", |it| it
    .project_id
    .to_string());
topic_value!(ProjectToken, "renku.project-tokens.v1-value", |it| it
    .project_id
    .to_string());

impl TopicValue for AccessDenial {
    const SUBJECT: &'static str = "renku.access-denials.v1-value";

    /// `group/<id>/user/<id>`, `group/<id>` or `user/<id>`; a later denial of the same replaces this one. `look/` stands before
    /// it where nothing is taken away: such a record must not replace one that takes.
    fn key(&self) -> String {
        let of = match (self.group_id, self.user_id) {
            (Some(group), Some(user)) => format!("group/{group}/user/{user}"),
            (Some(group), None) => format!("group/{group}"),
            (None, Some(user)) => format!("user/{user}"),
            (None, None) => "nobody".to_owned(),
        };
        if self.takes_away() {
            of
        } else {
            format!("look/{of}")
        }
    }

    fn partition_by(&self) -> String {
        self.key()
    }
}
