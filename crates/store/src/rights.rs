//! Rows that say who may see what: members by user, denials, and where facts came from.

use access::{Denial, Denied, GroupPath, Membership, ProjectAccess};
use heed::{RoTxn, RwTxn};
use model::{Generation, Position, ProjectId, StateVersion, Timestamp, UserId};

use crate::change::{Facts, FactsMember, until_code, until_of};
use crate::error::StoreError;
use crate::faults::{self, Fault};
use crate::row::{AccessRow, Put, Take, project_of};
use crate::tables::{Tables, meta};
use crate::writer::WriteBatch;

/// How long a denial is kept at least: no view is older, so that facts it has still to see may be older than the denial.
const KEPT_AT_LEAST: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

fn member_key(user: UserId, project: ProjectId) -> Vec<u8> {
    Put::default().u32(user.get()).u32(project.get()).0
}

/// Puts the members of a project in place of those before.
pub(crate) fn set_members(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    project: ProjectId,
    before: &[FactsMember],
    now: &[FactsMember],
) -> Result<bool, StoreError> {
    let mut changed = false;
    for member in before {
        if !now.iter().any(|now| now.user == member.user) && !faults::is_on(Fault::Members) {
            changed |= tables.members.delete(txn, &member_key(member.user, project))?;
        }
    }
    for member in now {
        let (key, row) = (
            member_key(member.user, project),
            until_code(member.until).to_be_bytes(),
        );
        if tables.members.get(txn, &key)? != Some(&row[..]) {
            tables.members.put(txn, &key, &row)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// What is to be known for a decision about one caller.
pub(crate) struct Rights {
    user: Option<UserId>,
    /// By project.
    memberships: Vec<(ProjectId, Membership)>,
    /// Those that may matter to the user.
    denials: Vec<Denial>,
}

impl Rights {
    pub(crate) fn load(tables: &Tables, txn: &RoTxn<'_>, user: Option<UserId>) -> Result<Self, StoreError> {
        let mut memberships = Vec::new();
        if let Some(user) = user {
            for row in tables.members.prefix_iter(txn, &user.get().to_be_bytes())? {
                let (key, row) = row?;
                let until = until_of(Take(row).u32()?);
                memberships.push((project_of(&key[4..])?, Membership { until }));
            }
        }
        let denials = denials(tables, txn)?
            .into_iter()
            .map(|(_, denial)| denial)
            .filter(|denial| denial.user.is_none() || denial.user == user)
            .collect();
        Ok(Self {
            user,
            memberships,
            denials,
        })
    }

    /// None: the project is visible to nobody.
    pub(crate) fn of(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_>,
        project: ProjectId,
        row: &AccessRow<'_>,
    ) -> Result<Option<ProjectAccess>, StoreError> {
        let Some(visibility) = row.visibility else {
            return Ok(None);
        };
        let membership = self
            .memberships
            .binary_search_by_key(&project, |(project, _)| *project)
            .ok()
            .map(|at| self.memberships[at].1);
        Ok(Some(ProjectAccess {
            project,
            visibility,
            membership,
            denied: self.denied(tables, txn, project, row)?,
        }))
    }

    fn denied(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_>,
        project: ProjectId,
        row: &AccessRow<'_>,
    ) -> Result<Denied, StoreError> {
        if self.denials.is_empty() || faults::is_on(Fault::Denials) {
            return Ok(Denied::Nothing);
        }
        let Ok(slug) = row.slug.parse() else {
            return Ok(Denied::SignedIn);
        };
        let version = facts_version(tables, txn, project)?;
        let takes = self
            .denials
            .iter()
            .map(|denial| denial.takes(self.user, &slug, version));
        Ok(takes.max().unwrap_or_default())
    }
}

/// The version of the facts that hold; 0 without.
pub(crate) fn facts_version(
    tables: &Tables,
    txn: &RoTxn<'_>,
    project: ProjectId,
) -> Result<StateVersion, StoreError> {
    match tables.facts.get(txn, &project.get().to_be_bytes())? {
        Some(row) => Take(row).generation(),
        None => Ok(StateVersion::default()),
    }
}

/// All denials, with the keys of their records.
pub(crate) fn denials(tables: &Tables, txn: &RoTxn<'_>) -> Result<Vec<(String, Denial)>, StoreError> {
    let mut denials = Vec::new();
    for row in tables.denials.iter(txn)? {
        let (key, row) = row?;
        denials.push((String::from_utf8_lossy(key).into_owned(), read_denial(row)?));
    }
    Ok(denials)
}

fn write_denial(denial: &Denial) -> Vec<u8> {
    let below = denial.below.as_ref().map_or("", GroupPath::as_str);
    Put::default()
        .u64(denial.version.get())
        .u32(denial.user.map_or(0, UserId::get))
        .u8(denial.signed_in.into())
        .bytes(below.as_bytes())
        .0
}

fn read_denial(row: &[u8]) -> Result<Denial, StoreError> {
    let mut take = Take(row);
    let (version, user, signed_in) = (take.generation()?, take.u32()?, take.u8()? != 0);
    let below = take.text()?;
    Ok(Denial {
        user: match user {
            0 => None,
            number => Some(crate::change::user_of(number)?),
        },
        below: match below {
            "" => None,
            path => Some(GroupPath::new(path).ok_or(StoreError::Damaged("a denial is below no group"))?),
        },
        signed_in,
        version,
    })
}

impl WriteBatch<'_> {
    /// Notes a denial. Of two of one key the later version holds. `key` is the record's, of at most 480 bytes.
    pub fn deny(&mut self, key: &str, denial: &Denial) -> Result<bool, StoreError> {
        let tables = self.shared.tables;
        let key: Vec<u8> = key.bytes().take(480).collect();
        let known = match tables.denials.get(&self.txn, &key)? {
            Some(row) => read_denial(row)?.version >= denial.version,
            None => false,
        };
        if known {
            return Ok(false);
        }
        tables.denials.put(&mut self.txn, &key, &write_denial(denial))?;
        self.new_epoch = true;
        self.note_written()?;
        Ok(true)
    }

    /// Whether a denial may take something of a project whose facts are of that version.
    pub(crate) fn may_be_denied(&self, facts: StateVersion) -> Result<bool, StoreError> {
        let denials = denials(&self.shared.tables, &self.txn)?;
        Ok(denials.iter().any(|(_, denial)| denial.version >= facts))
    }

    /// Forgets denials that take nothing any more: old enough, and every project below has later facts. How many are left.
    pub fn forget_denials(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let tables = self.shared.tables;
        let all = denials(&tables, &self.txn)?;
        let mut left = all.len();
        let old = |denial: &Denial| {
            denial.version
                < Generation::new(
                    now.micros_since_epoch()
                        .saturating_sub(u64::try_from(KEPT_AT_LEAST.as_micros()).unwrap_or(u64::MAX)),
                )
        };
        for (key, denial) in all.iter().filter(|(_, denial)| old(denial)) {
            if !self.still_takes(denial)? {
                tables.denials.delete(&mut self.txn, key.as_bytes())?;
                left -= 1;
            }
        }
        Ok(left)
    }

    fn still_takes(&self, denial: &Denial) -> Result<bool, StoreError> {
        let tables = &self.shared.tables;
        for row in tables.access.iter(&self.txn)? {
            let (key, row) = row?;
            let (project, row) = (project_of(key)?, AccessRow::read(row)?);
            let Ok(slug) = row.slug.parse() else { continue };
            let version = facts_version(tables, &self.txn, project)?;
            if denial.takes(denial.user, &slug, version) > Denied::Nothing {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes of which record the facts are, for those who ask why.
    pub fn put_source(&mut self, project: ProjectId, at: &Position) -> Result<(), StoreError> {
        let row = Put::default()
            .bytes(at.topic.as_str().as_bytes())
            .u32(at.partition.get())
            .u64(at.next.get())
            .0;
        let id = project.get().to_be_bytes();
        Ok(self.shared.tables.sources.put(&mut self.txn, &id, &row)?)
    }

    /// Counts a change of facts or denials, for the guard.
    pub(crate) fn note_written(&mut self) -> Result<(), StoreError> {
        let tables = &self.shared.tables;
        let written = tables.number(&self.txn, meta::WRITTEN)?;
        tables.set_number(&mut self.txn, meta::WRITTEN, written + 1)
    }

    /// The members before, the members now: puts them in place of each other.
    pub(crate) fn replace_members(
        &mut self,
        project: ProjectId,
        before: Option<&Facts>,
        now: &Facts,
    ) -> Result<(), StoreError> {
        let of = |facts: &Facts| {
            facts
                .live
                .as_ref()
                .map(|live| live.members.clone())
                .unwrap_or_default()
        };
        let before = before.map(of).unwrap_or_default();
        let changed = set_members(&self.shared.tables, &mut self.txn, project, &before, &of(now))?;
        self.new_epoch |= changed;
        self.note_written()
    }
}

/// The record that the facts of a project are of.
pub(crate) fn source(
    tables: &Tables,
    txn: &RoTxn<'_>,
    project: ProjectId,
) -> Result<Option<Position>, StoreError> {
    let Some(row) = tables.sources.get(txn, &project.get().to_be_bytes())? else {
        return Ok(None);
    };
    let mut take = Take(row);
    let damaged = || StoreError::Damaged("facts have no position");
    Ok(Some(Position {
        topic: take.text()?.parse().map_err(|_| damaged())?,
        partition: model::Partition::new(take.u32()?),
        next: model::Offset::new(take.u64()?),
    }))
}
