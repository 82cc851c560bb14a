//! The one task that writes the view. Facts and status first, then graphs, then steps of large loads.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use model::{Position, ProjectId};
use parking_lot::Mutex;
use runtime::metrics::level;
use runtime::traces::Kind;
use runtime::{BoxError, Edges, Stop, Traces, failpoint};
use store::{LargeLoad, Piece, PieceKey};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Counters;
use crate::prepare::since_look;
use crate::readiness::Readiness;
use crate::view::{View, ViewError};
use crate::work::{Applied, Batch, Committed, GraphItem};

/// Graph commits in a row after which a waiting step of a large load gets its turn.
const STEP_AFTER: u32 = 4;
/// Quads of hidden graphs removed in one transaction.
const COLLECT: usize = 20_000;
/// The longest wait between two tries while the disk is full.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often slots of dead readers are freed, while there is work.
const CLEAR_EVERY: Duration = Duration::from_secs(60);
/// The part of readiness that the disk is.
const DISK: &str = "disk";

type Reply<T> = oneshot::Sender<Result<T, ViewError>>;

/// What the writing task is asked to do.
pub(crate) enum Order {
    Commit(Batch, Reply<Committed>),
    BeginLoad(ProjectId, Reply<LargeLoad>),
    Load(Box<LoadStep>, Reply<LargeLoad>),
    Flip(Box<FlipOrder>, Reply<Committed>),
    GiveUp(LargeLoad),
}

pub(crate) struct LoadStep {
    pub load: LargeLoad,
    pub kept: Vec<PieceKey>,
    pub new: Vec<Piece>,
}

pub(crate) struct FlipOrder {
    pub load: LargeLoad,
    pub item: GraphItem,
    pub positions: Vec<Position>,
}

/// The writing task is gone: the process is stopping, or it failed and says so itself.
#[derive(Debug, thiserror::Error)]
#[error("the writing task has ended")]
pub(crate) struct WriterGone;

/// One way to the writing task; each has its rank.
#[derive(Clone)]
pub(crate) struct Lane(mpsc::Sender<Order>);

impl Lane {
    pub(crate) async fn ask<T>(
        &self,
        order: impl FnOnce(Reply<T>) -> Order,
    ) -> Result<Result<T, ViewError>, WriterGone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(order(reply)).await.map_err(|_| WriterGone)?;
        answer.await.map_err(|_| WriterGone)
    }

    pub(crate) async fn tell(&self, order: Order) -> Result<(), WriterGone> {
        self.0.send(order).await.map_err(|_| WriterGone)
    }
}

/// The three ways, in the order of their ranks.
pub(crate) struct Lanes {
    urgent: mpsc::Receiver<Order>,
    graphs: mpsc::Receiver<Order>,
    steps: mpsc::Receiver<Order>,
}

pub(crate) struct LaneEnds {
    pub urgent: Lane,
    pub graphs: Lane,
    pub steps: Lane,
}

pub(crate) fn lanes() -> (LaneEnds, Lanes) {
    let ((a, urgent), (b, graphs), (c, steps)) = (mpsc::channel(4), mpsc::channel(4), mpsc::channel(4));
    (
        LaneEnds {
            urgent: Lane(a),
            graphs: Lane(b),
            steps: Lane(c),
        },
        Lanes {
            urgent,
            graphs,
            steps,
        },
    )
}

/// The writing task.
pub(crate) struct Writing {
    pub view: Arc<Mutex<View>>,
    pub lanes: Lanes,
    pub edges: Edges,
    pub traces: Traces,
    pub counters: Counters,
    pub readiness: Arc<Readiness>,
    /// Projects whose waiting graph can be applied.
    pub wake: mpsc::UnboundedSender<ProjectId>,
    pub stop: Stop,
}

enum Turn {
    Order(Order),
    Collect,
    End,
}

