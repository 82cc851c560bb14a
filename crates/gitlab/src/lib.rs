//! GitLab as the platform sees it: its hooks, the tokens that prove a hook is GitLab's, and the REST calls that tell
//! what a project is and who may see it.
//!
//! Bodies are parsed once, here, into types that say what is meant. Kinds and fields that nobody needs are not read, so
//! newer GitLab releases do not break anything; a field that is needed and is wrong is an error that names it.

mod client;
mod error;
mod hook;
mod project;
mod token;

pub use client::{Account, ClientSettings, GitLab, RestClient, TokenHeader};
pub use error::GitLabError;
pub use hook::{
    GroupChange, GroupHook, GroupMemberHook, Hook, HookError, MemberChange, ProjectChange, ProjectHook,
    ProjectMemberHook, PushHook, UserChange, UserHook,
};
pub use project::{Member, Project};
pub use token::{HookScope, HookTokens, NoHookSecret};
