//! A graph-writer on a log in memory, and the records that the workers would write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::Caller;
use async_trait::async_trait;
use blobs::{BlobError, Blobs, MemoryBlobs, digest_name};
use bus::{Bus, MemoryBus, Origin, record_of};
use bytes::Bytes;
use events::{
    Covers, Envelope, EventStatus, Graph, PROJECT_GRAPHS, PROJECTS, PieceRef, PieceSection, ProjectGraph,
    ProjectRecord, ProjectState, Sha256, Stage, StageOutcome, TopicValue, attach_if_small, bucket_bits,
    bucket_of, encode, topic_specs,
};
use graph_writer::{Config, GraphWriter, Replays, open_view};
use model::{
    BlobName, Generation, LogId, Offset, Partition, Position, ProjectId, StateVersion, Timestamp, TopicName,
    Visibility,
};
use runtime::{Edges, Tasks};
use store::{ProjectNotes, Query, QueryLimits, Reader, RowFormat, StoreOptions, TripleFormat};

pub const HOST: &str = "renku.example.org";
pub const SOON: Duration = Duration::from_secs(20);

pub fn project(id: i64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

pub fn options() -> StoreOptions {
    StoreOptions {
        map_size: 1 << 30,
        ..StoreOptions::new(HOST)
    }
}

/// A piece that says one name of one thing.
pub fn piece(id: &str, name: &str) -> (String, String) {
    let text = format!("<https://{HOST}{id}> <http://schema.org/name> \"{name}\" .\n");
    (id.to_owned(), text)
}

/// Many pieces, large ones.
pub fn pieces(count: usize, size: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|n| {
            piece(
                &format!("/activities/{n:08}"),
                &format!("{n}-{}", "x".repeat(size)),
            )
        })
        .collect()
}

fn envelope(generation: u64, state_version: u64, answers: Option<u64>) -> Envelope {
    let mut envelope = Envelope::unlooked(Timestamp::from_micros(1_000));
    envelope.generation = Generation::new(generation);
    envelope.state_version = StateVersion::new(state_version);
    if let Some(offset) = answers {
        envelope.covers = Covers::record(&events::PUSH_EVENTS, Partition::new(0), Offset::new(offset));
    }
    envelope
}

/// The push event at an offset, as somebody waits for it.
pub fn push(offset: u64) -> Position {
    Position {
        topic: events::PUSH_EVENTS,
        partition: Partition::new(0),
        next: Offset::new(offset + 1),
    }
}

pub fn facts(id: i64, version: u64, slug: &str, visibility: Visibility) -> ProjectRecord {
    let state = ProjectState {
        slug: slug.parse().unwrap(),
        name: slug.to_owned(),
        description: None,
        visibility,
        members: Vec::new(),
        default_branch: Some("main".into()),
        created_at: Timestamp::from_micros(1),
        updated_at: None,
        creator_id: None,
        topics: Vec::new(),
        images: Vec::new(),
        fork_parent: None,
        empty_repository: false,
        archived: false,
        http_url: String::new(),
        ssh_url: String::new(),
        web_url: String::new(),
        readme_url: None,
        forks_count: 0,
        stars_count: 0,
    };
    ProjectRecord {
        envelope: envelope(version, version, None),
        project_id: project(id),
        state: Some(state),
    }
}

pub fn facts_gone(id: i64, version: u64) -> ProjectRecord {
    ProjectRecord {
        envelope: envelope(version, version, None),
        project_id: project(id),
        state: None,
    }
}

pub fn status(id: i64, generation: u64, stage: Stage, outcome: StageOutcome) -> EventStatus {
    EventStatus {
        envelope: envelope(generation, 0, None),
        project_id: project(id),
        sha: None,
        stage,
        outcome,
        awaits_generation: Generation::default(),
        code: None,
        message: None,
    }
}

/// A look that found nothing new and answers for a push.
pub fn nothing_new(id: i64, generation: u64, state_version: u64, awaits: u64, answers: u64) -> EventStatus {
    let mut status = status(id, generation, Stage::Looked, StageOutcome::NothingNew);
    status.envelope = envelope(generation, state_version, Some(answers));
    status.awaits_generation = Generation::new(awaits);
    status
}

