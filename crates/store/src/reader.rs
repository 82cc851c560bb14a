//! Snapshots: data, facts and positions of one moment.

use std::sync::Arc;
use std::time::Instant;

use access::{Caller, Denial, Moment, ProjectAccess, VisibleSet};
use heed::{RoTxn, WithoutTls};
use model::{Day, Digest, LogId, Offset, Partition, Position, ProjectId, Slug, TopicName};
use parking_lot::Mutex;

use crate::change::{Facts, GraphState, Pending};
use crate::environment::Shared;
use crate::error::StoreError;
use crate::faults::{self, Fault};
use crate::guard::{Book, Guard};
use crate::read_rows;
use crate::rights::{self, Rights};
use crate::row::{AccessRow, Take, project_of};
use crate::scope::Scope;
use crate::tables::meta;
use crate::writer::{Applied, offset, partition_key, status_key};

/// How many callers' sets are remembered, the latest used.
const REMEMBERED: usize = 32;

struct Decided {
    visible: Arc<VisibleSet>,
    scope: Arc<Scope>,
}

/// Reads a view. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    decided: Arc<Mutex<Vec<Decided>>>,
    book: Book,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            decided: Arc::default(),
            book: Book::default(),
        }
    }

    /// The state of this moment. Cheap; hold it for one answer only.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let shared = &self.shared;
        let txn = shared
            .env
            .clone()
            .static_read_txn()
            .map_err(|error| match error {
                heed::Error::Mdb(heed::MdbError::ReadersFull) => {
                    StoreError::ReadersFull(shared.options.max_readers)
                }
                other => other.into(),
            })?;
        Ok(Snapshot {
            epoch: shared.tables.number(&txn, meta::EPOCH)?,
            until: Instant::now() + shared.options.snapshot_age,
            txn,
            reader: self.clone(),
        })
    }

    /// Whether the caller of a set may still see all of it.
    pub fn still_holds(&self, visible: &VisibleSet, today: Day) -> Result<bool, StoreError> {
        let snapshot = self.snapshot()?;
        let then = visible.moment();
        if then.epoch == snapshot.epoch && then.today == today {
            return Ok(true);
        }
        Ok(snapshot.visible(visible.caller(), today)?.contains_all(visible))
    }

    /// One of the remembered sets, which then is the latest used.
    fn remembered(&self, of_this: impl Fn(&Decided) -> bool) -> Option<(Arc<VisibleSet>, Arc<Scope>)> {
        let mut decided = self.decided.lock();
        let at = decided.iter().rposition(of_this)?;
        let found = decided.remove(at);
        let both = (found.visible.clone(), found.scope.clone());
        decided.push(found);
        Some(both)
    }

    /// Keeps a set. Older ones of the same caller are of no use but to those who read them now.
    fn remember(&self, new: Decided) {
        let mut decided = self.decided.lock();
        decided.retain(|d| d.visible.caller() != new.visible.caller());
        if decided.len() >= REMEMBERED {
            decided.remove(0);
        }
        decided.push(new);
    }

    /// Bytes that the view takes on disk.
    pub fn disk_size(&self) -> Result<u64, StoreError> {
        Ok(self.shared.env.real_disk_size()?)
    }

    /// The folder.
    pub fn path(&self) -> &std::path::Path {
        &self.shared.path
    }
}

/// Data, facts and positions of one moment. It ends by itself: see `snapshot_age`.
pub struct Snapshot {
    pub(crate) txn: RoTxn<'static, WithoutTls>,
    reader: Reader,
    epoch: u64,
    until: Instant,
}

impl Snapshot {
    pub(crate) fn shared(&self) -> &Shared {
        &self.reader.shared
    }

