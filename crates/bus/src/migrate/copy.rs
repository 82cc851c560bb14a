use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use events::PartitionBy;
use model::{Offset, Partition, TopicName};

use super::MigrateError;
use super::map::{Entry, PositionMap};
use crate::worker::ResolvedHeaders;
use crate::{Bus, Extent, NewRecord, ReadLimits, Record, TopicPartition, behind, restore};

/// What is copied, and how.
#[derive(Clone, Debug)]
pub struct CopyTopic {
    /// The old topic.
    pub from: TopicName,
    /// The new one. It is there already.
    pub to: TopicName,
    /// What chooses the partition.
    pub partition_by: PartitionBy,
    /// How long nobody may have written until the copy is believed to be whole.
    pub quiet: Duration,
}

/// How far a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyProgress {
    /// Records copied by this run.
    pub records: u64,
    /// Old offsets that are passed, those of earlier runs too.
    pub passed: u64,
    /// Old offsets that there are.
    pub total: u64,
}

/// A copy that is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Copied {
    /// Records copied by this run.
    pub records: u64,
    /// Parked records that were dealt with, and notes about them: they are left behind.
    pub left_behind: u64,
}

/// Copies what the map does not have yet. Records keep key, value, headers and time; what is of one key stays in order.
/// If it breaks off, the same call goes on; a few records may then be there twice, which readers bear.
///
/// # Errors
/// [`MigrateError::StillWritten`] when the old topic grows: the copy is good as far as it is, and goes on with the next call.
pub async fn copy(
    bus: &dyn Bus,
    what: &CopyTopic,
    map: &mut PositionMap,
    mut told: impl FnMut(CopyProgress),
) -> Result<Copied, MigrateError> {
    let extents = bus.extents(&what.from).await?;
    if map.is_empty() {
        let holds = |extent: &Extent| extent.end > extent.start;
        if bus.extents(&what.to).await?.iter().any(holds) {
            return Err(MigrateError::NotEmpty {
                topic: what.to.clone(),
            });
        }
    }
    quiet(bus, what, &extents).await?;
    let resolved = resolved(bus, &what.from).await?;
    let mut copied = Copied::default();
    let from: Vec<_> = extents
        .iter()
        .map(|extent| {
            let next = map.next(extent.partition).unwrap_or_default().max(extent.start);
            slot(&what.from, extent.partition).at(next.min(extent.end))
        })
        .collect();
    let mut reader = bus.read(from, ReadLimits::default()).await?;
    let total = behind(&what.from, &[], &extents);
    loop {
        let left = behind(&what.from, &reader.positions(), &extents);
        told(CopyProgress {
            records: copied.records,
            passed: total.saturating_sub(left),
            total,
        });
        if left == 0 {
            break;
        }
        let (mut places, mut records) = (Vec::new(), Vec::new());
        for record in reader.next().await? {
            let place = (record.partition, record.offset);
            if resolved.contains(&place) || ResolvedHeaders::resolves(&record).is_some() {
                copied.left_behind += 1;
                continue;
            }
            places.push(place);
            records.push(of(record, what));
        }
        if records.is_empty() {
            continue;
        }
        let appended = bus.append(records).await?;
        let entries: Vec<_> = places
            .into_iter()
            .zip(appended)
            .map(|(from, after)| Entry {
                from,
                // Positions are those after each record.
                to: (after.partition, Offset::new(after.next.get().saturating_sub(1))),
            })
            .collect();
        map.add(&entries)?;
        copied.records += entries.len() as u64;
    }
    quiet(bus, what, &extents).await?;
    map.finish()?;
    Ok(copied)
}

/// Fails unless nothing was written since `extents` and for a while.
async fn quiet(bus: &dyn Bus, what: &CopyTopic, extents: &[Extent]) -> Result<(), MigrateError> {
    tokio::time::sleep(what.quiet).await;
    let ends = |extents: &[Extent]| -> BTreeMap<Partition, Offset> {
        extents
            .iter()
            .map(|extent| (extent.partition, extent.end))
            .collect()
    };
    if ends(&bus.extents(&what.from).await?) == ends(extents) {
        return Ok(());
    }
    Err(MigrateError::StillWritten {
        topic: what.from.clone(),
    })
}

/// Parked records that were dealt with. Notes name them by their offsets, which mean nothing in a copy: both stay behind.
async fn resolved(bus: &dyn Bus, from: &TopicName) -> Result<BTreeSet<(Partition, Offset)>, MigrateError> {
    let mut resolved = BTreeSet::new();
    if from.as_str().ends_with(".parked") {
        restore(bus, from, None, ReadLimits::default(), |record| {
            if let Some(offset) = ResolvedHeaders::resolves(&record) {
                resolved.insert((record.partition, offset));
            }
        })
        .await?;
    }
    Ok(resolved)
}

fn of(record: Record, what: &CopyTopic) -> NewRecord {
    let hashed = what.partition_by.of_key(&record.key);
    let partition_by = (hashed.len() != record.key.len()).then(|| Bytes::copy_from_slice(hashed));
    NewRecord {
        topic: what.to.clone(),
        partition_by,
        key: record.key,
        value: record.value,
        headers: record.headers,
        timestamp: record.timestamp,
    }
}

fn slot(topic: &TopicName, partition: Partition) -> TopicPartition {
    TopicPartition {
        topic: topic.clone(),
        partition,
    }
}