pub type Blob = (BlobName, Bytes);

/// The graph record of pieces, and the blobs that it names. Small ones are attached unless `detached`.
pub fn graph(
    id: i64,
    generation: u64,
    state_version: u64,
    answers: Option<u64>,
    pieces: &[(String, String)],
    detached: bool,
) -> (ProjectGraph, Vec<Blob>) {
    let bits = bucket_bits(pieces.len());
    let mut sections = vec![PieceSection::default(); 1 << bits];
    let mut blobs: Vec<Blob> = Vec::new();
    let mut bytes = 0;
    let mut sorted = pieces.to_vec();
    sorted.sort();
    for (piece, text) in &sorted {
        let (digest, size) = (Sha256::of(text.as_bytes()), text.len() as i64);
        sections[bucket_of(piece, bits)].pieces.push(PieceRef {
            id: piece.clone(),
            digest,
            size,
        });
        blobs.push((digest_name(text.as_bytes()), Bytes::from(text.clone())));
        bytes += size;
    }
    let mut buckets = Vec::new();
    for section in &sections {
        if section.pieces.is_empty() {
            buckets.push(Sha256::ZERO);
            continue;
        }
        let encoded = encode("renku.piece-section", section).unwrap();
        buckets.push(Sha256::of(&encoded));
        blobs.push((digest_name(&encoded), Bytes::from(encoded)));
    }
    let attached = if detached { None } else { attach_if_small(&blobs) };
    if attached.is_some() {
        blobs.clear();
    }
    let graph = Graph {
        sha: model::Sha::ZERO,
        bucket_bits: bits as i32,
        buckets,
        pieces: pieces.len() as i32,
        bytes,
        warnings: Vec::new(),
        attached: attached.unwrap_or_default(),
    };
    let envelope = envelope(generation, state_version, answers);
    (
        ProjectGraph {
            envelope,
            project_id: project(id),
            graph: Some(graph),
        },
        blobs,
    )
}

pub fn graph_gone(id: i64, generation: u64) -> ProjectGraph {
    ProjectGraph {
        envelope: envelope(generation, 0, None),
        project_id: project(id),
        graph: None,
    }
}

pub fn new_record<T: TopicValue>(topic: &TopicName, value: &T) -> bus::NewRecord {
    let origin = Origin {
        source: "test",
        at: Timestamp::from_micros(1),
        traceparent: None,
        id: None,
    };
    record_of(topic, value, origin).unwrap()
}

/// A blob store that can be down.
pub struct MovableBlobs {
    pub inner: MemoryBlobs,
    pub down: AtomicBool,
}

impl MovableBlobs {
    pub fn new() -> Arc<Self> {
        let inner = MemoryBlobs::new(Arc::new(Timestamp::default));
        Arc::new(Self {
            inner,
            down: AtomicBool::new(false),
        })
    }

    fn check(&self) -> Result<(), BlobError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(BlobError::Unavailable("it is down".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Blobs for MovableBlobs {
    async fn put_many(&self, values: Vec<Blob>) -> Result<(), BlobError> {
        self.inner.put_many(values).await
    }

    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError> {
        self.check()?;
        self.inner.get_many(names).await
    }

    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.inner.touch_many(names).await
    }

    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        self.inner.contains_many(names).await
    }

    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        self.inner.unused_since(before, limit).await
    }

    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        self.inner.remove_unused(names, before).await
    }
}

/// A running role.
pub struct Running {
    pub tasks: Tasks,
    pub edges: Edges,
    pub reader: Reader,
    pub replays: Replays,
}

impl Running {
    pub async fn start(folder: &Path, bus: Arc<dyn Bus>, blobs: Arc<dyn Blobs>, config: &Config) -> Self {
        let edges = Edges::system();
        let (writer, reader) = open_view(folder, options()).unwrap();
        let role = GraphWriter::build(config, writer, bus, blobs, &edges)
            .await
            .unwrap();
        let tasks = Tasks::new();
        let replays = role.replays();
        role.run(&tasks);
        Self {
            tasks,
            edges,
            reader,
            replays,
        }
    }

