use std::collections::HashMap;
use std::sync::Arc;

use bus::{Bus, BusError, ReadLimits, Reader, Record, TopicPartition, record_of, restore, value_of};
use events::{Covers, Decoder, LookReason, PROJECT_GRAPHS, PUSH_EVENTS, ProjectGraph, PushEvent};
use model::{Generation, Partition, Position, ProjectId, Timestamp};
use parking_lot::Mutex;
use runtime::{Clock, Stop};
use tokio::sync::mpsc;

use crate::RoleError;
use crate::meters::Meters;
use crate::plan::{Newest, falls};

/// What our own output holds of each project in the partitions that this process has.
#[derive(Default)]
pub(crate) struct OwnOutput {
    newest: Mutex<HashMap<Partition, HashMap<ProjectId, Newest>>>,
}

impl OwnOutput {
    pub(crate) fn newest(&self, partition: Partition, project: ProjectId) -> Option<Newest> {
        self.newest.lock().get(&partition)?.get(&project).copied()
    }

    /// Takes in a record; the larger one stays.
    pub(crate) fn note(&self, partition: Partition, project: ProjectId, seen: Newest) {
        let mut newest = self.newest.lock();
        let known = newest.entry(partition).or_default().entry(project).or_default();
        *known = seen.max(*known);
    }

    pub(crate) fn forget(&self, partition: Partition) {
        self.newest.lock().remove(&partition);
    }

    /// Reads the output of these partitions from its start. Returns where it ended, and the projects whose last record is
    /// not their newest, with the generation of that: whoever had the partition may have ended before it saw that.
    pub(crate) async fn restore(
        &self,
        bus: &dyn Bus,
        partitions: &[Partition],
    ) -> Result<(Vec<Position>, Vec<(ProjectId, Generation)>), BusError> {
        let decoder = Decoder::default();
        let mut fallen: HashMap<ProjectId, Generation> = HashMap::new();
        for partition in partitions {
            self.forget(*partition);
        }
        let ends = restore(
            bus,
            &PROJECT_GRAPHS,
            Some(partitions),
            ReadLimits::default(),
            |record| {
                if let Some((project, seen)) = read(&decoder, &record) {
                    let before = self.newest(record.partition, project);
                    if falls(before, seen) {
                        fallen.insert(project, before.unwrap_or_default().generation);
                    } else {
                        fallen.remove(&project);
                    }
                    self.note(record.partition, project, seen);
                }
            },
        )
        .await?;
        Ok((ends, fallen.into_iter().collect()))
    }
}

/// A record of the output by what counts here. One that cannot be read is skipped: the next one of its project will say.
fn read(decoder: &Decoder, record: &Record) -> Option<(ProjectId, Newest)> {
    match value_of::<ProjectGraph>(decoder, record) {
        Ok(value) => value.map(|graph| {
            let newest = Newest {
                generation: graph.envelope.generation,
                digest: Some(graph.digest()),
            };
            (graph.project_id, newest)
        }),
        Err(error) => {
            let at = record.slot();
            tracing::warn!(topic.partition = %at, record.offset = %record.offset, %error, "own output is not readable");
            None
        }
    }
}

/// Follows the output of the partitions that this process has. When a record falls behind one before it, a process that
/// had lost the partition wrote it: the compacted log would keep the wrong one, so the project is looked at again.
pub(crate) struct Regressions {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meters: Meters,
}

/// Partitions given or taken.
pub(crate) enum Change {
    Given(Given),
    Taken(Vec<Partition>),
}

/// What was in our output when partitions were given.
pub(crate) struct Given {
    /// Where it ended.
    pub(crate) ends: Vec<Position>,
    pub(crate) newest: HashMap<Partition, HashMap<ProjectId, Newest>>,
    /// Projects whose last record is not the newest, with the generation of that.
    pub(crate) fallen: Vec<(ProjectId, Generation)>,
}

impl OwnOutput {
    /// What is known of these partitions.
    pub(crate) fn of(&self, partitions: &[Partition]) -> HashMap<Partition, HashMap<ProjectId, Newest>> {
        let newest = self.newest.lock();
        partitions
            .iter()
            .map(|p| (*p, newest.get(p).cloned().unwrap_or_default()))
            .collect()
    }
}

impl Regressions {
    pub(crate) async fn watch(
        self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        stop: Stop,
    ) -> Result<(), RoleError> {
        let decoder = Decoder::default();
        let mut before: HashMap<Partition, HashMap<ProjectId, Newest>> = HashMap::new();
        let mut reader: Option<Box<dyn Reader>> = None;
        loop {
            tokio::select! {
                () = stop.requested() => return Ok(()),
                change = changes.recv() => {
                    let Some(change) = change else { return Ok(()) };
                    let mut positions = reader.as_ref().map(|r| r.positions()).unwrap_or_default();
                    match change {
                        Change::Given(given) => {
                            positions.retain(|p| !given.newest.contains_key(&p.partition));
                            positions.extend(given.ends);
                            before.extend(given.newest);
                            for (project, floor) in given.fallen {
                                self.fell(project, floor).await?;
                            }
                        }
                        Change::Taken(taken) => {
                            positions.retain(|p| !taken.contains(&p.partition));
                            before.retain(|p, _| !taken.contains(p));
                        }
                    }
                    reader = match positions.is_empty() {
                        true => None,
                        false => Some(self.bus.read(positions, ReadLimits::default()).await?),
                    };
                }
                records = next(&mut reader) => {
                    for record in records? {
                        let Some((project, seen)) = read(&decoder, &record) else { continue };
                        let known = before.entry(record.partition).or_default();
                        let before = known.get(&project).copied();
                        if falls(before, seen) {
                            self.fell(project, before.unwrap_or_default().generation).await?;
                        }
                        let largest = known.entry(project).or_default();
                        *largest = seen.max(*largest);
                    }
                }
            }
        }
    }
}

impl Regressions {
    async fn fell(&self, project: ProjectId, floor: Generation) -> Result<(), RoleError> {
        tracing::warn!(project.id = %project, "the output fell behind, the project is looked at again");
        self.meters.regressed();
        look_again(&*self.bus, self.clock.now(), project, floor, Covers::default()).await
    }
}

/// Asks for another look at a project, later than `floor`, in which its content is made again. It answers for `covers`, too.
pub(crate) async fn look_again(
    bus: &dyn Bus,
    now: Timestamp,
    project: ProjectId,
    floor: Generation,
    covers: Covers,
) -> Result<(), RoleError> {
    let mut event = PushEvent::new(project, LookReason::Regression, now);
    event.envelope.generation = floor;
    event.envelope.covers = covers;
    event.regenerate = true;
    bus.append(vec![record_of(&PUSH_EVENTS, &event, crate::origin(now, None))?])
        .await?;
    Ok(())
}

async fn next(reader: &mut Option<Box<dyn Reader>>) -> Result<Vec<Record>, BusError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// The partitions of our output that go with these partitions of our input: the topics are partitioned alike.
pub(crate) fn output_partitions(partitions: &[TopicPartition]) -> Vec<Partition> {
    let mut numbers: Vec<_> = partitions.iter().map(|p| p.partition).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
