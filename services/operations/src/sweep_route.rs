use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::desk::Operations;
use crate::refusal::Refusal;
use crate::sweep::Swept;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    dry_run: bool,
}

/// One step. Whoever asks goes on as long as there is more.
pub(crate) async fn sweep(
    State(desk): State<Operations>,
    Query(asked): Query<Asked>,
) -> Result<Json<Swept>, Refusal> {
    let inner = desk.inner();
    let sweep = inner.sweep.as_ref().ok_or(Refusal::NoBlobs)?;
    let swept = sweep.step(inner.edges.clock.now(), asked.dry_run).await?;
    tracing::info!(?swept, asked.dry_run, "an operator had blobs swept");
    Ok(Json(swept))
}
