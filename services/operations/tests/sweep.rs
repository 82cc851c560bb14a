//! The sweep takes what no record names, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use blobs::{Blobs, MemoryBlobs, digest_name, git_name};
use bus::worker::parked_record;
use bus::{Bus, MemoryBus, NewRecord, Origin, ReadLimits, record_of};
use bytes::Bytes;
use events::*;
use model::*;
use operations::{Sweep, SweepError, Swept, sweep_age};
use parking_lot::Mutex;

struct Store {
    bus: MemoryBus,
    blobs: Arc<MemoryBlobs>,
    now: Arc<Mutex<Timestamp>>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn project() -> ProjectId {
    ProjectId::new(7).unwrap()
}

fn origin() -> Origin<'static> {
    Origin {
        source: "test",
        at: Timestamp::from_micros(5_000_000),
        traceparent: None,
        id: None,
    }
}

impl Store {
    async fn new() -> Self {
        let bus = MemoryBus::new(LogId(1));
        bus.ensure_topics(&topic_specs()).await.unwrap();
        let now = Arc::new(Mutex::new(Timestamp::from_micros(1_000_000)));
        let clock = now.clone();
        let blobs = Arc::new(MemoryBlobs::new(Arc::new(move || *clock.lock())));
        Self { bus, blobs, now }
    }

    fn sweep(&self) -> Sweep {
        Sweep::new(Arc::new(self.bus.clone()), self.blobs.clone())
    }

    async fn step(&self, sweep: &Sweep, dry_run: bool) -> Swept {
        let now = *self.now.lock();
        sweep.step(now, dry_run).await.unwrap()
    }

    fn later(&self, by: Duration) {
        let mut now = self.now.lock();
        *now = now.plus(by);
    }

    async fn put(&self, bytes: Bytes) -> BlobName {
        let name = digest_name(&bytes);
        self.blobs.put_many(vec![(name, bytes)]).await.unwrap();
        name
    }

    async fn is_there(&self, name: BlobName) -> bool {
        self.blobs.contains_many(&[name]).await.unwrap()[0]
    }

    /// A commit that names one section, which names one git blob; all three names.
    async fn commit(&self, text: &'static str) -> (CommitFetched, BlobName, BlobName) {
        let object = git_name(text.as_bytes());
        self.blobs
            .put_many(vec![(object, Bytes::from_static(text.as_bytes()))])
            .await
            .unwrap();
        let BlobName::Git(blob) = object else { panic!() };
        let section = MetadataSection {
            entries: vec![MetadataEntry {
                path: "metadata/root".into(),
                blob,
                size: 4,
            }],
        };
        let bytes = Bytes::from(encode("renku.metadata-section", &section).unwrap());
        let digest = Sha256::of(&bytes);
        let list = self.put(bytes).await;
        let signature = Signature {
            name: "Ada".into(),
            email: "ada@example.org".into(),
            at: Timestamp::from_micros(5),
        };
        let commit = CommitFetched {
            envelope: Envelope::unlooked(Timestamp::from_micros(5)),
            project_id: project(),
            sha: Sha::ZERO,
            parents: vec![],
            author: signature.clone(),
            committer: signature,
            title: text.into(),
            r#ref: "refs/heads/main".into(),
            sections: vec![SectionRef {
                key: String::new(),
                digest,
                entries: 1,
            }],
            linked: vec![],
            attached: vec![],
        };
        (commit, list, object)
    }

    /// A graph that names one bucket, which names one piece.
    async fn graph(&self) -> (ProjectGraph, BlobName, BlobName) {
        let text = Bytes::from_static(b"a piece");
        let piece = self.put(text.clone()).await;
        let section = PieceSection {
            pieces: vec![PieceRef {
                id: "/plans/1".into(),
                digest: Sha256::of(&text),
                size: 7,
            }],
        };
        let bytes = Bytes::from(encode("renku.piece-section", &section).unwrap());
        let digest = Sha256::of(&bytes);
        let bucket = self.put(bytes).await;
        let graph = ProjectGraph {
            envelope: Envelope::unlooked(Timestamp::from_micros(5)),
            project_id: project(),
            graph: Some(Graph {
                sha: Sha::ZERO,
                bucket_bits: 1,
                buckets: vec![digest, Sha256::ZERO],
                pieces: 1,
                bytes: 7,
                warnings: vec![],
                attached: vec![],
            }),
        };
        (graph, bucket, piece)
    }
}

