//! Rows that reader and writer both read.

use heed::RoTxn;
use model::{ProjectId, Slug};
use sha2::Digest as _;

use crate::change::{Facts, GraphState, Pending};
use crate::error::StoreError;
use crate::row::{AccessRow, Take, project_of};
use crate::tables::Tables;

pub(crate) fn facts(
    tables: &Tables,
    txn: &RoTxn<'_>,
    project: ProjectId,
) -> Result<Option<Facts>, StoreError> {
    tables
        .facts
        .get(txn, &project.get().to_be_bytes())?
        .map(Facts::read)
        .transpose()
}

pub(crate) fn applied(
    tables: &Tables,
    txn: &RoTxn<'_>,
    project: ProjectId,
) -> Result<Option<GraphState>, StoreError> {
    tables
        .applied
        .get(txn, &project.get().to_be_bytes())?
        .map(GraphState::read)
        .transpose()
}

pub(crate) fn pending(
    tables: &Tables,
    txn: &RoTxn<'_>,
    project: ProjectId,
) -> Result<Option<Pending>, StoreError> {
    tables
        .pending
        .get(txn, &project.get().to_be_bytes())?
        .map(Pending::read)
        .transpose()
}

pub(crate) fn access<'t>(
    tables: &Tables,
    txn: &'t RoTxn<'_>,
    project: ProjectId,
) -> Result<Option<AccessRow<'t>>, StoreError> {
    tables
        .access
        .get(txn, &project.get().to_be_bytes())?
        .map(AccessRow::read)
        .transpose()
}

/// Keys end at 511 bytes, slugs at 1,024.
const LONGEST_IN_KEY: usize = 480;

/// The key of a slug, or of one project that has it.
pub(crate) fn slug_key(slug: &str, project: Option<ProjectId>) -> Vec<u8> {
    let mut key = match slug.len() {
        ..=LONGEST_IN_KEY => slug.as_bytes().to_vec(),
        _ => sha2::Sha256::digest(slug.as_bytes()).to_vec(),
    };
    key.push(0);
    if let Some(project) = project {
        key.extend_from_slice(&project.get().to_be_bytes());
    }
    key
}

/// The project that has a slug, among those that `seen` lets pass. For a moment after a rename two may have it: the one
/// whose facts are later.
pub(crate) fn project_of_slug(
    tables: &Tables,
    txn: &RoTxn<'_>,
    slug: &Slug,
    seen: impl Fn(ProjectId) -> bool,
) -> Result<Option<ProjectId>, StoreError> {
    let prefix = slug_key(slug.as_str(), None);
    let mut best = None;
    let from = (std::ops::Bound::Included(&prefix[..]), std::ops::Bound::Unbounded);
    for (at, row) in tables.slugs.range(txn, &from)?.enumerate() {
        let (key, version) = row?;
        let is_it = key.starts_with(&prefix);
        if at > 0 && !is_it {
            break;
        }
        // A slug that nobody has costs as much as one that is hidden: its neighbour is looked at in its place.
        let project = project_of(&key[key.len().saturating_sub(4)..])?;
        if seen(project) && is_it {
            best = best.max(Some((Take(version).u64()?, project)));
        }
    }
    Ok(best.map(|(_, project)| project))
}
