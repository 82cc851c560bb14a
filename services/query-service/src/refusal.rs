use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::{QueryError, StoreError};

/// The outcome of an answer that the guard withheld. It must never be counted.
pub(crate) const WITHHELD: &str = "withheld";

/// A request that is not answered, and why, in words for the caller. Nothing hidden is named in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub why: String,
    /// Seconds after which to ask again.
    pub again_after: Option<u32>,
    /// For metrics.
    pub outcome: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
            again_after: None,
            outcome: "refused",
        }
    }

    /// Nothing of ours is free at the moment.
    pub(crate) fn busy() -> Self {
        Self {
            again_after: Some(2),
            outcome: "busy",
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "all queries that may run at one time are running: ask again in a moment",
            )
        }
    }

    /// What the caller may see has become less since the answer began.
    pub(crate) fn revoked() -> Self {
        Self {
            again_after: Some(1),
            outcome: "revoked",
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "what you may see has changed meanwhile: ask again",
            )
        }
    }

    /// A defect, or damage. What it is stands in the log.
    pub(crate) fn failed() -> Self {
        Self {
            outcome: "failed",
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the query failed here: this is not your fault",
            )
        }
    }

    /// As JSON, in the form of Renku's services.
    pub(crate) fn into_json(self) -> Response {
        let severity = if self.status == StatusCode::NOT_FOUND {
            "info"
        } else {
            "error"
        };
        (
            self.status,
            Json(Message {
                severity,
                message: self.why,
            }),
        )
            .into_response()
    }
}

/// A message as all services of Renku give it.
#[derive(Serialize)]
struct Message {
    severity: &'static str,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            Self {
                outcome: "busy",
                again_after: Some(2),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the views are busy: ask again in a moment",
                )
            }
        } else {
            let withheld = matches!(error, StoreError::Withheld { .. });
            tracing::error!(%error, withheld, source = ?std::error::Error::source(&error).map(ToString::to_string), "view cannot be read");
            Self {
                outcome: if withheld { WITHHELD } else { "failed" },
                ..Self::failed()
            }
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::Time(_)
            | QueryError::Rows(_)
            | QueryError::Quads(_)
            | QueryError::MadeUp(_)
            | QueryError::Memory(_) => Self {
                outcome: "limited",
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            },
            QueryError::Stopped => Self {
                outcome: "gone",
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            },
            QueryError::Write(_) => Self {
                outcome: "gone",
                ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            },
            QueryError::Refused(_) => Self::new(StatusCode::BAD_REQUEST, text),
            QueryError::Store(StoreError::SnapshotTooOld) => {
                let why = "the query took longer than what it reads can be kept: make it more selective";
                Self {
                    outcome: "limited",
                    ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why)
                }
            }
            QueryError::Store(error) => error.into(),
        }
    }
}

/// As plain text.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.why)).into_response();
        if let Some(seconds) = self.again_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
