//! One suite, run on every implementation of the seam.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use blobs::{BlobError, Blobs, FolderBlobs, MemoryBlobs, SMALL, digest_name, git_name};
use bytes::Bytes;
use model::{BlobName, Timestamp};

#[derive(Clone)]
struct Hours(Arc<AtomicI64>);

impl Hours {
    fn at(&self, hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * 3_600_000_000)
    }

    fn set(&self, hours: i64) {
        self.0.store(hours, Ordering::SeqCst);
    }

    fn source(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let hours = self.clone();
        Arc::new(move || hours.at(hours.0.load(Ordering::SeqCst)))
    }
}

async fn on_all(test: impl AsyncFn(&dyn Blobs, &Hours)) {
    let hours = Hours(Arc::new(AtomicI64::new(100)));
    test(&MemoryBlobs::new(hours.source()), &hours).await;
    let folder = tempfile::tempdir().unwrap();
    hours.set(100);
    test(&FolderBlobs::open(folder.path(), hours.source()).unwrap(), &hours).await;
}

fn value(size: usize, seed: u8) -> Bytes {
    (0..size)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed))
        .collect::<Vec<_>>()
        .into()
}

#[tokio::test]
async fn what_was_put_is_read() {
    on_all(async |blobs, _| {
        let sizes = [0, 1, 511, 513, 20_000, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL];
        let values: Vec<(BlobName, Bytes)> = sizes
            .iter()
            .map(|&size| value(size, 7))
            .flat_map(|bytes| [(digest_name(&bytes), bytes.clone()), (git_name(&bytes), bytes)])
            .collect();
        blobs.put_many(values.clone()).await.unwrap();
        blobs.put_many(values.clone()).await.unwrap();
        let absent = digest_name(b"absent");
        let names: Vec<_> = values.iter().map(|(name, _)| *name).chain([absent]).collect();
        let read = blobs.get_many(&names).await.unwrap();
        for ((name, bytes), read) in values.iter().zip(&read) {
            assert_eq!(read.as_ref(), Some(bytes), "{name}");
        }
        assert_eq!(read.last(), Some(&None));
        let there = blobs.contains_many(&names).await.unwrap();
        assert!(there[..values.len()].iter().all(|there| *there) && !there[values.len()]);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_is_refused() {
    on_all(async |blobs, _| {
        let name = digest_name(b"one");
        let put = blobs.put_many(vec![(name, Bytes::from_static(b"two"))]).await;
        assert!(matches!(put, Err(BlobError::OtherContent(n)) if n == name));
        assert_eq!(blobs.get_many(&[name]).await.unwrap(), [None]);
    })
    .await;
}

#[tokio::test]
async fn use_keeps_young() {
    on_all(async |blobs, hours| {
        let values: Vec<_> = [10, 20_000, SMALL + 5]
            .iter()
            .map(|&s| value(s, 1))
            .map(|b| (digest_name(&b), b))
            .collect();
        let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
        blobs.put_many(values.clone()).await.unwrap();
        hours.set(200);
        assert_eq!(
            blobs
                .touch_many(&[names[0], digest_name(b"absent")])
                .await
                .unwrap(),
            [true, false]
        );
        blobs.put_many(vec![values[1].clone()]).await.unwrap();
        assert_eq!(blobs.unused_since(hours.at(150), 10).await.unwrap(), [names[2]]);
        assert_eq!(blobs.remove_unused(&names, hours.at(150)).await.unwrap(), 1);
        assert_eq!(blobs.contains_many(&names).await.unwrap(), [true, true, false]);
        blobs.put_many(values.clone()).await.unwrap();
        assert!(blobs.get_many(&names).await.unwrap().iter().all(Option::is_some));
    })
    .await;
}

#[tokio::test]
async fn damage_is_noticed_and_other_processes_see_what_was_put() {
    let hours = Hours(Arc::new(AtomicI64::new(1)));
    let folder = tempfile::tempdir().unwrap();
    let one = FolderBlobs::open(folder.path(), hours.source()).unwrap();
    let other = FolderBlobs::open(folder.path(), hours.source()).unwrap();
    let bytes = value(2 * SMALL, 3);
    let name = digest_name(&bytes);
    one.put_many(vec![(name, bytes.clone())]).await.unwrap();
    assert_eq!(other.get_many(&[name]).await.unwrap(), [Some(bytes)]);

    let hex = name.to_string().replace('/', "-");
    let path = folder.path().join("large").join(&hex[7..9]).join(&hex);
    std::fs::write(&path, b"something else").unwrap();
    assert!(matches!(other.get_many(&[name]).await, Err(BlobError::Damaged(n)) if n == name));
}

#[tokio::test]
async fn concurrent_writers_lose_nothing() {
    let hours = Hours(Arc::new(AtomicI64::new(1)));
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..3)
        .map(|_| Arc::new(FolderBlobs::open(folder.path(), hours.source()).unwrap()))
        .collect();
    let mut names = Vec::new();
    let mut writes = Vec::new();
    for round in 0..30u8 {
        let values: Vec<_> = (0..4)
            .map(|i| value(1000 + i, round))
            .map(|b| (digest_name(&b), b))
            .collect();
        names.extend(values.iter().map(|(name, _)| *name));
        let store = stores[usize::from(round) % 3].clone();
        writes.push(async move { store.put_many(values).await });
    }
    let mut set = tokio::task::JoinSet::new();
    for write in writes {
        set.spawn(write);
    }
    while let Some(done) = set.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(
        stores[0]
            .get_many(&names)
            .await
            .unwrap()
            .iter()
            .all(Option::is_some)
    );
}

#[test]
fn many_may_open_a_new_folder_at_once() {
    let hours = Hours(Arc::new(AtomicI64::new(1)));
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let begin = std::sync::Barrier::new(8);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    begin.wait();
                    FolderBlobs::open(folder.path(), hours.source()).unwrap();
                });
            }
        });
    }
}
