use std::sync::Arc;
use std::time::Duration;

use blobs::MemoryBlobs;
use bus::{Bus, EmbeddedBus, EmbeddedOptions, Origin, ReadLimits, Record, record_of};
use commit_fetcher::{Config, Sources, build};
use events::{
    COMMITS, CommitFetched, Decoder, EVENT_STATUS, EventStatus, LookReason, PROJECTS, PUSH_EVENTS,
    PUSH_EVENTS_BACKFILL, ProjectRecord, PushEvent, StageOutcome, TopicValue, topic_specs,
};
use model::{LogId, Position, ProjectId, TopicName};
use runtime::{Edges, Tasks};

use crate::fake::FakeGitLab;

const DEADLINE: Duration = Duration::from_secs(60);

pub fn project(number: i64) -> ProjectId {
    ProjectId::new(number).unwrap()
}

/// The role over a log of its own.
pub struct Stack {
    folder: tempfile::TempDir,
    pub bus: EmbeddedBus,
    pub sources: Sources,
    pub edges: Edges,
    tasks: Tasks,
    config: Config,
}

impl Stack {
    pub async fn start(gitlab: &Arc<FakeGitLab>) -> Self {
        // A refused token is waited for longer than any test runs.
        Self::with(gitlab.clone(), gitlab.clone(), 3_600_000).await
    }

    pub async fn with(
        facts: Arc<dyn commit_fetcher::edges::FactsSource>,
        content: Arc<dyn commit_fetcher::edges::ContentSource>,
        refused_first_ms: u64,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let edges = Edges::system();
        let bus = open(&folder);
        bus.ensure_topics(&topic_specs()).await.unwrap();
        let clock = edges.clock.clone();
        let blobs = Arc::new(MemoryBlobs::new(Arc::new(move || clock.now())));
        let sources = Sources {
            bus: Arc::new(bus.clone()),
            blobs,
            facts,
            content,
        };
        let config = Config {
            retry_first_ms: 5,
            retry_most_seconds: 1,
            refused_first_ms,
            ..Config::default()
        };
        let stack = Self {
            folder,
            bus,
            sources,
            edges,
            tasks: Tasks::new(),
            config,
        };
        stack.run_another("first");
        stack
    }

    /// One more member of the group, in the same process.
    pub fn run_another(&self, name: &str) -> Tasks {
        let edges = Edges::with(self.edges.clock.clone(), self.edges.randomness.clone());
        let member = self.tasks.group(name);
        build(&self.config, self.sources.clone(), &edges)
            .unwrap()
            .run(&member);
        member
    }

    /// Stops the role in good order and starts it over the same log, opened anew.
    pub async fn restart(mut self) -> Self {
        self.tasks.stop_and_drain(DEADLINE).await.unwrap();
        assert!(self.tasks.first_failure().is_none());
        self.bus.close().await.unwrap();
        let Self {
            folder,
            bus,
            sources,
            edges,
            config,
            ..
        } = self;
        let Sources {
            bus: second,
            blobs,
            facts,
            content,
        } = sources;
        drop((bus, second));
        self = {
            let bus = open(&folder);
            let sources = Sources {
                bus: Arc::new(bus.clone()),
                blobs,
                facts,
                content,
            };
            Self {
                folder,
                bus,
                sources,
                edges,
                tasks: Tasks::new(),
                config,
            }
        };
        self.run_another("first");
        self
    }

    pub async fn stop(&self) {
        self.tasks.stop_and_drain(DEADLINE).await.unwrap();
        assert!(
            self.tasks.first_failure().is_none(),
            "{:?}",
            self.tasks.first_failure()
        );
    }

    pub async fn event(&self, project: ProjectId) -> Position {
        let event = PushEvent::new(project, LookReason::Push, self.edges.clock.now());
        self.append(&PUSH_EVENTS, &event, None).await
    }

    pub async fn regenerate(&self, project: ProjectId, campaign: &str) -> Position {
        let mut event = PushEvent::new(project, LookReason::Rebuild, self.edges.clock.now());
        event.regenerate = true;
        event.envelope.campaign = Some(campaign.to_owned());
        self.append(&PUSH_EVENTS_BACKFILL, &event, None).await
    }

