//! Which push events of a project a view answers for: a record's covers hold once the view has applied what they stand for.

use events::{Covers, EventStatus};
use model::{Generation, Position, StateVersion};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Open covers of a project that are kept apart. More are merged: they hold later then, never earlier.
const MOST_OPEN: usize = 8;

/// What must be applied before covers hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Needs {
    /// Facts of this version or a later one; 0: none.
    pub facts: StateVersion,
    /// The graph of this generation or a later one, applied or rejected; 0: none.
    pub graph: Generation,
}

impl Needs {
    /// Whether `have` is enough.
    pub fn met_by(self, have: Self) -> bool {
        have.facts >= self.facts && have.graph >= self.graph
    }

    fn both(self, other: Self) -> Self {
        Self {
            facts: self.facts.max(other.facts),
            graph: self.graph.max(other.graph),
        }
    }
}

/// The push events of one project that a view answers for, and those that it will once more is applied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Answered {
    /// What the view has: the newest facts, and the newest graph applied or rejected.
    pub have: Needs,
    /// The newest facts say that the project is gone: no graph is waited for.
    #[serde(default)]
    gone: bool,
    held: Covers,
    open: Vec<(Needs, Covers)>,
}

impl Answered {
    /// Whether everything below the position is answered for.
    pub fn covers(&self, position: &Position) -> bool {
        self.held.covers(position)
    }

    /// The covers that hold.
    pub fn held(&self) -> &Covers {
        &self.held
    }

    /// Takes in a record's covers, and what they need.
    pub fn add(&mut self, covers: &Covers, needs: Needs) {
        if covers.is_empty() {
            return;
        }
        if self.meets(needs) {
            self.held.merge(covers);
            return;
        }
        if let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == needs) {
            open.merge(covers);
            return;
        }
        self.open.push((needs, covers.clone()));
        if self.open.len() > MOST_OPEN {
            let (first, earlier) = self.open.remove(0);
            let (second, into) = &mut self.open[0];
            *second = second.both(first);
            into.merge(&earlier);
        }
    }

    /// Facts of this version were applied; `gone`: they say that there is no such project.
    pub fn facts(&mut self, version: StateVersion, gone: bool) {
        if version >= self.have.facts {
            self.have.facts = version;
            self.gone = gone;
        }
        self.settle();
    }

    fn meets(&self, needs: Needs) -> bool {
        let graph = if self.gone {
            Generation::default()
        } else {
            needs.graph
        };
        Needs { graph, ..needs }.met_by(self.have)
    }

    /// The graph of this generation was applied or rejected.
    pub fn graph(&mut self, generation: Generation) {
        self.have.graph = self.have.graph.max(generation);
        self.settle();
    }

    fn settle(&mut self) {
        for (needs, covers) in std::mem::take(&mut self.open) {
            if self.meets(needs) {
                self.held.merge(&covers);
            } else {
                self.open.push((needs, covers));
            }
        }
    }
}

/// Why a graph record of a project could not be applied; the graph before it stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Of the record.
    pub generation: Generation,
    /// A stable word.
    pub code: String,
    /// For people: what is wrong and what to do.
    pub why: String,
}

/// What a writer notes of a project beside its graph and facts ([`crate::WriteBatch::put_note`]).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProjectNotes {
    /// What is answered for.
    pub answered: Answered,
    /// The last graph record that could not be applied, while no later one was.
    pub left_out: Option<LeftOut>,
    /// The event status of the highest rank.
    pub newest: Option<EventStatus>,
}

impl ProjectNotes {
    /// Reads a note; the empty one if there is none.
    pub fn read(note: Option<&[u8]>) -> Result<Self, StoreError> {
        note.map_or_else(
            || Ok(Self::default()),
            |note| {
                serde_json::from_slice(note)
                    .map_err(|_| StoreError::Damaged("a project's note cannot be read"))
            },
        )
    }

    /// Writes it.
    pub fn write(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|_| StoreError::Damaged("a project's note cannot be written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, Partition, TopicName};

    const PUSHES: TopicName = TopicName::from_static("renku.push-events.v1");

    fn below(next: u64) -> Covers {
        Covers::record(&PUSHES, Partition::new(1), Offset::new(next - 1))
    }

    fn at(next: u64) -> Position {
        Position {
            topic: PUSHES,
            partition: Partition::new(1),
            next: Offset::new(next),
        }
    }

    fn needs(facts: u64, graph: u64) -> Needs {
        Needs {
            facts: StateVersion::new(facts),
            graph: Generation::new(graph),
        }
    }

    #[test]
    fn covers_hold_once_both_facts_and_graph_are_there() {
        let mut answered = Answered::default();
        answered.add(&below(5), needs(3, 7));
        assert!(!answered.covers(&at(5)));
        answered.graph(Generation::new(8));
        assert!(!answered.covers(&at(5)));
        answered.facts(StateVersion::new(3), false);
        assert!(answered.covers(&at(5)) && !answered.covers(&at(6)));
        answered.add(&below(9), needs(3, 8));
        assert!(answered.covers(&at(9)));
    }

    #[test]
    fn of_a_project_that_is_gone_no_graph_is_waited_for() {
        let mut answered = Answered::default();
        answered.add(&below(5), needs(3, 7));
        answered.facts(StateVersion::new(2), true);
        assert!(!answered.covers(&at(5)));
        answered.facts(StateVersion::new(3), true);
        assert!(answered.covers(&at(5)));
        answered.facts(StateVersion::new(4), false);
        answered.add(&below(6), needs(3, 7));
        assert!(!answered.covers(&at(6)));
    }

    #[test]
    fn too_many_open_ones_hold_later_but_hold() {
        let mut answered = Answered::default();
        for n in 1..=20 {
            answered.add(&below(n), needs(n, n));
        }
        assert!(answered.open.len() <= MOST_OPEN);
        answered.facts(StateVersion::new(20), false);
        answered.graph(Generation::new(19));
        assert!(answered.covers(&at(12)) && !answered.covers(&at(20)));
        answered.graph(Generation::new(20));
        assert!(answered.covers(&at(20)) && answered.open.is_empty());
    }
}
