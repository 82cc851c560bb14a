use std::path::PathBuf;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// What went wrong in the stand-in, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Unknown to it, or hidden from the caller.
    #[error("404 {0} Not Found")]
    NotFound(&'static str),
    /// No token where one is needed, or a wrong one.
    #[error("401 Unauthorized")]
    Unauthorized,
    /// The caller may not.
    #[error("403 Forbidden")]
    Forbidden,
    /// The token's scopes are not enough.
    #[error("The request requires higher privileges than provided by the access token.")]
    InsufficientScope,
    /// What was asked makes no sense.
    #[error("{0}")]
    Bad(String),
    /// A `git` command failed.
    #[error("git {command} failed: {stderr}")]
    Git {
        /// The sub-command.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A file or a process.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
    /// It listens on loopback only.
    #[error("{0} can be reached from outside: listen on 127.0.0.1, this server has no security")]
    NotLoopback(std::net::SocketAddr),
}

impl SimError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io(path.display().to_string(), error)
    }
}

impl IntoResponse for SimError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Git { .. } | Self::Io(..) | Self::NotLoopback(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({ "message": self.to_string() }))).into_response()
    }
}