    pub async fn append(&self, topic: &TopicName, event: &PushEvent, trace: Option<&str>) -> Position {
        self.append_value(topic, event, trace).await
    }

    /// Writes what only the role should write.
    pub async fn write<T: TopicValue + Sync>(&self, topic: &TopicName, value: &T) -> Position {
        self.append_value(topic, value, None).await
    }

    async fn append_value<T: TopicValue + Sync>(
        &self,
        topic: &TopicName,
        value: &T,
        trace: Option<&str>,
    ) -> Position {
        let origin = Origin {
            source: "test",
            at: self.edges.clock.now(),
            traceparent: trace,
            id: None,
        };
        let record = record_of(topic, value, origin).unwrap();
        self.bus.append(vec![record]).await.unwrap().remove(0)
    }

    pub async fn records(&self, topic: &TopicName) -> Vec<Record> {
        let mut records = Vec::new();
        bus::restore(&self.bus, topic, None, ReadLimits::default(), |record| {
            records.push(record)
        })
        .await
        .unwrap();
        records
    }

    async fn values<T: TopicValue>(&self, topic: &TopicName) -> Vec<T> {
        let decoder = Decoder::default();
        let records = self.records(topic).await;
        records
            .iter()
            .map(|record| bus::value_of(&decoder, record).unwrap().unwrap())
            .collect()
    }

    pub async fn facts(&self) -> Vec<ProjectRecord> {
        self.values(&PROJECTS).await
    }

    pub async fn commits(&self) -> Vec<CommitFetched> {
        self.values(&COMMITS).await
    }

    pub async fn statuses(&self) -> Vec<EventStatus> {
        self.values(&EVENT_STATUS).await
    }

    /// The statuses that end a look without content.
    pub async fn endings(&self) -> Vec<EventStatus> {
        let mut all = self.statuses().await;
        all.retain(|status| status.sha.is_none() && status.outcome != StageOutcome::Retrying);
        all
    }

    /// Waits until some record answers for the event.
    pub async fn answered(&self, event: &Position, project: ProjectId) {
        self.until("the event is answered for", async || {
            let commits = self.commits().await;
            let statuses = self.statuses().await;
            commits
                .iter()
                .filter(|commit| commit.project_id == project)
                .map(|commit| &commit.envelope)
                .chain(
                    statuses
                        .iter()
                        .filter(|status| status.project_id == project)
                        .map(|status| &status.envelope),
                )
                .any(|envelope| envelope.covers.covers(event))
        })
        .await;
    }

    /// Waits until the group has settled all events.
    pub async fn settled(&self) {
        self.settled_all_of(&[PUSH_EVENTS, PUSH_EVENTS_BACKFILL]).await;
    }

    /// Waits until the group has seen all that was written to its output, too.
    pub async fn read_back(&self) {
        self.settled_all_of(&[PUSH_EVENTS, PUSH_EVENTS_BACKFILL, PROJECTS, COMMITS])
            .await;
    }

    async fn settled_all_of(&self, topics: &[TopicName]) {
        self.until("all is settled", async || {
            let positions = self.bus.group_positions("commit-fetcher", topics).await.unwrap();
            for topic in topics {
                for extent in self.bus.extents(topic).await.unwrap() {
                    let stored = positions
                        .iter()
                        .find(|p| p.topic == *topic && p.partition == extent.partition)
                        .map(|p| p.next);
                    if extent.end.get() > 0 && stored != Some(extent.end) {
                        return false;
                    }
                }
            }
            true
        })
        .await;
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !holds().await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: not within {DEADLINE:?}"
            );
            if let Some(failure) = self.tasks.first_failure() {
                panic!("{failure}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn open(folder: &tempfile::TempDir) -> EmbeddedBus {
    EmbeddedBus::open(&folder.path().join("log"), EmbeddedOptions::new(LogId(7))).unwrap()
}
