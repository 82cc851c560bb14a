//! Following graphs: prepare beside the writer, commit, and when a partition cannot go on, let the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{ReadLimits, Record, TopicPartition};
use events::Decoder;
use model::{Offset, Partition, ProjectId};
use runtime::{BoxError, failpoint};
use tokio::sync::mpsc;

use crate::asked::Asked;
use crate::batch::{Newest, Read, newest};
use crate::decode;
use crate::follow::{FIRST_WAIT, Following, LONGEST_WAIT};
use crate::large::{LargeJob, Loaded};
use crate::prepare::{PrepareError, Prepared, Preparer};
use crate::sorted::Sorted;
use crate::view::ViewError;
use crate::work::{Batch, GraphChange, GraphItem, Item};
use crate::writing::Order;

/// Bytes of texts prepared before they are committed.
const AT_ONCE: u64 = 32 << 20;

/// Of so many graphs that wait for facts it is remembered who asked for them.
const MOST_HELD: usize = 4_096;

/// What waits for a passing fault to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Waiting {
    /// Everything of a partition from where its position stands.
    Partition(Partition),
    /// A graph whose facts have come.
    Project(ProjectId),
}

struct Blocked {
    until: Duration,
    tries: u32,
    why: String,
    /// Already tried again; kept for the count of tries until it works.
    running: bool,
}

/// The follower of graphs.
pub(crate) struct Graphs {
    pub following: Following,
    pub preparer: Preparer,
    pub wake: mpsc::UnboundedReceiver<ProjectId>,
    pub jobs: mpsc::Sender<LargeJob>,
    pub loaded: mpsc::Receiver<Loaded>,
    blocked: BTreeMap<Waiting, Blocked>,
    /// What asked for graphs that wait for their facts.
    held: BTreeMap<ProjectId, Asked>,
    /// Partitions with large graphs on their way in: their readers stand further than what is applied.
    loading: BTreeSet<Partition>,
}

enum Event {
    Wake(ProjectId),
    Loaded(Loaded),
    TryAgain,
    Read(Result<Vec<Record>, bus::BusError>),
    Stop,
}

