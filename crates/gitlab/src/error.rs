use std::time::Duration;

/// Why GitLab gave no answer that can be used. No variant holds a token.
#[derive(Debug, thiserror::Error)]
pub enum GitLabError {
    /// It does not exist, or the token may not see it: GitLab does not tell which.
    #[error("GitLab has no {0} that the token may see")]
    NotFound(String),
    /// The token is wrong, has expired, or lacks a right.
    #[error(
        "GitLab refused the token with status {0}: renew gitlab.token (scopes read_api and read_repository)"
    )]
    Refused(u16),
    /// Too many requests.
    #[error("GitLab asks to send fewer requests")]
    Busy {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Not reachable, too slow, or failing.
    #[error("GitLab is down: {why}")]
    Down {
        /// What was seen, e.g. `status 502`.
        why: String,
        /// From `Retry-After`, which GitLab sends while under maintenance.
        retry_after: Option<Duration>,
    },
    /// It answered, but not as GitLab does.
    #[error("GitLab's answer cannot be used: {0}")]
    Garbage(String),
}