impl Writing {
    /// Until every sender is gone: what was asked for before a stop is still done.
    pub(crate) async fn run(mut self) -> Result<(), BoxError> {
        let (mut garbage, mut graphs_in_a_row) = (true, 0);
        let mut cleared = self.edges.clock.monotonic();
        loop {
            match self.turn(garbage, &mut graphs_in_a_row).await {
                Turn::End => return Ok(()),
                Turn::Collect => garbage = self.on_view(|view| view.collect(COLLECT)).await?.unwrap_or(false),
                Turn::Order(order) => garbage |= self.obey(order).await?,
            }
            let now = self.edges.clock.monotonic();
            if now.saturating_sub(cleared) > CLEAR_EVERY {
                cleared = now;
                self.on_view(View::clear_stale_readers).await?.ok();
                let time = self.edges.clock.now();
                if let Ok(left) = self.on_view(move |view| view.forget_denials(time)).await? {
                    self.counters
                        .denials
                        .with_label_values::<&str>(&[])
                        .set(level(left));
                }
            }
        }
    }

    /// Everything that can be committed together with a batch: what waits by now, facts and status first.
    fn gather(
        &mut self,
        first: (Batch, Reply<Committed>),
    ) -> (Vec<(Batch, Reply<Committed>)>, Option<Order>) {
        let mut together = vec![first];
        for lane in [&mut self.lanes.urgent, &mut self.lanes.graphs] {
            while let Ok(order) = lane.try_recv() {
                match order {
                    Order::Commit(batch, reply) => together.push((batch, reply)),
                    // Loads have a lane of their own.
                    other => return (together, Some(other)),
                }
            }
        }
        (together, None)
    }

    async fn turn(&mut self, garbage: bool, graphs_in_a_row: &mut u32) -> Turn {
        let lanes = &mut self.lanes;
        if *graphs_in_a_row >= STEP_AFTER {
            *graphs_in_a_row = 0;
            if let Ok(order) = lanes.steps.try_recv() {
                return Turn::Order(order);
            }
        }
        tokio::select! {
            biased;
            Some(order) = lanes.urgent.recv() => Turn::Order(order),
            Some(order) = lanes.graphs.recv() => {
                *graphs_in_a_row += 1;
                Turn::Order(order)
            }
            Some(order) = lanes.steps.recv() => {
                *graphs_in_a_row = 0;
                Turn::Order(order)
            }
            () = std::future::ready(()), if garbage && !self.stop.is_requested() => Turn::Collect,
            else => Turn::End,
        }
    }