    pub(crate) fn book(&self) -> &Book {
        &self.reader.book
    }

    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// What a caller may see at this moment, which is on `today`.
    pub fn visible(&self, caller: &Caller, today: Day) -> Result<Arc<VisibleSet>, StoreError> {
        let moment = Moment {
            epoch: self.epoch,
            today,
        };
        let of_this = |d: &Decided| d.visible.caller() == caller && d.visible.moment() == moment;
        if let Some(known) = self.reader.remembered(of_this) {
            return Ok(known.0);
        }
        let (tables, txn) = (&self.shared().tables, &self.txn);
        let rights = Rights::load(tables, txn, caller.user())?;
        let mut facts = Vec::new();
        for row in tables.access.iter(txn)? {
            let (key, row) = row?;
            facts.extend(rights.of(tables, txn, project_of(key)?, &AccessRow::read(row)?)?);
        }
        if faults::is_on(Fault::Decision) {
            for access in &mut facts {
                access.visibility = model::Visibility::Public;
            }
        }
        let visible = Arc::new(VisibleSet::decide(caller.clone(), moment, facts));
        let scope = Arc::new(Scope::load(tables, txn, &visible)?);
        self.reader.remember(Decided {
            visible: visible.clone(),
            scope,
        });
        Ok(visible)
    }

    /// What the decision about one project and one caller follows from; none: there is no such project.
    pub fn rights(&self, caller: &Caller, project: ProjectId) -> Result<Option<ProjectAccess>, StoreError> {
        let (tables, txn) = (&self.shared().tables, &self.txn);
        match read_rows::access(tables, txn, project)? {
            Some(row) => Rights::load(tables, txn, caller.user())?.of(tables, txn, project, &row),
            None => Ok(None),
        }
    }

    /// The record that the facts of a project are of.
    pub fn source(&self, project: ProjectId) -> Result<Option<Position>, StoreError> {
        rights::source(&self.shared().tables, &self.txn, project)
    }

    /// All denials, with the keys of their records.
    pub fn denials(&self) -> Result<Vec<(String, Denial)>, StoreError> {
        rights::denials(&self.shared().tables, &self.txn)
    }

    pub(crate) fn scope(&self, visible: &VisibleSet) -> Result<Arc<Scope>, StoreError> {
        if visible.moment().epoch != self.epoch {
            return Err(StoreError::OtherEpoch {
                set: visible.moment().epoch,
                snapshot: self.epoch,
            });
        }
        let same = |d: &Decided| std::ptr::eq(&*d.visible, visible) || *d.visible == *visible;
        if let Some(known) = self.reader.remembered(same) {
            return Ok(known.1);
        }
        Ok(Arc::new(Scope::load(&self.shared().tables, &self.txn, visible)?))
    }

    /// The visible project of that slug. Hidden and absent are the same.
    pub fn project_by_slug(
        &self,
        visible: &VisibleSet,
        slug: &Slug,
    ) -> Result<Option<ProjectId>, StoreError> {
        read_rows::project_of_slug(&self.shared().tables, &self.txn, slug, |project| {
            visible.contains(project)
        })
    }

    /// The facts of a visible project.
    pub fn facts(&self, visible: &VisibleSet, project: ProjectId) -> Result<Option<Facts>, StoreError> {
        if !visible.contains(project) {
            return Ok(None);
        }
        Guard::of(self, visible)?.pass(project)?;
        read_rows::facts(&self.shared().tables, &self.txn, project)
    }

    /// What is applied of a visible project.
    pub fn applied(
        &self,
        visible: &VisibleSet,
        project: ProjectId,
    ) -> Result<Option<GraphState>, StoreError> {
        if !visible.contains(project) {
            return Ok(None);
        }
        Guard::of(self, visible)?.pass(project)?;
        read_rows::applied(&self.shared().tables, &self.txn, project)
    }

    /// Name and row of every status of a visible project, by name.
    pub fn statuses(
        &self,
        visible: &VisibleSet,
        project: ProjectId,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        if !visible.contains(project) {
            return Ok(Vec::new());
        }
        Guard::of(self, visible)?.pass(project)?;
        let prefix = status_key(project, "");
        let mut statuses = Vec::new();
        for row in self.shared().tables.status.prefix_iter(&self.txn, &prefix)? {
            let (key, row) = row?;
            let name = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            statuses.push((name, row.to_vec()));
        }
        Ok(statuses)
    }

    /// The writer's note on a project: which push events are answered for. It says nothing about the project itself, and is
    /// asked for by those who wait, whoever they are.
    pub fn note(&self, project: ProjectId) -> Result<Option<Vec<u8>>, StoreError> {
        let id = project.get().to_be_bytes();
        Ok(self
            .shared()
            .tables
            .notes
            .get(&self.txn, &id)?
            .map(<[u8]>::to_vec))
    }

