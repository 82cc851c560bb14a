//! The second look at who may see what. It shares no code with the dataset: it notes from which graphs anything was read, and
//! asks of each, by the facts themselves and by rules of its own, whether the caller may see its project. No row leaves before
//! that; a difference ends the query.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use access::{Caller, Grant, VisibleSet};
use model::{Day, ProjectId, Visibility};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use crate::change::until_of;
use crate::error::StoreError;
use crate::order::Gid;
use crate::reader::Snapshot;
use crate::row::{GraphRow, Take};
use crate::tables::meta;

/// How many callers' verdicts are remembered.
const REMEMBERED: usize = 32;

/// Graphs, by number.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// True: it was not there.
    #[inline]
    fn insert(&mut self, graph: Gid) -> bool {
        let (word, bit) = (graph as usize / 64, 1_u64 << (graph % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, graph: Gid) -> bool {
        self.0
            .get(graph as usize / 64)
            .is_some_and(|word| word >> (graph % 64) & 1 == 1)
    }
}

/// What a query has read from, as far as it was not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    seen: RefCell<Bits>,
    graphs: RefCell<Vec<Gid>>,
    projects_seen: RefCell<FxHashSet<ProjectId>>,
    projects: RefCell<Vec<ProjectId>>,
    new: Cell<bool>,
}

impl Touched {
    /// A quad of this graph was given.
    #[inline]
    pub(crate) fn graph(&self, graph: Gid) {
        if self.seen.borrow_mut().insert(graph) {
            self.graphs.borrow_mut().push(graph);
            self.new.set(true);
        }
    }

    /// The name or the existence of this project was given.
    #[inline]
    pub(crate) fn project(&self, project: ProjectId) {
        if self.projects_seen.borrow_mut().insert(project) {
            self.projects.borrow_mut().push(project);
            self.new.set(true);
        }
    }

    #[inline]
    pub(crate) fn is_new(&self) -> bool {
        self.new.get()
    }
}

/// Verdicts on one caller by one state of the facts: what was found to be his to see.
#[derive(Debug)]
pub(crate) struct Known {
    caller: Caller,
    today: Day,
    /// The state of the facts, by a counter that the epoch has no part in.
    written: u64,
    found: Mutex<(Bits, FxHashSet<ProjectId>)>,
}

/// Verdicts that are remembered.
pub(crate) type Book = Arc<Mutex<Vec<Arc<Known>>>>;

/// Looks after one query.
pub(crate) struct Guard<'a> {
    snapshot: &'a Snapshot,
    known: Arc<Known>,
}

impl<'a> Guard<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot, visible: &VisibleSet) -> Result<Self, StoreError> {
        let written = snapshot.shared().tables.number(&snapshot.txn, meta::WRITTEN)?;
        let (caller, today) = (visible.caller(), visible.moment().today);
        let book = snapshot.book();
        let mut book = book.lock();
        let same =
            |known: &Arc<Known>| known.written == written && known.today == today && known.caller == *caller;
        let known = match book.iter().position(same) {
            Some(at) => book.remove(at),
            None => {
                book.retain(|known| known.caller != *caller);
                if book.len() >= REMEMBERED {
                    book.remove(0);
                }
                Arc::new(Known {
                    caller: caller.clone(),
                    today,
                    written,
                    found: Mutex::default(),
                })
            }
        };
        book.push(known.clone());
        Ok(Self { snapshot, known })
    }

    /// Looks at what was touched since the last time.
    #[cold]
    pub(crate) fn check(&self, touched: &Touched) -> Result<(), StoreError> {
        touched.new.set(false);
        for graph in touched.graphs.take() {
            if self.known.found.lock().0.contains(graph) {
                continue;
            }
            self.pass(self.project_of(graph)?)?;
            self.known.found.lock().0.insert(graph);
        }
        for project in touched.projects.take() {
            self.pass(project)?;
        }
        Ok(())
    }

    /// An error unless the caller may see the project.
    pub(crate) fn pass(&self, project: ProjectId) -> Result<(), StoreError> {
        if self.known.found.lock().1.contains(&project) {
            return Ok(());
        }
        if !self.may_see(project)? {
            return Err(StoreError::Withheld {
                project,
                caller: self.known.caller.as_str(),
            });
        }
        self.known.found.lock().1.insert(project);
        Ok(())
    }

    fn project_of(&self, graph: Gid) -> Result<ProjectId, StoreError> {
        let tables = &self.snapshot.shared().tables;
        let row = tables.graphs.get(&self.snapshot.txn, &graph.to_be_bytes())?;
        let row = row.ok_or(StoreError::Damaged("a quad is of a graph that is not there"))?;
        Ok(GraphRow::read(row)?.project)
    }

    /// The rules again, in other words and from other rows.
    fn may_see(&self, project: ProjectId) -> Result<bool, StoreError> {
        let caller = &self.known.caller;
        if *caller == Caller::Prober || project == ProjectId::CANARY {
            return Ok(*caller == Caller::Prober && project == ProjectId::CANARY);
        }
        let tables = &self.snapshot.shared().tables;
        let Some(row) = tables
            .facts
            .get(&self.snapshot.txn, &project.get().to_be_bytes())?
        else {
            return Ok(false);
        };
        let mut take = Take(row);
        let (version, _) = (take.u64()?, take.u64()?);
        let code = take.u8()?;
        if code == 0 {
            return Ok(false);
        }
        if *caller == Caller::Administrator || code == 1 + Visibility::Public as u8 {
            return Ok(true);
        }
        let internal = code == 1 + Visibility::Internal as u8;
        let slug = take.text()?;
        let (no_membership, nothing) = self.taken(slug, version)?;
        Ok(match caller {
            _ if nothing => false,
            Caller::User(user) | Caller::External(user) => {
                let mut member = false;
                for _ in 0..take.u32()? {
                    let (who, until) = (take.u32()?, until_of(take.u32()?));
                    member |= who == user.get() && until.is_none_or(|day| self.known.today < day);
                }
                let signed_in = !matches!(caller, Caller::External(_));
                (internal && signed_in) || (member && !no_membership)
            }
            Caller::Service(service) => match &service.grant {
                Grant::Public => false,
                Grant::Internal => internal,
                Grant::Projects(projects) => projects.contains(&project),
            },
            _ => false,
        })
    }

    /// Whether denials take the caller's membership of a project; whether they take everything that is not public.
    fn taken(&self, slug: &str, version: u64) -> Result<(bool, bool), StoreError> {
        let tables = &self.snapshot.shared().tables;
        let path = format!("/{}/", slug.to_lowercase());
        let namespace = &path[..path.trim_end_matches('/').rfind('/').map_or(0, |end| end + 1)];
        let (mut no_membership, mut nothing) = (false, false);
        for row in tables.denials.iter(&self.snapshot.txn)? {
            let mut take = Take(row?.1);
            let (until, who, signed_in, below) = (take.u64()?, take.u32()?, take.u8()?, take.text()?);
            let concerns = who == 0 || self.known.caller.user().is_some_and(|user| user.get() == who);
            if version <= until && concerns && (below.is_empty() || namespace.contains(&format!("/{below}/")))
            {
                no_membership = true;
                nothing |= who == 0 || signed_in != 0;
            }
        }
        Ok((no_membership, nothing))
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