#[tokio::test]
async fn what_no_record_names_goes_when_it_is_old() {
    let store = Store::new().await;
    let (graph, bucket, piece) = store.graph().await;
    let (commit, list, object) = store.commit("kept").await;
    let stray = store.put(Bytes::from_static(b"stray")).await;
    store
        .bus
        .append(vec![
            record_of(&PROJECT_GRAPHS, &graph, origin()).unwrap(),
            record_of(&COMMITS, &commit, origin()).unwrap(),
        ])
        .await
        .unwrap();
    store.later(sweep_age());
    assert_eq!(
        store.step(&store.sweep(), false).await,
        Swept::default(),
        "not old enough"
    );
    store.later(DAY);
    let fresh = store.put(Bytes::from_static(b"fresh")).await;
    let told = Swept {
        looked_at: 5,
        kept: 4,
        removed: 1,
        more: false,
    };
    assert_eq!(store.step(&store.sweep(), true).await, told);
    assert!(store.is_there(stray).await, "a dry run takes nothing");
    assert_eq!(store.step(&store.sweep(), false).await, told);
    assert!(!store.is_there(stray).await);
    for name in [bucket, piece, list, object, fresh] {
        assert!(store.is_there(name).await, "{name}");
    }
    assert_eq!(
        store.step(&store.sweep(), false).await,
        Swept::default(),
        "what is kept is young"
    );
    // A newer record of the project makes the old content needless once compaction has been there.
    let gone = ProjectGraph { graph: None, ..graph };
    store
        .bus
        .append(vec![record_of(&PROJECT_GRAPHS, &gone, origin()).unwrap()])
        .await
        .unwrap();
    store.bus.clean_up(*store.now.lock());
    store.later(sweep_age() + DAY);
    assert_eq!(store.step(&store.sweep(), false).await.removed, 5);
    for name in [bucket, piece, list, object] {
        assert!(!store.is_there(name).await, "{name}");
    }
}

#[tokio::test]
async fn a_blob_that_only_a_parked_record_names_stays() {
    let store = Store::new().await;
    let (commit, list, object) = store.commit("parked").await;
    let new = record_of(&COMMITS, &commit, origin()).unwrap();
    store.bus.append(vec![new]).await.unwrap();
    let mut read = Vec::new();
    bus::restore(&store.bus, &COMMITS, None, ReadLimits::default(), |record| {
        read.push(record)
    })
    .await
    .unwrap();
    // Its own topic has forgotten it, the lane has not.
    store.later(sweep_age() + DAY);
    let reason = Reason {
        code: "migration-needed",
        owner: Owner::Caller,
        message: "migrate".into(),
    };
    let at = *store.now.lock();
    let parked = parked_record(&read[0], parked(&COMMITS), "triple-generator", &reason, 1, at);
    store.bus.append(vec![parked]).await.unwrap();
    store.bus.clean_up(at);
    let left = store.bus.extents(&COMMITS).await.unwrap();
    assert!(left.iter().all(|extent| extent.start == extent.end));

    let swept = store.step(&store.sweep(), false).await;
    assert_eq!((swept.kept, swept.removed), (2, 0));
    assert!(store.is_there(list).await && store.is_there(object).await);
}

#[tokio::test]
async fn a_sweep_goes_on_where_another_was() {
    let store = Store::new().await;
    let (graph, ..) = store.graph().await;
    store
        .bus
        .append(vec![record_of(&PROJECT_GRAPHS, &graph, origin()).unwrap()])
        .await
        .unwrap();
    for number in 0..10u8 {
        store.put(Bytes::copy_from_slice(&[number])).await;
    }
    store.later(sweep_age() + DAY);
    let mut removed = 0;
    for step in 0.. {
        assert!(step < 10, "it does not come to an end");
        // Each step by another process.
        let swept = store.step(&store.sweep().at_once(3), false).await;
        removed += swept.removed;
        if !swept.more {
            break;
        }
    }
    assert_eq!(removed, 10);
}

#[tokio::test]
async fn records_of_a_newer_release_stop_the_sweep() {
    let store = Store::new().await;
    store.put(Bytes::from_static(b"who knows")).await;
    let mut newer = vec![0xC3, 0x01];
    newer.extend([9; 20]);
    let unreadable = [
        NewRecord::new(parked(&COMMITS), "7", "poison", Timestamp::from_micros(5)),
        NewRecord::new(PROJECT_GRAPHS, "7", newer, Timestamp::from_micros(5)),
    ];
    store.bus.append(unreadable.to_vec()).await.unwrap();
    store.later(sweep_age() + DAY);
    let now = *store.now.lock();
    let stopped = store.sweep().step(now, false).await.unwrap_err();
    assert!(
        matches!(&stopped, SweepError::Newer { at, .. } if at.topic == PROJECT_GRAPHS),
        "{stopped}"
    );
}