    /// The log that the positions are of; None: nothing was ever applied.
    pub fn log(&self) -> Result<Option<LogId>, StoreError> {
        let Some(bytes) = self.shared().tables.meta.get(&self.txn, meta::LOG)? else {
            return Ok(None);
        };
        bytes
            .try_into()
            .map(|bytes| Some(LogId(u128::from_be_bytes(bytes))))
            .map_err(|_| StoreError::Damaged("the log's id is not 16 bytes"))
    }

    /// Where reading goes on, for every partition that was ever read.
    pub fn positions(&self) -> Result<Vec<Position>, StoreError> {
        let mut positions = Vec::new();
        for row in self.shared().tables.positions.iter(&self.txn)? {
            let (key, next) = row?;
            positions.push(Position {
                topic: topic_of(key)?,
                partition: partition_of(key)?,
                next: offset(next)?,
            });
        }
        Ok(positions)
    }

    /// Where reading of one partition goes on.
    pub fn position(&self, topic: &TopicName, partition: Partition) -> Result<Option<Offset>, StoreError> {
        let key = partition_key(topic, partition);
        self.shared()
            .tables
            .positions
            .get(&self.txn, &key)?
            .map(offset)
            .transpose()
    }

    /// Records that were left out: the position of each, and why.
    pub fn rejects(&self) -> Result<Vec<(Position, String)>, StoreError> {
        let mut rejects = Vec::new();
        for row in self.shared().tables.rejects.iter(&self.txn)? {
            let (key, reason) = row?;
            let cut = key.len().saturating_sub(8);
            rejects.push((
                Position {
                    topic: topic_of(&key[..cut])?,
                    partition: partition_of(&key[..cut])?,
                    next: offset(&key[cut..])?,
                },
                String::from_utf8_lossy(reason).into_owned(),
            ));
        }
        Ok(rejects)
    }

    /// The graph record of a project that waits for facts. For operators and tests.
    pub fn pending(&self, project: ProjectId) -> Result<Option<Pending>, StoreError> {
        read_rows::pending(&self.shared().tables, &self.txn, project)
    }

    /// Which generations of a project were applied, each how often; the newest first. For tests.
    pub fn applied_log(&self, project: ProjectId) -> Result<Vec<Applied>, StoreError> {
        let prefix = project.get().to_be_bytes();
        let mut log = Vec::new();
        for row in self.shared().tables.log.rev_prefix_iter(&self.txn, &prefix)? {
            let (key, times) = row?;
            log.push((Take(&key[4..]).generation()?, Take(times).u32()?));
        }
        Ok(log)
    }

    /// Every project that has facts or a graph, by id.
    pub(crate) fn all_projects(&self) -> Result<std::collections::BTreeSet<ProjectId>, StoreError> {
        let mut projects = std::collections::BTreeSet::new();
        let tables = &self.shared().tables;
        for table in [tables.facts, tables.applied] {
            for row in table.iter(&self.txn)? {
                projects.insert(project_of(row?.0)?);
            }
        }
        // It is no project of the log.
        projects.remove(&ProjectId::CANARY);
        Ok(projects)
    }

    pub(crate) fn rows(&self, project: ProjectId) -> Result<(Option<Facts>, Option<GraphState>), StoreError> {
        let tables = &self.shared().tables;
        Ok((
            read_rows::facts(tables, &self.txn, project)?,
            read_rows::applied(tables, &self.txn, project)?,
        ))
    }

    /// The digest of nothing.
    pub(crate) const NO_DIGEST: Digest = Digest::new([0; 32]);
}

fn topic_of(key: &[u8]) -> Result<TopicName, StoreError> {
    let damaged = || StoreError::Damaged("a position has no topic");
    let end = key.len().checked_sub(5).ok_or_else(damaged)?;
    std::str::from_utf8(&key[..end])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(damaged)
}

fn partition_of(key: &[u8]) -> Result<Partition, StoreError> {
    let from = key.len().saturating_sub(4);
    Take(&key[from..]).u32().map(Partition::new)
}
