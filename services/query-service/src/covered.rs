//! Waiting until the views have taken what the reader has written.

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use axum::http::{HeaderMap, StatusCode};
use events::{ACCESS_DENIALS, EVENT_STATUS, PROJECT_GRAPHS, PROJECTS};
use model::{ProjectId, RECEIPT_HEADER, Receipt};
use store::{ProjectNotes, Snapshot, StoreError};

use crate::refusal::Refusal;
use crate::service::Inner;

/// Looks are this far apart at first, and at most.
const FIRST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(25);
/// Receipts that one request may bring.
const MOST: usize = 32;

/// Returns once every receipt of the request is covered. A project that is hidden from the caller is waited for like one
/// that does not exist: until the deadline.
pub(crate) async fn wait(inner: &Arc<Inner>, caller: Caller, headers: &HeaderMap) -> Result<(), Refusal> {
    let receipts = receipts(headers)?;
    if receipts.is_empty() {
        return Ok(());
    }
    let began = inner.clock.monotonic();
    let deadline = Duration::from_secs(inner.config.position_seconds);
    let mut pause = FIRST;
    loop {
        let open = open(inner, caller.clone(), &receipts).await?;
        let waited = inner.clock.monotonic().saturating_sub(began);
        if open.is_none() {
            inner
                .counters
                .waits
                .with_label_values(&["covered"])
                .observe(waited.as_secs_f64());
            return Ok(());
        }
        if waited >= deadline {
            inner
                .counters
                .waits
                .with_label_values(&["deadline"])
                .observe(waited.as_secs_f64());
            // All of them are named: which one is waited for would tell hidden projects from absent ones.
            let named: Vec<_> = receipts.iter().map(Receipt::to_string).collect();
            let why = format!(
                "{} is not in the views after {} s: ask again with the same header, or without it for what is there",
                named.join(", "),
                inner.config.position_seconds
            );
            return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, why));
        }
        inner.clock.sleep(pause.min(deadline - waited)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// The first receipt that is not covered.
async fn open(inner: &Arc<Inner>, caller: Caller, receipts: &[Receipt]) -> Result<Option<usize>, Refusal> {
    // One row per receipt out of mapped memory: no reason to leave the async thread.
    let snapshot = inner.reader.snapshot()?;
    for (at, receipt) in receipts.iter().enumerate() {
        if !covered(&snapshot, receipt)? {
            return Ok(Some(at));
        }
    }
    drop(snapshot);
    let projects: Vec<_> = receipts.iter().map(|receipt| receipt.project).collect();
    if projects.iter().all(Option::is_none) {
        return Ok(None);
    }
    // After a change of facts the caller's set is made anew, which takes a while.
    let (reader, today) = (inner.reader.clone(), inner.today());
    let hidden = tokio::task::spawn_blocking(move || {
        let visible = reader.snapshot()?.visible(&caller, today)?;
        let hidden = |project: &Option<ProjectId>| project.is_some_and(|project| !visible.contains(project));
        Ok::<_, StoreError>(projects.iter().position(hidden))
    });
    Ok(hidden.await.map_err(|_| Refusal::failed())??)
}

fn covered(snapshot: &Snapshot, receipt: &Receipt) -> Result<bool, StoreError> {
    let position = &receipt.position;
    match receipt.project {
        Some(project) => {
            let notes = ProjectNotes::read(snapshot.note(project)?.as_deref())?;
            Ok(notes.answered.covers(position))
        }
        None => {
            let next = snapshot.position(&position.topic, position.partition)?;
            Ok(next.is_some_and(|next| next >= position.next))
        }
    }
}

fn receipts(headers: &HeaderMap) -> Result<Vec<Receipt>, Refusal> {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
    let mut receipts = Vec::new();
    for value in headers.get_all(RECEIPT_HEADER) {
        let text = value
            .to_str()
            .map_err(|_| bad("the header Renku-Position is not ASCII".to_owned()))?;
        for text in text.split(',') {
            let receipt: Receipt = text
                .parse()
                .map_err(|error: model::NotAReceipt| bad(error.to_string()))?;
            let topic = &receipt.position.topic;
            if receipt.project.is_none()
                && ![PROJECTS, PROJECT_GRAPHS, EVENT_STATUS, ACCESS_DENIALS].contains(topic)
            {
                return Err(bad(format!(
                    "{receipt} lacks its project: send back the header as it was given"
                )));
            }
            receipts.push(receipt);
        }
    }
    if receipts.len() > MOST {
        return Err(bad(format!(
            "more than {MOST} positions are waited for: send the last ones only"
        )));
    }
    Ok(receipts)
}
