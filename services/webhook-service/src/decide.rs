use events::{AccessDenial, LookReason, PushEvent};
use gitlab::{Hook, HookScope, HookTokens};
use model::{ProjectId, Timestamp};
use serde::Deserialize;

use crate::denials;

/// The longest hint that is kept of a hook's text fields, in characters. They are for people.
const LONGEST_HINT: usize = 1_024;

/// A hook as it came.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// `X-Gitlab-Token`.
    pub token: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Sent<'_> {
    /// Does the header `Content-Encoding` say that the body is sent as it is? GitLab never compresses hooks.
    pub fn is_plain(content_encoding: Option<&str>) -> bool {
        content_encoding.is_none_or(|text| {
            let text = text.trim();
            text.is_empty() || text.eq_ignore_ascii_case("identity")
        })
    }

    /// Does the header `Content-Type` say JSON?
    pub fn is_json(content_type: Option<&str>) -> bool {
        let essence = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    }
}

/// What a hook is recorded as.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// "Look at this project."
    Look(PushEvent),
    /// "Look at the projects of this group or user", and until then somebody may be denied them.
    Denial(AccessDenial),
}

/// What becomes of a hook.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// To be recorded, and answered when that is durable.
    Accept {
        /// `push`, `tag_push` or `system`.
        kind: &'static str,
        /// The record.
        record: Recorded,
    },
    /// Not for us. GitLab is told that all is well: it switches off hooks that fail.
    Ignored {
        /// `system` or `other`.
        kind: &'static str,
        /// For whoever looks at the delivery in GitLab.
        why: &'static str,
    },
    /// Not to be had.
    Refused(Refusal),
}

/// Why a hook is refused; the text is the answer's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `X-Gitlab-Token`.
    #[error(
        "the header X-Gitlab-Token is missing: put the token of `renkuctl hooks token` into the hook's settings"
    )]
    NoToken,
    /// A token of another project, or of nobody.
    #[error("the token is not the one of this project or system hook: see `renkuctl hooks token`")]
    WrongToken {
        /// Of the hook.
        kind: &'static str,
    },
    /// `Content-Type`.
    #[error("the content type must be application/json")]
    NotJsonType,
    /// `Content-Encoding`.
    #[error("compressed bodies are not taken: send the JSON as it is, without Content-Encoding")]
    Compressed,
    /// Over the limit.
    #[error("the body is larger than {} bytes", crate::Config::LARGEST_BODY)]
    TooLarge,
    /// Sent too slowly.
    #[error("the body did not arrive in time")]
    Slow,
    /// Not sent to its end.
    #[error("the body is incomplete")]
    Broken,
    /// Not JSON, nested too deep, or not as GitLab writes it.
    #[error("{0}")]
    Unreadable(String),
}

impl Refusal {
    /// A word for metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "no-token",
            Self::WrongToken { .. } => "wrong-token",
            Self::NotJsonType => "wrong-type",
            Self::Compressed => "compressed",
            Self::TooLarge => "too-large",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// The kind of the hook, as far as it is known.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WrongToken { kind } => kind,
            _ => "other",
        }
    }
}

/// The project that any hook may name, also one of a kind that we do not know.
#[derive(Deserialize)]
struct Named {
    project_id: Option<ProjectId>,
    project: Option<NamedProject>,
}

#[derive(Deserialize)]
struct NamedProject {
    id: Option<ProjectId>,
}

/// Reads a hook and checks its token: that of the project, or that of the system hook.
pub fn decide(tokens: &HookTokens, sent: &Sent<'_>, now: Timestamp) -> Decision {
    let hook = match Hook::parse(sent.body) {
        Ok(hook) => hook,
        Err(error) => return Decision::Refused(Refusal::Unreadable(error.to_string())),
    };
    let project = hook.project_id().or_else(|| match &hook {
        Hook::Unknown(_) => named_project(sent.body),
        _ => None,
    });
    let kind = kind(&hook);
    let by_project = project.is_some_and(|id| tokens.verify(HookScope::Project(id), sent.token));
    // Both are checked always: how long it takes tells nothing.
    let by_system = tokens.verify(HookScope::System, sent.token);
    if !(by_project | by_system) {
        return Decision::Refused(Refusal::WrongToken { kind });
    }
    let ignored = |why| Decision::Ignored { kind, why };
    match &hook {
        Hook::Push(push) | Hook::TagPush(push) => {
            let reason = if matches!(hook, Hook::Push(_)) {
                LookReason::Push
            } else {
                LookReason::TagPush
            };
            let mut event = PushEvent::new(push.project_id, reason, now);
            event.hook = Some(hook.kind().to_owned());
            event.slug = push.slug.as_deref().map(hint);
            event.r#ref = push.r#ref.as_deref().map(hint);
            event.before = push.before.map(|sha| sha.to_string());
            event.after = push.after.map(|sha| sha.to_string());
            Decision::Accept {
                kind,
                record: Recorded::Look(event),
            }
        }
        Hook::Project(project) => {
            let mut event = PushEvent::new(project.project_id, LookReason::System, now);
            event.hook = Some(hook.kind().to_owned());
            event.slug = project.slug.as_deref().map(hint);
            Decision::Accept {
                kind,
                record: Recorded::Look(event),
            }
        }
        Hook::ProjectMember(member) => {
            let mut event = PushEvent::new(member.project_id, LookReason::System, now);
            event.hook = Some(hook.kind().to_owned());
            event.slug = member.slug.as_deref().map(hint);
            Decision::Accept {
                kind,
                record: Recorded::Look(event),
            }
        }
        Hook::Group(group) => denial(kind, denials::of_group(group, now)),
        Hook::GroupMember(member) => denial(kind, denials::of_member(member, now)),
        Hook::User(user) => denial(kind, denials::of_user(user, now)),
        Hook::Unknown(_) => ignored("ignored: nothing here depends on hooks of this kind\n"),
    }
}

fn denial(kind: &'static str, denial: Option<AccessDenial>) -> Decision {
    match denial {
        Some(denial) => Decision::Accept {
            kind,
            record: Recorded::Denial(denial),
        },
        None => Decision::Ignored {
            kind,
            why: "ignored: it changes nobody's access\n",
        },
    }
}

fn kind(hook: &Hook) -> &'static str {
    match hook {
        Hook::Push(_) => "push",
        Hook::TagPush(_) => "tag_push",
        Hook::Project(_) | Hook::ProjectMember(_) | Hook::Group(_) | Hook::GroupMember(_) | Hook::User(_) => {
            "system"
        }
        Hook::Unknown(_) => "other",
    }
}

fn named_project(body: &[u8]) -> Option<ProjectId> {
    let named: Named = serde_json::from_slice(body).ok()?;
    named.project_id.or(named.project.and_then(|project| project.id))
}

pub(crate) fn hint(text: &str) -> String {
    text.chars().take(LONGEST_HINT).collect()
}
