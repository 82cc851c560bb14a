//! The view: takes a batch over in one transaction. No waiting, no network; the only place that writes.

use events::{Covers, EventStatus, ProjectRecord, ProjectState, TopicValue as _};
use model::{AccessLevel, LogId, Position, ProjectId, Timestamp};
use runtime::failpoint;
use store::{
    Facts, FactsApplied, FactsMember, GraphState, LargeLoad, LeftOut, LiveFacts, Needs, Pending, Piece,
    PieceKey, ProjectNotes, StoreError, Verdict, WriteBatch, Writer, decide,
};

use crate::denials;
use crate::work::{Applied, Batch, Committed, GraphChange, GraphItem, Item};

/// Why a batch was not taken over. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored graph is not the one that the difference was taken to: prepare it again.
    #[error("the graph of project {0} has changed since the difference was taken")]
    Stale(ProjectId),
    /// Another batch of the same transaction failed, and says why.
    #[error("another change of the same transaction failed")]
    WithAnother,
    /// Facts that were read cannot be written again: a defect.
    #[error("facts cannot be written")]
    Facts(#[source] serde_json::Error),
    /// A test's doing.
    #[error(transparent)]
    Tripped(#[from] runtime::Tripped),
}

impl ViewError {
    /// Whether the same batch may be taken over later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

/// Writes the view's folder.
pub struct View {
    writer: Writer,
}

impl View {
    /// Takes the folder's writer.
    pub fn new(writer: Writer) -> Self {
        Self { writer }
    }

    /// Plants the canary, unless it is there.
    pub fn plant_canary(&mut self, word: u128) -> Result<(), ViewError> {
        Ok(self.writer.plant_canary(word)?)
    }

    /// Forgets denials that take nothing any more. How many are left.
    pub fn forget_denials(&mut self, now: Timestamp) -> Result<usize, ViewError> {
        let mut txn = self.writer.begin()?;
        let left = txn.forget_denials(now)?;
        txn.commit()?;
        Ok(left)
    }

    /// Empties the view for a log: nothing but its format stays. Readers see the old content until this returns.
    pub fn begin_anew(&mut self, log: LogId) -> Result<(), ViewError> {
        self.writer.clear()?;
        self.set_log(log)
    }

    /// The next start reads the whole log again, over what is there.
    pub fn read_again(&mut self) -> Result<(), ViewError> {
        Ok(self.writer.read_again()?)
    }

    /// Notes which log the positions are of.
    pub fn set_log(&mut self, log: LogId) -> Result<(), ViewError> {
        let mut txn = self.writer.begin()?;
        txn.set_log(log)?;
        Ok(txn.commit()?)
    }

    /// Takes a batch over: data, facts, status and positions in one transaction. Durable when it returns.
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, ViewError> {
        let mut committed = self.commit_all(&[batch])?;
        Ok(committed.pop().unwrap_or_default())
    }

    /// Takes several batches over in one transaction: all of them, or none. What came of each, in order.
    pub fn commit_all(&mut self, batches: &[&Batch]) -> Result<Vec<Committed>, ViewError> {
        let mut txn = self.writer.begin()?;
        let taken = batches.iter().map(|batch| take_over(&mut txn, batch));
        let committed = taken.collect::<Result<Vec<_>, _>>()?;
        failpoint!("graph-writer.before-commit")?;
        txn.commit()?;
        failpoint!("graph-writer.after-commit")?;
        Ok(committed)
    }

    /// Begins to load a graph beside the one that is shown.
    pub fn begin_load(&mut self, project: ProjectId) -> Result<LargeLoad, ViewError> {
        let mut txn = self.writer.begin()?;
        let load = txn.begin_load(project)?;
        txn.commit()?;
        Ok(load)
    }

    /// One step of a load: pieces that stay as they are, and new ones.
    pub fn load(&mut self, load: &LargeLoad, kept: &[PieceKey], new: &[Piece]) -> Result<(), ViewError> {
        let mut txn = self.writer.begin()?;
        txn.load_kept(load, kept)?;
        txn.load(load, new)?;
        txn.commit()?;
        failpoint!("graph-writer.during-flip")?;
        Ok(())
    }

    /// Shows what was loaded, if the graph that is shown is still the one it was loaded for.
    pub fn flip(
        &mut self,
        load: LargeLoad,
        item: &GraphItem,
        positions: &[Position],
    ) -> Result<Committed, ViewError> {
        let GraphChange::Apply {
            base,
            state,
            difference,
        } = &item.change
        else {
            return Err(ViewError::Stale(item.project));
        };
        let mut committed = Committed {
            garbage: true,
            ..Committed::default()
        };
        let mut txn = self.writer.begin()?;
        let stored = txn.applied(item.project)?;
        if stored.map(|stored| stored.rank()) != *base || verdict(&txn, item)? != Verdict::Apply {
            return Err(ViewError::Stale(item.project));
        }
        txn.flip(load, state)?;
        applied(&mut txn, item, &mut committed)?;
        committed.pieces.1 = difference.removed.len() as u64;
        for position in positions {
            txn.set_position(position)?;
        }
        failpoint!("graph-writer.before-commit")?;
        txn.commit()?;
        failpoint!("graph-writer.after-commit")?;
        Ok(committed)
    }

    /// Forgets a load.
    pub fn give_up(&mut self, load: LargeLoad) -> Result<(), ViewError> {
        Ok(self.writer.give_up(load)?)
    }

    /// Removes some of what nobody sees any more. True: there is more.
    pub fn collect(&mut self, quads: usize) -> Result<bool, ViewError> {
        Ok(self.writer.collect(quads)?)
    }

    /// Frees what dead readers hold.
    pub fn clear_stale_readers(&mut self) -> Result<(), ViewError> {
        self.writer.clear_stale_readers()?;
        Ok(())
    }
}

fn take_over(txn: &mut WriteBatch<'_>, batch: &Batch) -> Result<Committed, ViewError> {
    let mut committed = Committed::default();
    for item in &batch.items {
        match item {
            Item::Facts(record, at) => facts(txn, record, at.as_ref(), &mut committed)?,
            Item::Denial(denial) => {
                let outcome = match txn.deny(&denial.key(), &denials::of(denial))? {
                    true => "applied",
                    false => "ignored",
                };
                committed.count("access-denials", outcome, 1);
            }
            Item::Unreadable { project, at, why } => {
                txn.hide(*project)?;
                txn.put_reject(at, &format!("facts-unreadable: {why}"))?;
                committed.hidden += 1;
                committed.left_out.push("facts-unreadable");
                committed.count("projects", "left-out", 1);
            }
            Item::Status(status) => self::status(txn, status, &mut committed)?,
            Item::Graph(item) => graph(txn, item, &mut committed)?,
            Item::Skipped { at, code, why } => {
                txn.put_reject(at, &format!("{code}: {why}"))?;
                committed.left_out.push(code);
            }
        }
    }
    for position in &batch.positions {
        txn.set_position(position)?;
    }
    Ok(committed)
}

fn change_notes(
    txn: &mut WriteBatch<'_>,
    project: ProjectId,
    change: impl FnOnce(&mut ProjectNotes),
) -> Result<(), StoreError> {
    let before = ProjectNotes::read(txn.note(project)?.as_deref())?;
    let mut notes = before.clone();
    change(&mut notes);
    if notes != before {
        txn.put_note(project, &notes.write()?)?;
    }
    Ok(())
}

fn facts(
    txn: &mut WriteBatch<'_>,
    record: &ProjectRecord,
    at: Option<&Position>,
    committed: &mut Committed,
) -> Result<(), ViewError> {
    let project = record.project_id;
    let payload = match &record.state {
        Some(state) => serde_json::to_vec(state).map_err(ViewError::Facts)?,
        None => Vec::new(),
    };
    let version = record.state_version();
    let facts = Facts {
        state_version: version,
        generation: record.envelope.generation,
        live: record.state.as_ref().map(|state| LiveFacts {
            slug: state.slug.clone(),
            visibility: state.visibility,
            members: members(state),
        }),
        payload,
    };
    match txn.apply_facts(project, &facts)? {
        FactsApplied::Superseded => committed.count("projects", "ignored", 1),
        FactsApplied::Applied { graph_waits } => {
            if let Some(at) = at {
                txn.put_source(project, at)?;
            }
            committed.count("projects", "applied", 1);
            if graph_waits {
                committed.wake.push(project);
            }
        }
    }
    change_notes(txn, project, |notes| {
        notes.answered.facts(version, record.state.is_none());
        let needs = Needs {
            facts: version,
            ..Needs::default()
        };
        notes.answered.add(&record.envelope.covers, needs);
    })?;
    Ok(())
}

/// The members who may see the project. GitLab's levels below guest are none.
fn members(state: &ProjectState) -> Vec<FactsMember> {
    let reads = state
        .members
        .iter()
        .filter(|member| member.access_level >= AccessLevel::GUEST);
    reads
        .map(|member| FactsMember {
            user: member.user_id,
            // A last day that cannot be read is over.
            until: member
                .expires_at
                .as_deref()
                .map(|day| day.parse().unwrap_or_default()),
        })
        .collect()
}

fn status(
    txn: &mut WriteBatch<'_>,
    status: &EventStatus,
    committed: &mut Committed,
) -> Result<(), ViewError> {
    let project = status.project_id;
    let name = status.sha.map_or_else(|| "-".to_owned(), |sha| sha.to_string());
    // Covers have a place of their own; a row tells how far the look came.
    let mut row = status.clone();
    row.envelope.covers = Covers::default();
    let bytes = serde_json::to_vec(&row).map_err(ViewError::Facts)?;
    let stored = txn.status(project, &name)?;
    let before: Option<EventStatus> = stored
        .as_deref()
        .and_then(|stored| serde_json::from_slice(stored).ok());
    // Of two of one rank the larger bytes hold, so that the order of arrival does not matter.
    let newer = before.as_ref().is_none_or(|before| {
        (row.rank(), &bytes[..]) > (before.rank(), stored.as_deref().unwrap_or_default())
    });
    if newer {
        txn.put_status(project, &name, &bytes)?;
    }
    committed.count("event-status", if newer { "applied" } else { "ignored" }, 1);
    change_notes(txn, project, |notes| {
        let needs = Needs {
            facts: status.envelope.state_version,
            graph: status.awaits_generation,
        };
        notes.answered.add(&status.envelope.covers, needs);
        let newest = notes.newest.as_ref();
        if newest.is_none_or(|newest| {
            (row.rank(), row.sha, &row.message) >= (newest.rank(), newest.sha, &newest.message)
        }) {
            notes.newest = Some(row);
        }
    })?;
    Ok(())
}

/// What is to be done with a graph by what is known now. A record that has been waiting is not older than itself.
fn verdict(txn: &WriteBatch<'_>, item: &GraphItem) -> Result<Verdict, StoreError> {
    let (facts, applied) = (txn.facts(item.project)?, txn.applied(item.project)?);
    let pending = txn
        .pending(item.project)?
        .filter(|held| (held.generation, held.digest) != item.rank);
    Ok(decide(
        item.rank,
        item.state_version,
        facts.as_ref(),
        applied.as_ref(),
        pending.as_ref(),
    ))
}

fn graph(txn: &mut WriteBatch<'_>, item: &GraphItem, committed: &mut Committed) -> Result<(), ViewError> {
    let project = item.project;
    committed.count("project-graphs", "ignored", item.superseded);
    let verdict = verdict(txn, item)?;
    match (&item.change, verdict) {
        (GraphChange::Nothing, _) | (_, Verdict::Superseded) => {
            committed.count("project-graphs", "ignored", 1);
            note_covers(txn, item)?;
        }
        (GraphChange::LeaveOut { code, why }, _) => left_out(txn, item, code, why, committed)?,
        (GraphChange::Gone(state), _) => {
            txn.apply_gone(project, state)?;
            committed.garbage = true;
            applied(txn, item, committed)?;
        }
        (
            GraphChange::Apply {
                base,
                state,
                difference,
            },
            Verdict::Apply,
        ) => {
            let stored = txn.applied(project)?;
            if stored.as_ref().map(GraphState::rank) != *base {
                return Err(ViewError::Stale(project));
            }
            match txn.apply_graph(project, state, difference) {
                Ok(()) => {
                    committed.pieces.0 += difference.put.len() as u64;
                    committed.pieces.1 += difference.removed.len() as u64;
                    applied(txn, item, committed)?;
                }
                Err(error @ StoreError::BadPiece { .. }) => {
                    left_out(txn, item, "bad-piece", &error.to_string(), committed)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        (GraphChange::Hold | GraphChange::Apply { .. }, _) => {
            let pending = Pending {
                generation: item.rank.0,
                digest: item.rank.1,
                state_version: item.state_version,
                record: item.record.to_vec(),
            };
            txn.hold(project, &pending)?;
            committed.count("project-graphs", "held", 1);
            note_covers(txn, item)?;
            if verdict == Verdict::Apply {
                // The facts have come while it was being looked at.
                committed.wake.push(project);
            }
        }
    }
    Ok(())
}

fn note_covers(txn: &mut WriteBatch<'_>, item: &GraphItem) -> Result<(), StoreError> {
    change_notes(txn, item.project, |notes| add_covers(notes, item))
}

fn add_covers(notes: &mut ProjectNotes, item: &GraphItem) {
    for (covers, needs) in &item.covers {
        notes.answered.add(covers, *needs);
    }
}

fn applied(txn: &mut WriteBatch<'_>, item: &GraphItem, committed: &mut Committed) -> Result<(), StoreError> {
    committed.count("project-graphs", "applied", 1);
    committed.applied.push(Applied {
        project: item.project,
        generation: item.rank.0,
        asked: item.asked.clone(),
    });
    change_notes(txn, item.project, |notes| {
        notes.answered.graph(item.rank.0);
        if notes
            .left_out
            .as_ref()
            .is_some_and(|left| left.generation <= item.rank.0)
        {
            notes.left_out = None;
        }
        add_covers(notes, item);
    })
}

fn left_out(
    txn: &mut WriteBatch<'_>,
    item: &GraphItem,
    code: &'static str,
    why: &str,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let generation = item.rank.0;
    tracing::warn!(project.id = %item.project, %generation, code, why, "graph left out, the one before it stays");
    if let Some(at) = &item.at {
        txn.put_reject(at, &format!("{code}: {why}"))?;
    }
    committed.left_out.push(code);
    committed.count("project-graphs", "left-out", 1);
    change_notes(txn, item.project, |notes| {
        notes.answered.graph(generation);
        notes.left_out = Some(LeftOut {
            generation,
            code: code.to_owned(),
            why: why.to_owned(),
        });
        add_covers(notes, item);
    })
}
