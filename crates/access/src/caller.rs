use std::sync::Arc;

use model::{ProjectId, UserId};

/// On whose behalf something is read. It is made where a request's credentials are checked, and nowhere else: a caller who
/// cannot be told is an error, never [`Caller::Anonymous`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Caller {
    /// Sent no credentials: sees what is public.
    Anonymous,
    /// Somebody whom GitLab knows: sees what is public and internal, and where he is a member.
    User(UserId),
    /// Somebody whom GitLab knows as external: sees what is public, and where he is a member.
    External(UserId),
    /// A program with a token of its own.
    Service(Arc<ServiceScope>),
    /// The operator, who asked for it: sees every project that exists.
    Administrator,
    /// Looks after the canary: sees it and nothing else.
    Prober,
}

/// What a service's token is good for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceScope {
    /// Of the configuration, for logs.
    pub name: String,
    /// What it may see.
    pub grant: Grant,
}

/// What a service may see.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Grant {
    /// As somebody who is not signed in.
    Public,
    /// As somebody who is signed in and member of nothing.
    Internal,
    /// What is public, and these; sorted.
    Projects(Vec<ProjectId>),
}

impl Caller {
    /// The kind, for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User(_) => "user",
            Self::External(_) => "external-user",
            Self::Service(_) => "service",
            Self::Administrator => "administrator",
            Self::Prober => "prober",
        }
    }

    /// The user, if it is one.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User(user) | Self::External(user) => Some(*user),
            _ => None,
        }
    }
}
