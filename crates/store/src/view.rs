//! One query's view of a snapshot: what it may touch, names as they are now, terms that it made up, and its limits.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use heed::RoTxn;
use model::{ProjectId, Slug};
use oxigraph::model::{NamedNode, Term};
use rustc_hash::FxHashMap;
use spareval::ExpressionTerm;

use crate::dictionary;
use crate::error::StoreError;
use crate::faults::{self, Fault};
use crate::guard::Touched;
use crate::inline::{inline, outline};
use crate::lexical::{read_term, write_literal};
use crate::memory;
use crate::names::{Names, derived_bytes};
use crate::order::{Gid, KEY, Order};
use crate::read_rows;
use crate::reader::Snapshot;
use crate::row::{GraphRow, project_of};
use crate::scan::{PATIENCE, SMALL};
use crate::scope::Scope;
use crate::sorted::{Sorted, SortedKeys};
use crate::tables::{Tables, meta};
use crate::term_id::{Kind, TermId};
use crate::values::Values;

/// Asks a running query to stop. Cheap to clone; one per query.
#[derive(Clone, Default, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The query ends with an error at the next quad that it reads.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a scan ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the query was stopped")]
    Stopped,
    #[error("the query took too long")]
    Time,
    #[error("the query read too many quads")]
    Quads,
    #[error("the query made up too many terms")]
    MadeUp,
    #[error("the query took too much memory")]
    Memory,
}

impl From<heed::Error> for ScanError {
    fn from(error: heed::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Bounds of one evaluation.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) until: Instant,
    pub(crate) quads: u64,
    pub(crate) stop: Stop,
}

/// Terms of the query, and such as it computed.
#[derive(Default)]
struct MadeUp {
    ids: FxHashMap<Term, TermId>,
    terms: Vec<Term>,
    bytes: usize,
}

/// The most bytes of terms that a query may bring or make up, e.g. with `BIND`.
pub(crate) const MOST_MADE_UP: usize = 256 << 20;
/// What such a term takes beside its text, which is kept twice.
const MADE_UP_OVERHEAD: usize = 160;

pub(crate) struct View<'a> {
    pub(crate) tables: Tables,
    pub(crate) txn: &'a RoTxn<'a>,
    pub(crate) scope: Arc<Scope>,
    /// What this query has read from.
    pub(crate) touched: Touched,
    names: &'a Names,
    /// Whether any repository names a project by its text.
    pub(crate) has_foreign: bool,
    bounds: Bounds,
    snapshot_until: Instant,
    /// Rows that were looked at, and quads that were given.
    looked: Cell<u64>,
    read: Cell<u64>,
    /// Quads that were passed over because they are hidden, over all scans.
    pub(crate) hidden: Cell<u64>,
    /// So many of them make a scan of the default graph (0) or of the named graphs (1) look whether to go on elsewhere.
    pub(crate) look_at: [Cell<u64>; 2],
    /// How many quads each of the two has in this snapshot, once it was asked for.
    quads: [Cell<Option<u64>>; 2],
    /// Each of the two in each order, if it is small and was wanted.
    sorted: RefCell<Sorted>,
    made_up: RefCell<MadeUp>,
    now: RefCell<FxHashMap<TermId, TermId>>,
    said: RefCell<FxHashMap<TermId, Option<TermId>>>,
    values: RefCell<Values>,
}