    pub async fn stop(self) {
        self.tasks.stop_and_drain(SOON).await.unwrap();
        assert!(
            self.tasks.first_failure().is_none(),
            "{:?}",
            self.tasks.first_failure()
        );
    }

    pub async fn ready(&self) {
        eventually("ready", || self.edges.health.readiness().ready).await;
    }

    pub fn notes(&self, id: i64) -> ProjectNotes {
        notes(&self.reader, id)
    }

    pub fn count(&self, metric: &str) -> f64 {
        let text = self.edges.metrics.exposition().unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))
            .map(|value| value.parse::<f64>().unwrap())
            .sum()
    }
}

pub fn notes(reader: &Reader, id: i64) -> ProjectNotes {
    let snapshot = reader.snapshot().unwrap();
    ProjectNotes::read(snapshot.note(project(id)).unwrap().as_deref()).unwrap()
}

/// What a caller gets for a query, as CSV lines, sorted, without the head.
pub fn ask(reader: &Reader, caller: Caller, query: &str) -> Vec<String> {
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot.visible(&caller, model::Day::default()).unwrap();
    let query: Query = query.parse().unwrap();
    let mut out = Vec::new();
    snapshot
        .query(
            &visible,
            &query,
            QueryLimits::NONE,
            &store::Stop::default(),
            |answer| answer.write(RowFormat::Csv, TripleFormat::NTriples, &mut out),
        )
        .unwrap();
    let mut lines: Vec<_> = String::from_utf8(out)
        .unwrap()
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

pub const NAMES: &str = "SELECT ?n { ?s <http://schema.org/name> ?n }";

pub fn names(reader: &Reader) -> Vec<String> {
    ask(reader, Caller::Anonymous, NAMES)
}

/// Digest of what a view says, and of what its index holds.
pub fn digests(reader: &Reader) -> (String, Vec<String>) {
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot
        .visible(&Caller::Administrator, model::Day::default())
        .unwrap();
    let contents = visible
        .iter()
        .map(|project| snapshot.content_digest(&visible, project).unwrap().to_string());
    (snapshot.digest().unwrap().to_string(), contents.collect())
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waited)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// A log in memory with a view's topics, and blobs.
pub struct Rig {
    pub folder: tempfile::TempDir,
    pub bus: MemoryBus,
    pub blobs: Arc<MovableBlobs>,
    pub config: Config,
}

impl Rig {
    pub async fn new() -> Self {
        let bus = MemoryBus::new(LogId(1));
        bus.ensure_topics(&topic_specs()).await.unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            bus,
            blobs: MovableBlobs::new(),
            config: Config::default(),
        }
    }

    pub async fn run(&self) -> Running {
        Running::start(
            self.folder.path(),
            Arc::new(self.bus.clone()),
            self.blobs.clone(),
            &self.config,
        )
        .await
    }

    pub async fn append(&self, record: bus::NewRecord) -> Position {
        self.bus.append(vec![record]).await.unwrap().remove(0)
    }

    pub async fn facts(&self, record: &ProjectRecord) -> Position {
        self.append(new_record(&PROJECTS, record)).await
    }

    pub async fn status(&self, record: &EventStatus) -> Position {
        self.append(new_record(&events::EVENT_STATUS, record)).await
    }

    pub async fn graph(&self, (record, blobs): (ProjectGraph, Vec<Blob>)) -> Position {
        self.blobs.put_many(blobs).await.unwrap();
        self.append(new_record(&PROJECT_GRAPHS, &record)).await
    }

    /// The same log, read into a view that nobody interrupted.
    pub async fn rebuilt(&self) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(
            folder.path(),
            Arc::new(self.bus.clone()),
            self.blobs.clone(),
            &Config::default(),
        )
        .await;
        running.ready().await;
        let digests = digests(&running.reader);
        running.stop().await;
        digests
    }
}
