use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bus::BusError;
use serde_json::json;
use store::StoreError;

/// Why an operator's request is not answered. They may know everything, so the cause is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Absent(String),
    #[error("this process has no view: ask one that runs graph-writer or query-service beside the bus")]
    NoView,
    #[error("the graph view is written by another process: ask the one that runs graph-writer")]
    NoWriter,
    #[error("the view does not read again: {0}")]
    NotReplayed(String),
    #[error("this process has no blob store: ask one that runs a role with the bus")]
    NoBlobs,
    #[error("the blobs were not swept: {0}")]
    Sweep(#[from] crate::sweep::SweepError),
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
    #[error("the view: {0}")]
    Store(#[from] StoreError),
    #[error("a record cannot be written: {0}")]
    Encode(#[from] events::EncodeError),
    #[error("the answer was not made: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Absent(_) => StatusCode::NOT_FOUND,
            Self::NoView
            | Self::NoWriter
            | Self::NotReplayed(_)
            | Self::NoBlobs
            | Self::Sweep(crate::sweep::SweepError::Newer { .. }) => StatusCode::CONFLICT,
            Self::Bus(_) | Self::Sweep(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Encode(_) | Self::Defect(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = %self, "an operator's request failed");
        }
        (status, Json(json!({ "message": self.to_string() }))).into_response()
    }
}
