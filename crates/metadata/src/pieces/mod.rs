//! The pieces of a project's graph, one per object with a file of its own, and what a push changes of them.
//!
//! A piece holds the object's own triples and those of every embedded object that it reaches, as far as it is the one that
//! counts (the first that is loaded with its id). The union of all pieces is the full export, with two differences: the
//! project has its placeholder, and blank nodes of annotations have IRIs of their own.

mod outline;
mod state;
mod walk;
mod winners;

use rdf::{Host, Piece};

use crate::error::MetadataError;
use crate::source::ObjectSource;
use state::State;

/// The most triples that a project's pieces may have, all together.
pub const MAX_TRIPLES: usize = 5_000_000;

/// The most warnings that are told.
const MAX_WARNINGS: usize = 20;

/// What is kept of a project's pieces between pushes. Without anything kept, everything is made anew.
#[derive(Default)]
pub struct ProjectPieces {
    state: Option<State>,
}

/// What became of a project's pieces.
#[derive(Debug, Default)]
pub struct PiecesChange {
    /// New pieces, and those whose text is another one now.
    pub put: Vec<Piece>,
    /// The ids of those that are gone.
    pub take: Vec<String>,
    /// What was left out of the graph as it is now, and why; the first few.
    pub warnings: Vec<String>,
}

impl ProjectPieces {
    /// Brings the pieces to the state that `source` has now.
    ///
    /// `changed` names the files below `.renku/` that are new, changed or gone since the last time; more may be named, and
    /// nothing need be named the first time. The cost is that of what changed, and a walk over the names of all objects.
    ///
    /// # Errors
    /// The metadata is refused or cannot be read. Then nothing is kept: the next call makes everything anew.
    pub fn update<S: AsRef<str>>(
        &mut self,
        source: &dyn ObjectSource,
        host: &Host,
        changed: &[S],
    ) -> Result<PiecesChange, MetadataError> {
        let (state, change) = match self.state.take() {
            Some(mut state) if state.host() == host => {
                match state.update(source, changed.iter().map(AsRef::as_ref))? {
                    Some(change) => (state, change),
                    None => Self::anew(source, host, Some(&state))?,
                }
            }
            old => Self::anew(source, host, old.as_ref())?,
        };
        self.state = Some(state);
        Ok(change)
    }

    fn anew(
        source: &dyn ObjectSource,
        host: &Host,
        old: Option<&State>,
    ) -> Result<(State, PiecesChange), MetadataError> {
        let mut state = State::new(host.clone());
        let mut change = state.make_all(source)?;
        if let Some(old) = old {
            let before = old.digests();
            let now = state.digests();
            change
                .put
                .retain(|piece| before.get(piece.id.as_str()) != Some(&piece.digest));
            change.take = before
                .keys()
                .filter(|id| !now.contains_key(*id))
                .map(|id| (*id).to_owned())
                .collect();
        }
        Ok((state, change))
    }

    /// Forgets everything and gives the ids of all pieces: for a repository that is no renku project any more.
    pub fn clear(&mut self) -> Vec<String> {
        let state = self.state.take();
        state.map_or_else(Vec::new, |state| {
            state.digests().keys().map(|id| (*id).to_owned()).collect()
        })
    }

    /// A rough count of the bytes that are kept.
    pub fn weight(&self) -> usize {
        self.state.as_ref().map_or(0, State::weight)
    }
}