impl<'a> View<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, scope: Arc<Scope>, bounds: Bounds) -> Result<Self, StoreError> {
        let shared = snapshot.shared();
        let mut view = Self::plain(snapshot, scope);
        view.bounds = bounds;
        view.has_foreign = shared.tables.number(&snapshot.txn, meta::FOREIGN)? > 0;
        Ok(view)
    }

    /// Without bounds of its own, and without looking for other names of projects.
    pub(crate) fn plain(snapshot: &'a Snapshot, scope: Arc<Scope>) -> Self {
        let shared = snapshot.shared();
        let look_at = [&scope.default, &scope.named].map(|set| {
            // Sizes are of when the set was made, so that double the bound may still be a small one.
            Cell::new(match set.quads {
                quads if quads <= 2 * SMALL => PATIENCE + quads.min(SMALL),
                _ => u64::MAX,
            })
        });
        let sorted = scope.kept.of(snapshot.txn.id());
        Self {
            tables: shared.tables,
            txn: &snapshot.txn,
            scope,
            touched: Touched::default(),
            look_at,
            quads: Default::default(),
            names: &shared.names,
            has_foreign: false,
            bounds: Bounds {
                until: snapshot.until(),
                quads: u64::MAX,
                stop: Stop::default(),
            },
            snapshot_until: snapshot.until(),
            looked: Cell::new(0),
            read: Cell::new(0),
            hidden: Cell::new(0),
            sorted: sorted.into(),
            made_up: RefCell::default(),
            now: RefCell::default(),
            said: RefCell::default(),
            values: RefCell::default(),
        }
    }

    pub(crate) fn sorted(&self, set: usize, order: Order) -> Option<SortedKeys> {
        self.sorted.borrow()[set][order as usize].clone()
    }

    /// Keeps a sorted copy for this query, and for the next ones of the same moment.
    pub(crate) fn keep_sorted(&self, set: usize, order: Order, keys: Vec<[u8; KEY]>) -> SortedKeys {
        let keys = SortedKeys::new(keys);
        self.sorted.borrow_mut()[set][order as usize] = Some(keys.clone());
        self.scope.kept.keep(self.txn.id(), set, order, &keys);
        keys
    }

    /// How many quads some graphs have in this snapshot.
    pub(crate) fn quads_of(&self, graphs: &[Gid]) -> Result<u64, StoreError> {
        let mut quads = 0;
        for graph in graphs {
            if let Some(row) = self.tables.graphs.get(self.txn, &graph.to_be_bytes())? {
                quads += GraphRow::read(row)?.quads;
            }
        }
        Ok(quads)
    }

    /// How many quads the default graph (0) or the named graphs (1) have in this snapshot. The sizes that the set was made
    /// with are older: a graph can grow without the set being made anew.
    pub(crate) fn visible_quads(&self, set: usize) -> Result<u64, StoreError> {
        if let Some(quads) = self.quads[set].get() {
            return Ok(quads);
        }
        let quads = self.quads_of(&[&self.scope.default, &self.scope.named][set].list)?;
        self.quads[set].set(Some(quads));
        Ok(quads)
    }

    /// To be called for every row that is looked at, also for hidden ones.
    #[inline]
    pub(crate) fn tick(&self) -> Result<(), ScanError> {
        let looked = self.looked.get() + 1;
        self.looked.set(looked);
        if looked.is_multiple_of(256) {
            self.check()
        } else {
            Ok(())
        }
    }

    /// To be called for every quad that is given. Hidden ones must not count: who comes close to the bound with quads of his
    /// own could tell from the error whether there was one more.
    #[inline]
    pub(crate) fn gave(&self) -> Result<(), ScanError> {
        let read = self.read.get() + 1;
        self.read.set(read);
        if read > self.bounds.quads {
            return Err(ScanError::Quads);
        }
        Ok(())
    }

    #[cold]
    fn check(&self) -> Result<(), ScanError> {
        if self.bounds.stop.is_set() {
            return Err(ScanError::Stopped);
        }
        if memory::is_used_up() {
            return Err(ScanError::Memory);
        }
        let now = Instant::now();
        if now > self.snapshot_until {
            return Err(StoreError::SnapshotTooOld.into());
        }
        if now > self.bounds.until {
            return Err(ScanError::Time);
        }
        Ok(())
    }

    /// The id of a term of the query; one that the data has not is made up.
    pub(crate) fn id_of(&self, term: Term) -> Result<TermId, ScanError> {
        if let Some(id) = self.made_up.borrow().ids.get(&term) {
            return Ok(*id);
        }
        let known = match &term {
            Term::NamedNode(iri) => match self.names.below_projects(iri.as_str()) {
                Some(below) => match self.project_term(below)? {
                    Some(id) => Some(id),
                    None => self.find(Kind::Foreign, iri.as_str().as_bytes())?,
                },
                None => self.find(Kind::Named, iri.as_str().as_bytes())?,
            },
            Term::BlankNode(node) => self.find(Kind::Blank, node.as_str().as_bytes())?,
            Term::Literal(literal) => {
                let datatype = literal.datatype();
                if literal.language().is_none()
                    && let Some(id) = inline(literal.value(), datatype.as_str())
                {
                    return Ok(id);
                }
                let mut bytes = Vec::with_capacity(literal.value().len() + 8);
                write_literal(literal.value(), datatype.as_str(), literal.language(), &mut bytes);
                self.find(Kind::Literal, &bytes)?
            }
        };
        // One that is known is kept, and costs, like one that is not: it may be known from hidden quads alone, and who comes
        // close to a bound could tell.
        let mut made_up = self.made_up.borrow_mut();
        let text = match &term {
            Term::NamedNode(iri) => iri.as_str().len(),
            Term::BlankNode(node) => node.as_str().len(),
            Term::Literal(literal) => literal.value().len(),
        };
        made_up.bytes += 2 * text + MADE_UP_OVERHEAD;
        if made_up.bytes > MOST_MADE_UP {
            return Err(ScanError::MadeUp);
        }
        let id = known.unwrap_or(TermId::new(Kind::Extra, made_up.terms.len() as u64));
        made_up.terms.push(term.clone());
        made_up.ids.insert(term, id);
        Ok(id)
    }

    fn find(&self, kind: Kind, bytes: &[u8]) -> Result<Option<TermId>, StoreError> {
        dictionary::find(&self.tables, self.txn, kind, bytes)
    }

    /// What a text below `projects/` names now: a visible project's node, or a node derived from it.
    fn project_term(&self, below: &str) -> Result<Option<TermId>, StoreError> {
        for (slug, rest) in Names::slug_readings(below) {
            let Ok(slug) = slug.parse::<Slug>() else { continue };
            let seen = |project| self.scope.sees(project) || faults::is_on(Fault::Names);
            let project = read_rows::project_of_slug(&self.tables, self.txn, &slug, seen)?;
            let Some(project) = project else { continue };
            self.touched.project(project);
            if rest.is_empty() {
                return Ok(Some(project_node(project)));
            }
            let derived = self.find(Kind::Derived, &derived_bytes(project, rest))?;
            if derived.is_some() {
                return Ok(derived);
            }
        }
        Ok(None)
    }

    /// The term as it is written.
    pub(crate) fn text_of(&self, id: TermId) -> Result<Term, StoreError> {
        let kind = id
            .kind()
            .ok_or(StoreError::Damaged("a quad has an id of no kind"))?;
        match kind {
            Kind::Project => {
                let project = ProjectId::new(id.value() as i64)
                    .map_err(|_| StoreError::Damaged("a project's node has no id"))?;
                Ok(self.iri_below(project, "")?.into())
            }
            Kind::Derived => {
                let bytes = dictionary::text(&self.tables, self.txn, id)?;
                let suffix = std::str::from_utf8(&bytes[4..])
                    .map_err(|_| StoreError::Damaged("a derived node is not UTF-8"))?;
                Ok(self.iri_below(project_of(bytes)?, suffix)?.into())
            }
            Kind::Extra => self
                .made_up
                .borrow()
                .terms
                .get(id.value() as usize)
                .cloned()
                .ok_or(StoreError::Damaged("a term is of another query")),
            _ if id.in_dictionary() => read_term(kind, dictionary::text(&self.tables, self.txn, id)?),
            _ => outline(id)
                .map(Term::from)
                .ok_or(StoreError::Damaged("an id has no text")),
        }
    }

    /// The term as the engine computes with it.
    pub(crate) fn value_of(&self, id: TermId) -> Result<ExpressionTerm, StoreError> {
        if let Some(value) = self.values.borrow().get(id) {
            return Ok(value);
        }
        let value = self.text_of(id)?.into();
        self.values.borrow_mut().note(id, &value);
        Ok(value)
    }

    fn iri_below(&self, project: ProjectId, suffix: &str) -> Result<NamedNode, StoreError> {
        self.touched.project(project);
        let row = read_rows::access(&self.tables, self.txn, project)?
            .filter(|row| !row.slug.is_empty())
            .ok_or(StoreError::Damaged("a project's node has no slug"))?;
        let mut iri = self.names.project_iri(row.slug);
        iri.push_str(suffix);
        Ok(NamedNode::new_unchecked(iri))
    }

    /// What a term that a repository said names now. Most terms name themselves.
    pub(crate) fn now(&self, id: TermId) -> Result<TermId, StoreError> {
        if !id.is_foreign() {
            return Ok(id);
        }
        if let Some(now) = self.now.borrow().get(&id) {
            return Ok(*now);
        }
        let text = dictionary::text(&self.tables, self.txn, id)?;
        let below = std::str::from_utf8(text)
            .ok()
            .and_then(|text| self.names.below_projects(text));
        let now = match below {
            Some(below) => self.project_term(below)?.unwrap_or(id),
            None => id,
        };
        self.now.borrow_mut().insert(id, now);
        Ok(now)
    }

    /// How repositories that do not know better say a project's node, if one does.
    pub(crate) fn said(&self, id: TermId) -> Result<Option<TermId>, StoreError> {
        if !self.has_foreign || !id.has_changing_text() {
            return Ok(None);
        }
        if let Some(said) = self.said.borrow().get(&id) {
            return Ok(*said);
        }
        let said = match self.text_of(id)? {
            Term::NamedNode(iri) => self.find(Kind::Foreign, iri.as_str().as_bytes())?,
            _ => None,
        };
        // Two projects may have one slug for a moment; the text names the one of them.
        let said = match said {
            Some(foreign) if self.now(foreign)? == id => Some(foreign),
            _ => None,
        };
        self.said.borrow_mut().insert(id, said);
        Ok(said)
    }
}

pub(crate) fn project_node(project: ProjectId) -> TermId {
    TermId::new(Kind::Project, u64::from(project.get()))
}
