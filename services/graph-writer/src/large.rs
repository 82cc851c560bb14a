//! Loading graphs that are too large for one transaction: step by step beside the one that is shown, then in its place.

use std::ops::Range;

use events::PieceRef;
use model::{Offset, Position};
use runtime::{BoxError, Stop, failpoint};
use tokio::sync::mpsc;

use crate::graphs::Waiting;
use crate::prepare::{LargeItem, Preparer, TextsError};
use crate::view::ViewError;
use crate::work::{Batch, GraphChange, GraphItem, Item};
use crate::writing::{FlipOrder, Lane, LoadStep, Order, WriterGone};

/// Stored pieces taken over in one step.
const KEPT_AT_ONCE: usize = 2_000;
/// New pieces loaded in one step, at most.
const NEW_AT_ONCE: usize = 5_000;

/// What a partition, or a woken project, comes to.
pub(crate) struct LargeJob {
    pub waiting: Waiting,
    /// Where the partition is read again if this fails.
    pub from: Offset,
    pub items: Vec<LargeItem>,
    /// Committed with the last one.
    pub positions: Vec<Position>,
}

/// How a job ended.
pub(crate) struct Loaded {
    pub job_waiting: Waiting,
    pub from: Offset,
    pub positions: Vec<Position>,
    /// An error is a passing fault.
    pub outcome: Result<(), String>,
}

/// The loading task: one graph at a time.
pub(crate) struct Loading {
    pub jobs: mpsc::Receiver<LargeJob>,
    pub done: mpsc::Sender<Loaded>,
    pub preparer: Preparer,
    pub lane: Lane,
    /// Bytes of texts in one step.
    pub step_bytes: u64,
    pub stop: Stop,
}

enum Ended {
    Failed(String),
    Fatal(BoxError),
    Stopping,
}

impl From<WriterGone> for Ended {
    fn from(_: WriterGone) -> Self {
        Self::Stopping
    }
}

impl From<ViewError> for Ended {
    fn from(error: ViewError) -> Self {
        match error {
            error @ ViewError::Stale(_) => Self::Failed(error.to_string()),
            error if error.is_transient() => Self::Failed(error.to_string()),
            error => Self::Fatal(error.into()),
        }
    }
}

impl Loading {
    pub(crate) async fn run(mut self) -> Result<(), BoxError> {
        while let Some(Some(job)) = self.stop.or(self.jobs.recv()).await {
            let LargeJob {
                waiting,
                from,
                items,
                positions,
            } = job;
            let last = items.len().saturating_sub(1);
            let mut outcome = Ok(());
            for (number, item) in items.into_iter().enumerate() {
                let positions = if number == last { &positions[..] } else { &[] };
                match self.load(item, positions).await {
                    Ok(()) => {}
                    Err(Ended::Failed(why)) => {
                        outcome = Err(why);
                        break;
                    }
                    Err(Ended::Fatal(error)) => return Err(error),
                    Err(Ended::Stopping) => return Ok(()),
                }
            }
            if self
                .done
                .send(Loaded {
                    job_waiting: waiting,
                    from,
                    positions,
                    outcome,
                })
                .await
                .is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn load(&self, large: LargeItem, positions: &[Position]) -> Result<(), Ended> {
        let LargeItem {
            mut item,
            kept,
            new,
            graph,
        } = large;
        tracing::info!(project.id = %item.project, kept = kept.len(), new = new.len(), "loading a large graph in steps");
        let mut load = self
            .lane
            .ask(|reply| Order::BeginLoad(item.project, reply))
            .await??;
        for kept in kept.chunks(KEPT_AT_ONCE) {
            load = self
                .step(LoadStep {
                    load,
                    kept: kept.to_vec(),
                    new: Vec::new(),
                })
                .await?;
        }
        for range in steps(&new, self.step_bytes) {
            let pieces = match self.preparer.texts(&graph, &new[range]).await {
                Ok(pieces) => pieces,
                Err(error) => {
                    self.lane.tell(Order::GiveUp(load)).await?;
                    return match error {
                        TextsError::Passing(why) => Err(Ended::Failed(why)),
                        TextsError::LeaveOut(code, why) => self.leave_out(item, code, why, positions).await,
                    };
                }
            };
            match self
                .step(LoadStep {
                    load,
                    kept: Vec::new(),
                    new: pieces,
                })
                .await
            {
                Ok(same) => load = same,
                Err(Ended::Fatal(error)) => match error.downcast::<ViewError>() {
                    Ok(bad) if matches!(*bad, ViewError::Store(store::StoreError::BadPiece { .. })) => {
                        return self
                            .leave_out(item, "bad-piece", bad.to_string(), positions)
                            .await;
                    }
                    Ok(other) => return Err(Ended::Fatal(other)),
                    Err(other) => return Err(Ended::Fatal(other)),
                },
                Err(ended) => return Err(ended),
            }
        }
        failpoint!("graph-writer.before-flip").map_err(|tripped| Ended::Fatal(tripped.into()))?;
        if let GraphChange::Apply { difference, .. } = &mut item.change {
            difference.put.clear();
        }
        let order = FlipOrder {
            load,
            item,
            positions: positions.to_vec(),
        };
        self.lane
            .ask(|reply| Order::Flip(Box::new(order), reply))
            .await??;
        Ok(())
    }

    async fn step(&self, step: LoadStep) -> Result<store::LargeLoad, Ended> {
        if self.stop.is_requested() {
            return Err(Ended::Stopping);
        }
        Ok(self
            .lane
            .ask(|reply| Order::Load(Box::new(step), reply))
            .await??)
    }

    async fn leave_out(
        &self,
        mut item: GraphItem,
        code: &'static str,
        why: String,
        positions: &[Position],
    ) -> Result<(), Ended> {
        item.change = GraphChange::LeaveOut { code, why };
        let batch = Batch {
            items: vec![Item::Graph(Box::new(item))],
            positions: positions.to_vec(),
        };
        self.lane.ask(|reply| Order::Commit(batch, reply)).await??;
        Ok(())
    }
}

/// Cuts pieces into steps by their bytes.
fn steps(pieces: &[PieceRef], most_bytes: u64) -> Vec<Range<usize>> {
    let (mut steps, mut start, mut bytes) = (Vec::new(), 0, 0u64);
    for (at, piece) in pieces.iter().enumerate() {
        let size = u64::try_from(piece.size).unwrap_or(0);
        if at > start && (bytes + size > most_bytes || at - start >= NEW_AT_ONCE) {
            steps.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < pieces.len() {
        steps.push(start..pieces.len());
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Sha256;

    #[test]
    fn steps_are_bounded_and_whole() {
        let piece = |size| PieceRef {
            id: String::new(),
            digest: Sha256::ZERO,
            size,
        };
        let pieces: Vec<_> = [5, 5, 20, 1, 1, 1].map(piece).to_vec();
        assert_eq!(steps(&pieces, 10), [0..2, 2..3, 3..6]);
        assert!(steps(&[], 10).is_empty());
        let many = vec![piece(0); NEW_AT_ONCE * 2 + 1];
        assert_eq!(steps(&many, 10).len(), 3);
    }
}
