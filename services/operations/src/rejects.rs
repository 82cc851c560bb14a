use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::desk::Operations;
use crate::refusal::Refusal;

/// A record that a view left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reject {
    /// Its place: `topic/partition@offset`.
    pub record: String,
    /// Why: a code, and words.
    pub why: String,
}

pub(crate) async fn list(State(desk): State<Operations>) -> Result<Json<Vec<Reject>>, Refusal> {
    let reader = desk.inner().reader.clone().ok_or(Refusal::NoView)?;
    let rejects = tokio::task::spawn_blocking(move || reader.snapshot()?.rejects()).await??;
    let shown = rejects.into_iter().map(|(at, why)| Reject {
        record: format!("{}/{}@{}", at.topic, at.partition, at.next),
        why,
    });
    Ok(Json(shown.collect()))
}