impl Graphs {
    pub(crate) fn new(
        following: Following,
        preparer: Preparer,
        wake: mpsc::UnboundedReceiver<ProjectId>,
        jobs: mpsc::Sender<LargeJob>,
        loaded: mpsc::Receiver<Loaded>,
    ) -> Self {
        Self {
            following,
            preparer,
            wake,
            jobs,
            loaded,
            blocked: BTreeMap::new(),
            held: BTreeMap::new(),
            loading: BTreeSet::new(),
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), BoxError> {
        self.tell();
        let waiting = self.preparer.projects_waiting()?;
        for project in &waiting {
            self.following.readiness.waking(*project);
        }
        for project in waiting {
            self.woken(project).await?;
        }
        let mut wait = FIRST_WAIT;
        loop {
            match self.event().await {
                Event::Stop => return Ok(()),
                Event::Wake(project) => self.woken(project).await?,
                Event::Loaded(loaded) => self.loaded(loaded).await,
                Event::TryAgain => self.try_again().await?,
                Event::Read(read) => {
                    if let Some(records) = self.following.outlast(read, &mut wait).await? {
                        self.take(records).await?;
                        failpoint!("graph-writer.before-next-poll")?;
                    }
                }
            }
        }
    }

    async fn event(&mut self) -> Event {
        let clock = &self.following.edges.clock;
        let next = self
            .blocked
            .values()
            .filter(|blocked| !blocked.running)
            .map(|blocked| blocked.until)
            .min();
        let alarm = clock.sleep(next.unwrap_or_default().saturating_sub(clock.monotonic()));
        tokio::select! {
            biased;
            () = self.following.stop.requested() => Event::Stop,
            Some(loaded) = self.loaded.recv() => Event::Loaded(loaded),
            Some(project) = self.wake.recv() => Event::Wake(project),
            () = alarm, if next.is_some() => Event::TryAgain,
            read = self.following.reader.next() => Event::Read(read),
        }
    }

    async fn take(&mut self, records: Vec<Record>) -> Result<(), BoxError> {
        let decoder = Decoder::default();
        let mut first: BTreeMap<Partition, Offset> = BTreeMap::new();
        let (mut reads, mut sorted) = (Vec::new(), Sorted::default());
        let now = self.following.edges.clock.now();
        for record in &records {
            first.entry(record.partition).or_insert(record.offset);
            match decode::graph(&decoder, record) {
                Some(Ok(mut read)) => {
                    read.asked.since = Some(now);
                    reads.push(read);
                }
                Some(Err(item)) => sorted.items.push(item),
                None => self
                    .following
                    .counters
                    .records
                    .with_label_values(&[self.following.part, "tombstone"])
                    .inc(),
            }
        }
        let mut positions = self.following.progress.moved(self.following.reader.positions());
        positions.retain(|position| !self.loading.contains(&position.partition));
        for newest in newest(reads).into_values() {
            let partition = newest.read.partition;
            if sorted.failed.contains_key(&partition) {
                continue;
            }
            self.sort(newest, partition, &mut sorted).await?;
            if sorted.bytes > AT_ONCE {
                let batch = Batch {
                    items: std::mem::take(&mut sorted.items),
                    positions: Vec::new(),
                };
                sorted.bytes = 0;
                if !self.commit(batch).await? {
                    return self.start_over(&first).await;
                }
            }
        }
        let held =
            |partition| sorted.failed.contains_key(&partition) || sorted.large.contains_key(&partition);
        let (held, free): (Vec<_>, Vec<_>) = positions
            .into_iter()
            .partition(|position| held(position.partition));
        let batch = Batch {
            items: sorted.items,
            positions: free.clone(),
        };
        if !self.commit(batch).await? {
            return self.start_over(&first).await;
        }
        for position in &free {
            self.blocked.remove(&Waiting::Partition(position.partition));
        }
        for (partition, why) in sorted.failed {
            sorted.large.remove(&partition);
            self.block_partition(partition, first.get(&partition).copied().unwrap_or_default(), why)
                .await?;
        }
        for (partition, items) in sorted.large {
            let positions = held
                .iter()
                .filter(|position| position.partition == partition)
                .cloned()
                .collect();
            let from = first.get(&partition).copied().unwrap_or_default();
            self.following.reader.pause(&[self.slot(partition)]);
            self.loading.insert(partition);
            self.load(LargeJob {
                waiting: Waiting::Partition(partition),
                from,
                items,
                positions,
            })
            .await;
        }
        self.following.applied(&free);
        self.tell();
        Ok(())
    }

    /// Prepares one project's graph and puts it where it belongs.
    async fn sort(
        &mut self,
        newest: Newest,
        partition: Partition,
        sorted: &mut Sorted,
    ) -> Result<(), BoxError> {
        let (offset, key) = (newest.read.offset, newest.read.graph.project_id);
        let at = self.slot(partition).at(offset);
        match self.preparer.prepare(newest, Some(at)).await {
            Ok(Prepared::Small(item)) => {
                if matches!(item.change, GraphChange::Hold) && self.held.len() < MOST_HELD {
                    self.held.insert(key, item.asked.clone());
                }
                sorted.push(item);
            }
            Ok(Prepared::Large(large)) => sorted.large.entry(partition).or_default().push(large),
            Ok(Prepared::Missing(mut item)) => match self.superseded(partition, offset, key).await {
                Ok(superseded) => {
                    if superseded {
                        item.change = GraphChange::Nothing;
                    }
                    sorted.push(item);
                }
                Err(error) if error.is_transient() => {
                    sorted.failed.insert(partition, error.to_string());
                }
                Err(error) => return Err(error.into()),
            },
            Err(error) => {
                sorted.failed.insert(partition, passing(error)?);
            }
        }
        Ok(())
    }

    /// Whether the log has a later record of the project by now.
    async fn superseded(
        &mut self,
        partition: Partition,
        after: Offset,
        project: ProjectId,
    ) -> Result<bool, bus::BusError> {
        let (bus, slot) = (self.following.bus.clone(), self.slot(partition));
        let extents = bus.extents(&slot.topic).await?;
        let Some(end) = extents
            .iter()
            .find(|extent| extent.partition == partition)
            .map(|extent| extent.end)
        else {
            return Ok(false);
        };
        let mut reader = bus
            .read(vec![slot.at(after.next())], ReadLimits::default())
            .await?;
        let key = project.to_string();
        while reader
            .positions()
            .first()
            .is_some_and(|position| position.next < end)
        {
            if reader
                .next()
                .await?
                .iter()
                .any(|record| record.key == key.as_bytes())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The facts of a project have come: its graph may go in.
    async fn woken(&mut self, project: ProjectId) -> Result<(), BoxError> {
        let waiting = Waiting::Project(project);
        let Some((graph, bytes)) = self.preparer.waiting(project)? else {
            self.concluded(project);
            return Ok(());
        };
        let read = Read {
            partition: Partition::new(0),
            offset: Offset::default(),
            graph,
            bytes,
            asked: Asked::default(),
        };
        let newest = Newest {
            read,
            covers: Vec::new(),
            superseded: 0,
            asked: self.held.get(&project).cloned().unwrap_or_default(),
        };
        match self.preparer.prepare(newest, None).await {
            Ok(Prepared::Small(GraphItem {
                change: GraphChange::Hold,
                ..
            })) => {}
            Ok(Prepared::Small(item) | Prepared::Missing(item)) => {
                let batch = Batch {
                    items: vec![Item::Graph(Box::new(item))],
                    positions: Vec::new(),
                };
                if !self.commit(batch).await? {
                    self.block(waiting, "its graph changed meanwhile".to_owned());
                    return Ok(());
                }
            }
            Ok(Prepared::Large(item)) => {
                let from = Offset::default();
                self.load(LargeJob {
                    waiting,
                    from,
                    items: vec![item],
                    positions: Vec::new(),
                })
                .await;
                return Ok(());
            }
            Err(error) => {
                self.block(waiting, passing(error)?);
                return Ok(());
            }
        }
        self.concluded(project);
        self.tell();
        Ok(())
    }

    fn concluded(&mut self, project: ProjectId) {
        self.held.remove(&project);
        self.blocked.remove(&Waiting::Project(project));
        self.following.readiness.woken(project);
    }

    async fn load(&mut self, job: LargeJob) {
        // The loading task ends before this one only when the process stops.
        let _ = self.jobs.send(job).await;
    }

    async fn loaded(&mut self, loaded: Loaded) {
        let waiting = loaded.job_waiting;
        if let Waiting::Partition(partition) = waiting {
            self.loading.remove(&partition);
        }
        match (waiting, loaded.outcome) {
            (Waiting::Partition(partition), Ok(())) => {
                self.blocked.remove(&waiting);
                self.following.reader.resume(&[self.slot(partition)]);
                self.following.applied(&loaded.positions);
            }
            (Waiting::Project(project), Ok(())) => self.concluded(project),
            (Waiting::Partition(partition), Err(why)) => {
                if let Err(error) = self.block_partition(partition, loaded.from, why).await {
                    tracing::error!(%error, %partition, "partition cannot be read again");
                }
            }
            (Waiting::Project(_), Err(why)) => self.block(waiting, why),
        }
        self.tell();
    }

    /// Commits. False: what was prepared is stale.
    async fn commit(&mut self, batch: Batch) -> Result<bool, BoxError> {
        if batch.items.is_empty() && batch.positions.is_empty() {
            return Ok(true);
        }
        let (stop, lane) = (self.following.stop.clone(), self.following.lane.clone());
        let asked = stop.or(lane.ask(|reply| Order::Commit(batch, reply))).await;
        match asked {
            Some(Ok(Ok(_))) => Ok(true),
            Some(Ok(Err(ViewError::Stale(project)))) => {
                tracing::info!(project.id = %project, "graph changed while a difference was taken, taking it again");
                Ok(false)
            }
            Some(Ok(Err(error))) if !stop.is_requested() => Err(error.into()),
            // Stopping: nothing is noted as applied any more, and the next event ends the task.
            _ => Ok(true),
        }
    }

    /// Reads the batch again from its beginning.
    async fn start_over(&mut self, first: &BTreeMap<Partition, Offset>) -> Result<(), BoxError> {
        for (partition, offset) in first {
            let position = self.slot(*partition).at(*offset);
            self.following.reader.seek(position).await?;
        }
        Ok(())
    }

    async fn block_partition(
        &mut self,
        partition: Partition,
        from: Offset,
        why: String,
    ) -> Result<(), BoxError> {
        let slot = self.slot(partition);
        self.following.reader.seek(slot.at(from)).await?;
        self.following.reader.pause(&[slot]);
        self.block(Waiting::Partition(partition), why);
        Ok(())
    }

    fn block(&mut self, waiting: Waiting, why: String) {
        let tries = self.blocked.get(&waiting).map_or(0, |blocked| blocked.tries);
        let wait = FIRST_WAIT.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT);
        tracing::warn!(
            ?waiting,
            why,
            wait_ms = wait.as_millis() as u64,
            "graph cannot be applied now, will retry"
        );
        let until = self.following.edges.clock.monotonic() + wait;
        self.blocked.insert(
            waiting,
            Blocked {
                until,
                tries: tries + 1,
                why,
                running: false,
            },
        );
        self.tell();
    }

    /// Lets everything go on whose wait is over.
    async fn try_again(&mut self) -> Result<(), BoxError> {
        let now = self.following.edges.clock.monotonic();
        let mut due = BTreeSet::new();
        for (waiting, blocked) in &mut self.blocked {
            if !blocked.running && blocked.until <= now {
                blocked.running = true;
                due.insert(*waiting);
            }
        }
        for waiting in due {
            match waiting {
                Waiting::Partition(partition) => {
                    let slot = self.slot(partition);
                    self.following.reader.resume(&[slot]);
                }
                Waiting::Project(project) => self.woken(project).await?,
            }
        }
        Ok(())
    }

    fn tell(&self) {
        let following = &self.following;
        following
            .counters
            .blocked
            .with_label_values(&[following.part])
            .set(self.blocked.len() as i64);
        let first = self.blocked.iter().next();
        following.tell(first.map(|(waiting, blocked)| match waiting {
            Waiting::Partition(partition) => format!("partition {partition} waits: {}", blocked.why),
            Waiting::Project(project) => format!("project {project} waits: {}", blocked.why),
        }));
    }

    fn slot(&self, partition: Partition) -> TopicPartition {
        TopicPartition {
            topic: self.following.topic.clone(),
            partition,
        }
    }
}

/// Why something has to wait; an error if waiting will not help.
fn passing(error: PrepareError) -> Result<String, BoxError> {
    match error {
        PrepareError::Passing { .. } => Ok(error.to_string()),
        PrepareError::Store(store) if store.is_transient() => Ok(store.to_string()),
        PrepareError::Store(store) => Err(store.into()),
    }
}
