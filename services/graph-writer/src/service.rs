use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bus::{Bus, BusError, Extent, ReadLimits};
use events::{ACCESS_DENIALS, Decoder, EVENT_STATUS, PROJECT_GRAPHS, PROJECTS};
use model::{Position, TopicName};
use parking_lot::Mutex;
use runtime::metrics::MetricError;
use runtime::upkeep::again_and_again;
use runtime::{BoxError, Edges, Tasks};
use store::{Inventory, Reader, StoreError, StoreOptions, Writer};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::decode;
use crate::follow::{Follower, Following};
use crate::graphs::Graphs;
use crate::lag::{self, Lag};
use crate::large::Loading;
use crate::metrics::Counters;
use crate::prepare::Preparer;
use crate::readiness::{Progress, Readiness};
use crate::replay::{self, Asked, Replays};
use crate::start::{Start, start};
use crate::view::View;
use crate::writing::{Lane, Writing, lanes};

/// The parts of readiness, one per topic that is followed.
const FACTS: &str = "projects";
const GRAPHS: &str = "project-graphs";
const STATUS: &str = "event-status";
const DENIALS: &str = "access-denials";

/// The topics that are followed.
pub(crate) const TOPICS: [TopicName; 4] = [PROJECTS, PROJECT_GRAPHS, EVENT_STATUS, ACCESS_DENIALS];

const PARTS: [&str; 4] = [FACTS, GRAPHS, STATUS, DENIALS];

/// So much is read in larger batches. Offsets.
const MUCH: u64 = 2_000;

/// What is in hand is committed before a replay.
const STOPPED_WITHIN: Duration = Duration::from_secs(120);

