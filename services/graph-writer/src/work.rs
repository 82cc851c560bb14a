//! What the view is asked to take over in one transaction.

use bytes::Bytes;
use events::{AccessDenial, Covers, EventStatus, ProjectRecord};
use model::{Digest, Generation, Offset, Position, ProjectId, StateVersion};
use store::{Difference, GraphState, Needs};

use crate::asked::Asked;

/// Changes that are committed together, with the positions up to which they go.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of the log.
    pub items: Vec<Item>,
    /// Everything below these is in `items`, or in the view already.
    pub positions: Vec<Position>,
}

/// One change.
#[derive(Debug)]
pub enum Item {
    /// GitLab's facts, and where they are.
    Facts(Box<ProjectRecord>, Option<Position>),
    /// Access taken away; under the key of its record.
    Denial(Box<AccessDenial>),
    /// Facts that cannot be read: the project must not be visible.
    Unreadable {
        /// Whose, by the record's key.
        project: ProjectId,
        /// Where the record is.
        at: Position,
        /// What is wrong with it.
        why: String,
    },
    /// How far a look came.
    Status(Box<EventStatus>),
    /// A graph.
    Graph(Box<GraphItem>),
    /// A record that says nothing that can be used, and is of no project's graph or facts.
    Skipped {
        /// Where it is.
        at: Position,
        /// A stable word.
        code: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The graph of one project.
#[derive(Debug)]
pub struct GraphItem {
    /// The project.
    pub project: ProjectId,
    /// Where the record is that decides; none when it has been waiting in the view.
    pub at: Option<Position>,
    /// What decides between two graphs of a project.
    pub rank: (Generation, Digest),
    /// The facts that it was made with.
    pub state_version: StateVersion,
    /// The record's bytes, for the case that it has to wait.
    pub record: Bytes,
    /// What is answered for, and what has to be applied before.
    pub covers: Vec<(Covers, Needs)>,
    /// Records that this one made needless.
    pub superseded: usize,
    /// What asked for it.
    pub asked: Asked,
    /// What to do.
    pub change: GraphChange,
}

/// What is to be done with a graph.
#[derive(Debug)]
pub enum GraphChange {
    /// Something newer, or the same, was there when it was looked at.
    Nothing,
    /// Its facts were not there: keep the record.
    Hold,
    /// Apply the difference to the graph of rank `base`.
    Apply {
        /// What the difference was taken to.
        base: Option<(Generation, Digest)>,
        /// The graph as a whole.
        state: GraphState,
        /// What changes.
        difference: Difference,
    },
    /// The graph goes.
    Gone(GraphState),
    /// It cannot be applied as it is; the graph before it stays.
    LeaveOut {
        /// A stable word.
        code: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
}

/// A graph that is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// Whose.
    pub project: ProjectId,
    /// Which.
    pub generation: Generation,
    /// What asked for it.
    pub asked: Asked,
}

/// What came of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// Projects whose waiting graph can be applied now.
    pub wake: Vec<ProjectId>,
    /// Graphs applied.
    pub applied: Vec<Applied>,
    /// Outcomes, for metrics: topic's word, outcome, how many.
    pub outcomes: Vec<(&'static str, &'static str, u64)>,
    /// Reasons why records were left out.
    pub left_out: Vec<&'static str>,
    /// Projects made invisible.
    pub hidden: u64,
    /// Pieces written and removed.
    pub pieces: (u64, u64),
    /// Something was taken out of sight that can be removed now.
    pub garbage: bool,
}

impl Committed {
    pub(crate) fn count(&mut self, topic: &'static str, outcome: &'static str, by: usize) {
        let by = by as u64;
        match self
            .outcomes
            .iter_mut()
            .find(|(t, o, _)| (*t, *o) == (topic, outcome))
        {
            Some((_, _, n)) => *n += by,
            None if by > 0 => self.outcomes.push((topic, outcome, by)),
            None => {}
        }
    }
}

/// The position that names the record at `offset` itself, as rejects do.
pub(crate) fn at(record: &bus::Record) -> Position {
    record.slot().at(Offset::new(record.offset.get()))
}
