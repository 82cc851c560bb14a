//! Ends queries that compute without reading. Between two quads the engine may multiply rows for hours; it offers no way
//! to stop it there, but it copies terms for every row, and asks for every value that an expression needs. So the terms that it
//! gets count their copies, and every so often one looks whether the query should go on; values look every time. If not, the
//! engine is unwound to where the query began.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use oxigraph::model::Term;
use spareval::{ExpressionTerm, InternalQuad, QueryableDataset};

use crate::dataset::Dataset;
use crate::error::StoreError;
use crate::memory;
use crate::term_id::TermId;
use crate::view::{ScanError, Stop};

/// Copies between two looks. A row of many columns may have one term only, so that few copies are much memory.
const LOOK_EVERY: u32 = 1 << 10;

/// When a query has to end.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) until: Instant,
    pub(crate) snapshot_until: Instant,
    pub(crate) stop: Stop,
    /// Bytes of the heap.
    pub(crate) memory: usize,
}

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What unwinds the engine.
struct Ended(ScanError);

/// Runs `evaluate` and everything that it calls on this thread under watch.
pub(crate) fn watched<T>(watch: Watch, evaluate: impl FnOnce() -> T) -> Result<T, ScanError> {
    LEFT.set(LOOK_EVERY);
    let memory = watch.memory;
    let before = WATCH.replace(Some(watch));
    let result = catch_unwind(AssertUnwindSafe(|| memory::counted(memory, evaluate)));
    WATCH.replace(before);
    result.or_else(|payload: Box<dyn Any + Send>| match payload.downcast::<Ended>() {
        Ok(ended) => Err(ended.0),
        Err(panic) => resume_unwind(panic),
    })
}

#[cold]
fn look() {
    LEFT.set(LOOK_EVERY);
    if std::thread::panicking() {
        return;
    }
    let ended = WATCH.with_borrow(|watch| {
        let watch = watch.as_ref()?;
        if memory::is_used_up() {
            Some(ScanError::Memory)
        } else if watch.stop.is_set() {
            Some(ScanError::Stopped)
        } else {
            let now = Instant::now();
            if now > watch.snapshot_until {
                Some(StoreError::SnapshotTooOld.into())
            } else {
                (now > watch.until).then_some(ScanError::Time)
            }
        }
    });
    if let Some(error) = ended {
        end(error);
    }
}

/// Ends the query unless `value` is one. The engine takes some errors of values for "unbound", which would be a wrong answer.
#[inline]
pub(crate) fn or_end<T>(value: Result<T, ScanError>) -> Result<T, ScanError> {
    match value {
        Ok(value) if !memory::is_used_up() => Ok(value),
        _ if std::thread::panicking() => value,
        Ok(_) => end(ScanError::Memory),
        Err(error) => end(error),
    }
}

#[cold]
fn end(error: ScanError) -> ! {
    resume_unwind(Box::new(Ended(error)))
}

/// A term as the engine holds it.
pub(crate) struct Metered(TermId);

impl Clone for Metered {
    #[inline]
    fn clone(&self) -> Self {
        match LEFT.get().checked_sub(1) {
            Some(left) => LEFT.set(left),
            None => look(),
        }
        Self(self.0)
    }
}

impl PartialEq for Metered {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Metered {}

impl Hash for Metered {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// A dataset whose terms are metered.
pub(crate) struct MeteredDataset<'a>(pub(crate) Dataset<'a>);

impl<'a> QueryableDataset<'a> for MeteredDataset<'a> {
    type InternalTerm = Metered;
    type Error = ScanError;

    fn internal_quads_for_pattern(
        &self,
        subject: Option<&Metered>,
        predicate: Option<&Metered>,
        object: Option<&Metered>,
        graph_name: Option<Option<&Metered>>,
    ) -> impl Iterator<Item = Result<InternalQuad<Metered>, ScanError>> + use<'a> {
        let [subject, predicate, object] = [subject, predicate, object].map(|term| term.map(|term| &term.0));
        let graph_name = graph_name.map(|name| name.map(|name| &name.0));
        let quads = self
            .0
            .internal_quads_for_pattern(subject, predicate, object, graph_name);
        quads.map(|quad| {
            quad.map(|quad| InternalQuad {
                subject: Metered(quad.subject),
                predicate: Metered(quad.predicate),
                object: Metered(quad.object),
                graph_name: quad.graph_name.map(Metered),
            })
        })
    }

    fn internal_named_graphs(&self) -> impl Iterator<Item = Result<Metered, ScanError>> + use<'a> {
        self.0.internal_named_graphs().map(|graph| graph.map(Metered))
    }

    fn contains_internal_graph_name(&self, graph_name: &Metered) -> Result<bool, ScanError> {
        self.0.contains_internal_graph_name(&graph_name.0)
    }

    fn internalize_term(&self, term: Term) -> Result<Metered, ScanError> {
        or_end(self.0.internalize_term(term)).map(Metered)
    }

    fn externalize_term(&self, term: Metered) -> Result<Term, ScanError> {
        or_end(self.0.externalize_term(term.0))
    }

    fn externalize_expression_term(&self, term: Metered) -> Result<ExpressionTerm, ScanError> {
        or_end(self.0.externalize_expression_term(term.0))
    }

    fn internalize_expression_term(&self, term: ExpressionTerm) -> Result<Metered, ScanError> {
        or_end(self.0.internalize_expression_term(term)).map(Metered)
    }

    fn internal_term_effective_boolean_value(&self, term: Metered) -> Result<Option<bool>, ScanError> {
        or_end(self.0.internal_term_effective_boolean_value(term.0))
    }
}