    /// Runs something on the view, off the async threads.
    async fn on_view<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut View) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<Result<T, ViewError>, BoxError> {
        let view = self.view.clone();
        Ok(tokio::task::spawn_blocking(move || work(&mut view.lock())).await?)
    }

    /// Does what is asked. True: something can be collected.
    async fn obey(&mut self, order: Order) -> Result<bool, BoxError> {
        // Whoever asked may be gone because of a stop; that is no error.
        match order {
            Order::Commit(batch, reply) => {
                let (together, other) = self.gather((batch, reply));
                let mut garbage = self.commit_together(together).await?;
                if let Some(order) = other {
                    garbage |= Box::pin(self.obey(order)).await?;
                }
                Ok(garbage)
            }
            Order::BeginLoad(project, reply) => {
                let _ = reply.send(self.on_view(move |view| view.begin_load(project)).await?);
                Ok(false)
            }
            Order::Load(step, reply) => {
                let result = self.on_view(move |view| {
                    let LoadStep { load, kept, new } = *step;
                    match view.load(&load, &kept, &new) {
                        Ok(()) => Ok(load),
                        Err(error) => {
                            // What was loaded is left over; if this fails too, the next start finds it.
                            let _ = view.give_up(load);
                            Err(error)
                        }
                    }
                });
                let result = result.await?;
                let garbage = result.is_err();
                let _ = reply.send(result);
                Ok(garbage)
            }
            Order::Flip(order, reply) => {
                let began = self.edges.clock.monotonic();
                let result = self
                    .on_view(move |view| view.flip(order.load, &order.item, &order.positions))
                    .await?;
                if let Ok(committed) = &result {
                    self.took(began);
                    self.count(committed);
                }
                let _ = reply.send(result);
                Ok(true)
            }
            Order::GiveUp(load) => {
                let _ = self.on_view(move |view| view.give_up(load)).await?;
                Ok(true)
            }
        }
    }

    /// Commits in one transaction what came together; one by one if a batch of it is stale, so that it spoils no other.
    async fn commit_together(&mut self, together: Vec<(Batch, Reply<Committed>)>) -> Result<bool, BoxError> {
        failpoint!("graph-writer.before-transaction")?;
        let (batches, replies): (Vec<_>, Vec<_>) = together.into_iter().unzip();
        let batches = Arc::new(batches);
        let results = match self.commit(&batches, 0..batches.len()).await? {
            Ok(all) => all.into_iter().map(Ok).collect(),
            Err(ViewError::Stale(_)) if batches.len() > 1 => {
                let mut results = Vec::with_capacity(batches.len());
                for at in 0..batches.len() {
                    let one = self.commit(&batches, at..at + 1).await?;
                    results.push(one.map(|mut one| one.pop().unwrap_or_default()));
                }
                results
            }
            Err(error) => {
                let mut results = vec![Err(error)];
                results.extend((1..batches.len()).map(|_| Err(ViewError::WithAnother)));
                results
            }
        };
        failpoint!("graph-writer.after-transaction")?;
        let mut garbage = false;
        for (result, reply) in results.into_iter().zip(replies) {
            garbage |= result
                .as_ref()
                .is_ok_and(|committed: &Committed| committed.garbage);
            let _ = reply.send(result);
        }
        Ok(garbage)
    }

    /// Commits; while the disk is full, again and again: a view never skips.
    async fn commit(
        &mut self,
        batches: &Arc<Vec<Batch>>,
        range: Range<usize>,
    ) -> Result<Result<Vec<Committed>, ViewError>, BoxError> {
        let mut wait = Duration::from_millis(100);
        loop {
            let began = self.edges.clock.monotonic();
            let (batches, range) = (batches.clone(), range.clone());
            let commit = move |view: &mut View| view.commit_all(&batches[range].iter().collect::<Vec<_>>());
            match self.on_view(commit).await? {
                Ok(all) => {
                    self.readiness.ready(DISK);
                    self.took(began);
                    for committed in &all {
                        self.count(committed);
                        for project in &committed.wake {
                            self.readiness.waking(*project);
                            // Nobody to wake: stopping.
                            let _ = self.wake.send(*project);
                        }
                    }
                    return Ok(Ok(all));
                }
                Err(error) if error.is_transient() => {
                    self.readiness.not_ready(DISK, error.to_string());
                    tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "view cannot be written, will retry");
                    if self.stop.or(self.edges.clock.sleep(wait)).await.is_none() {
                        return Ok(Err(error));
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn took(&self, began: Duration) {
        let took = self.edges.clock.monotonic().saturating_sub(began);
        self.counters
            .commit
            .with_label_values::<&str>(&[])
            .observe(took.as_secs_f64());
    }

    fn trace(&self, applied: &Applied) {
        let Applied {
            project,
            generation,
            asked,
        } = applied;
        if !self.traces.are_told() {
            tracing::debug!(project.id = %project, %generation, "graph applied");
            return;
        }
        let causes = asked.causes.iter().map(String::as_str);
        let mut span = self.traces.begin("apply", Kind::Consumer, causes);
        if let Some(since) = asked.since {
            span.since(since);
        }
        span.number("project.id", project.get());
        span.number("generation", generation.get());
        tracing::debug!(project.id = %project, %generation, trace.id = span.trace_id(), "graph applied");
    }

    fn count(&self, committed: &Committed) {
        let counters = &self.counters;
        for (topic, outcome, by) in &committed.outcomes {
            counters
                .records
                .with_label_values(&[*topic, *outcome])
                .inc_by(*by);
        }
        for code in &committed.left_out {
            counters.rejects.with_label_values(&[*code]).inc();
        }
        counters
            .hidden
            .with_label_values::<&str>(&[])
            .inc_by(committed.hidden);
        counters
            .pieces
            .with_label_values(&["written"])
            .inc_by(committed.pieces.0);
        counters
            .pieces
            .with_label_values(&["removed"])
            .inc_by(committed.pieces.1);
        let now = self.edges.clock.now();
        for applied in &committed.applied {
            self.trace(applied);
            if let Some(took) = since_look(now, applied.generation) {
                counters
                    .queryable
                    .with_label_values::<&str>(&[])
                    .observe(took.as_secs_f64());
            }
        }
    }
}
