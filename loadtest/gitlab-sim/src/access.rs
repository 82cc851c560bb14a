use axum::http::HeaderMap;
use base64::Engine as _;
use model::Visibility;

use crate::SimError;
use crate::world::{Project, State, User};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Anonymous,
    User(User),
}

/// A token in any of the places where GitLab takes one: `PRIVATE-TOKEN`, `Bearer`, or Basic with the token as password.
pub(crate) fn caller(state: &State, headers: &HeaderMap) -> Result<Caller, SimError> {
    match who(state, headers)? {
        (_, true) => Err(SimError::InsufficientScope),
        (caller, false) => Ok(caller),
    }
}

/// The same where the scope `read_user` is enough. True: the token has no other.
pub(crate) fn who(state: &State, headers: &HeaderMap) -> Result<(Caller, bool), SimError> {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let token = if let Some(token) = header("private-token") {
        token.to_owned()
    } else if let Some(authorization) = header("authorization") {
        let (scheme, rest) = authorization.split_once(' ').ok_or(SimError::Unauthorized)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            rest.to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            let pair = base64::engine::general_purpose::STANDARD
                .decode(rest)
                .map_err(|_| SimError::Unauthorized)?;
            let pair = String::from_utf8(pair).map_err(|_| SimError::Unauthorized)?;
            pair.split_once(':')
                .map(|(_, password)| password.to_owned())
                .ok_or(SimError::Unauthorized)?
        } else {
            return Err(SimError::Unauthorized);
        }
    } else {
        return Ok((Caller::Anonymous, false));
    };
    let user = state
        .tokens
        .get(&token)
        .and_then(|id| state.users.get(id))
        .ok_or(SimError::Unauthorized)?;
    Ok((Caller::User(user.clone()), state.reads_user_only.contains(&token)))
}

impl Caller {
    pub(crate) fn may_see(&self, project: &Project) -> bool {
        match (project.visibility, self) {
            (Visibility::Public, _) => true,
            (Visibility::Internal, Self::User(user)) if !user.external => true,
            (Visibility::Internal | Visibility::Private, Self::Anonymous) => false,
            (Visibility::Internal | Visibility::Private, Self::User(user)) => {
                user.admin || project.members.contains_key(&user.id)
            }
        }
    }

    /// Developers and above push; maintainers and above manage hooks.
    pub(crate) fn has_level(&self, project: &Project, level: u8) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User(user) => {
                user.admin
                    || project
                        .members
                        .get(&user.id)
                        .is_some_and(|member| member.level >= level)
            }
        }
    }

    pub(crate) fn user(&self) -> Result<&User, SimError> {
        match self {
            Self::User(user) => Ok(user),
            Self::Anonymous => Err(SimError::Unauthorized),
        }
    }
}