/// The role cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// See [`Config`].
    #[error(transparent)]
    Config(#[from] crate::ConfigFault),
    /// The log lacks a topic, or cannot be read.
    #[error("the bus does not have the topics of the views")]
    Bus(#[from] BusError),
    /// Two metrics of one name.
    #[error(transparent)]
    Metrics(#[from] MetricError),
}

/// Opens the views' folder, and begins it anew when it was made for other names or by a release with another format:
/// what it held is in the log.
pub fn open_view(folder: &Path, options: StoreOptions) -> Result<(Writer, Reader), StoreError> {
    match store::open(folder, options.clone()) {
        Err(error @ (StoreError::OtherHost { .. } | StoreError::OtherFormat { .. })) => {
            tracing::warn!(%error, "view is begun anew");
            for file in ["data.mdb", "lock.mdb"] {
                match std::fs::remove_file(folder.join(file)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
            store::open(folder, options)
        }
        other => other,
    }
}

/// From where to where a view has to read until it is good.
#[derive(Clone, Copy)]
struct Span<'a> {
    from: &'a [Position],
    extents: &'a [(TopicName, Vec<Extent>)],
    /// It is good already.
    shown: bool,
}

/// The role.
pub struct GraphWriter {
    config: Config,
    view: Arc<Mutex<View>>,
    inventory: Inventory,
    bus: Arc<dyn Bus>,
    blobs: Arc<dyn Blobs>,
    edges: Edges,
    counters: Counters,
    readiness: Arc<Readiness>,
    replays: (Replays, mpsc::Receiver<Asked>),
}

impl std::fmt::Debug for GraphWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GraphWriter")
    }
}

impl GraphWriter {
    /// Checks the settings and that the log has the topics.
    pub async fn build(
        config: &Config,
        writer: Writer,
        bus: Arc<dyn Bus>,
        blobs: Arc<dyn Blobs>,
        edges: &Edges,
    ) -> Result<Self, BuildError> {
        config.check()?;
        let component = edges.health.component("graph-writer");
        for topic in &TOPICS {
            bus.extents(topic).await?;
        }
        Ok(Self {
            config: config.clone(),
            inventory: writer.inventory(),
            view: Arc::new(Mutex::new(View::new(writer))),
            bus,
            blobs,
            counters: Counters::register(&edges.metrics)?,
            readiness: Arc::new(Readiness::new(component, &PARTS)),
            edges: edges.clone(),
            replays: replay::channel(),
        })
    }

    /// For who may ask to have the log read again.
    pub fn replays(&self) -> Replays {
        self.replays.0.clone()
    }

    /// Starts the tasks. They end on the group's stop after committing what is in hand.
    pub fn run(self, tasks: &Tasks) {
        let group = tasks.clone();
        tasks.spawn("graph-writer", async move { self.live(&group).await });
    }

    /// Runs, and when somebody asks for a replay stops, forgets what is to be read again, and runs on.
    async fn live(mut self, tasks: &Tasks) -> Result<(), BoxError> {
        let mut shown = false;
        loop {
            let run = tasks.group("run");
            self.start(&run, shown).await?;
            let Some(Some(asked)) = tasks.stop().or(self.replays.1.recv()).await else {
                return Ok(());
            };
            run.stop_and_drain(STOPPED_WITHIN).await?;
            let from_empty = asked.from_empty;
            tracing::warn!(from_empty, "an operator has the view read the log again");
            if from_empty {
                let log = self.bus.log_id(&TOPICS).await?;
                self.counters.rebuilds.with_label_values(&["asked-for"]).inc();
                self.readiness.begin_anew(&PARTS);
                self.on_view(move |view| view.begin_anew(log)).await?;
            } else {
                self.on_view(View::read_again).await?;
            }
            // What is shown stays good while it is read again over it.
            shown = !from_empty;
            asked.done();
        }
    }

    /// `shown`: there is nothing to wait for until the view is good.
    async fn start(&mut self, tasks: &Tasks, shown: bool) -> Result<(), BoxError> {
        let (from, extents) = self.positions().await?;
        let word = self.edges.randomness.bits128();
        self.on_view(move |view| view.plant_canary(word)).await?;
        let (ends, orders) = lanes();
        let (wake, woken) = mpsc::unbounded_channel();
        let (job, jobs) = mpsc::channel(64);
        let (done, loaded) = mpsc::channel(64);
        let preparer = Preparer::new(
            self.inventory.clone(),
            self.blobs.clone(),
            self.config.transaction_bytes,
        );
        let stop = tasks.stop().clone();
        let mut following = Vec::new();
        let span = Span {
            from: &from,
            extents: &extents,
            shown,
        };
        for (part, topic, lane) in [
            (FACTS, PROJECTS, &ends.urgent),
            (DENIALS, ACCESS_DENIALS, &ends.urgent),
            (STATUS, EVENT_STATUS, &ends.urgent),
            (GRAPHS, PROJECT_GRAPHS, &ends.graphs),
        ] {
            following.push(self.following(part, topic, lane, span, &stop).await?);
        }
        let Ok([facts, denials, status, graphs]) = <[Following; 4]>::try_from(following) else {
            return Err("a topic is not followed".into());
        };
        let lag = Lag {
            bus: self.bus.clone(),
            inventory: self.inventory.clone(),
            counters: self.counters.clone(),
            topics: PARTS.into_iter().zip(TOPICS).collect(),
        };
        let measured = again_and_again(lag, lag::EVERY, self.edges.clock.clone(), stop.clone());
        let writing = Writing {
            view: self.view.clone(),
            lanes: orders,
            traces: self.edges.traces.of("graph-writer"),
            edges: self.edges.clone(),
            counters: self.counters.clone(),
            readiness: self.readiness.clone(),
            wake,
            stop: stop.clone(),
        };
        let loading = Loading {
            jobs,
            done,
            preparer: preparer.clone(),
            lane: ends.steps,
            step_bytes: self.config.transaction_bytes,
            stop,
        };
        // Graphs whose facts are not there yet would each be put aside and taken up again by itself.
        let after_facts = facts.progress.total() >= MUCH;
        let item = |following, item| Follower {
            following,
            decoder: Decoder::default(),
            item,
            caught_up: watch::Sender::new(false),
        };
        let facts = item(facts, decode::facts);
        let mut facts_are_there = facts.caught_up.subscribe();
        let graphs = Graphs::new(graphs, preparer, woken, job, loaded);
        let stop = tasks.stop().clone();
        let graphs = async move {
            if after_facts {
                // If nobody tells, facts are not read any more: then the process ends, or the view is begun again.
                let _ = stop.or(facts_are_there.wait_for(|there| *there)).await;
            }
            graphs.run().await
        };
        tasks.spawn_service("write", writing.run());
        tasks.spawn_service("load", loading.run());
        tasks.spawn_service("lag", measured);
        tasks.spawn_service(FACTS, facts.run());
        tasks.spawn_service(DENIALS, item(denials, decode::denial).run());
        tasks.spawn_service(STATUS, item(status, decode::status).run());
        tasks.spawn_service(GRAPHS, graphs);
        Ok(())
    }

    /// Where to read on. Empties the view first if its positions mean nothing any more.
    async fn positions(&mut self) -> Result<(Vec<Position>, Vec<(TopicName, Vec<Extent>)>), BoxError> {
        let log = self.bus.log_id(&TOPICS).await?;
        let mut extents = Vec::new();
        for topic in TOPICS {
            let extent = self.bus.extents(&topic).await?;
            extents.push((topic, extent));
        }
        let (made_from, stored) = self.inventory.positions()?;
        let from = match start(made_from, log, &stored, &extents) {
            Start::Resume(from) => {
                if made_from.is_none() {
                    self.on_view(move |view| view.set_log(log)).await?;
                }
                from
            }
            Start::Rebuild(why) => {
                tracing::error!(reason = why.code(), %why, "view is built anew from the log");
                self.counters.rebuilds.with_label_values(&[why.code()]).inc();
                self.on_view(move |view| view.begin_anew(log)).await?;
                match start(Some(log), log, &[], &extents) {
                    Start::Resume(from) => from,
                    Start::Rebuild(why) => return Err(why.to_string().into()),
                }
            }
        };
        Ok((from, extents))
    }

    async fn on_view(
        &mut self,
        work: impl FnOnce(&mut View) -> Result<(), crate::ViewError> + Send,
    ) -> Result<(), BoxError> {
        // Nothing else runs on this task yet, so its thread may wait for the disk.
        Ok(work(&mut self.view.lock())?)
    }

    async fn following(
        &self,
        part: &'static str,
        topic: TopicName,
        lane: &Lane,
        span: Span<'_>,
        stop: &runtime::Stop,
    ) -> Result<Following, BoxError> {
        let from: Vec<_> = span
            .from
            .iter()
            .filter(|position| position.topic == topic)
            .cloned()
            .collect();
        let ends = span
            .extents
            .iter()
            .filter(|(name, _)| *name == topic && !span.shown)
            .flat_map(|(_, extents)| extents);
        let ends = ends.map(|extent| (extent.partition, extent.end));
        let progress = Progress::new(topic.clone(), &from, ends);
        let limits = limits(progress.total());
        let reader = self.bus.read(from, limits).await?;
        let began = self.edges.clock.monotonic();
        Ok(Following {
            part,
            topic,
            bus: self.bus.clone(),
            reader,
            lane: lane.clone(),
            progress,
            readiness: self.readiness.clone(),
            counters: self.counters.clone(),
            edges: self.edges.clone(),
            stop: stop.clone(),
            began,
            told: began,
        })
    }
}

/// A view that has much to catch up with takes more at once: each commit waits for the disk.
fn limits(to_catch_up: u64) -> ReadLimits {
    if to_catch_up < MUCH {
        return ReadLimits::default();
    }
    ReadLimits {
        records: 10_000,
        bytes: 16 << 20,
    }
}
