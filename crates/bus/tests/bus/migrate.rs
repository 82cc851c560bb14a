//! A topic is copied to its next version: nothing lost, nothing out of order, and readers go on.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::migrate::{CopyTopic, MigrateError, PositionMap, copy};
use bus::worker::ResolvedHeaders;
use bus::{Bus, BusError, GroupOptions, NewRecord, ReadLimits, Record, restore};
use events::PartitionBy;
use model::{CleanUp, Offset, TopicName, partition_of};

use crate::harness::*;

const NEW: TopicName = TopicName::from_static("t2");
const NEW_PARKED: TopicName = TopicName::from_static("t2.parked");

fn plan() -> CopyTopic {
    CopyTopic {
        from: T,
        to: NEW,
        partition_by: PartitionBy::ProjectId,
        quiet: Duration::from_millis(20),
    }
}

async fn all(bus: &dyn Bus, topic: &TopicName) -> Vec<Record> {
    let mut records = Vec::new();
    restore(bus, topic, None, ReadLimits::default(), |record| {
        records.push(record)
    })
    .await
    .unwrap();
    records
}

type Content = (Option<bytes::Bytes>, bus::Headers, model::Timestamp);

fn by_key(records: &[Record]) -> BTreeMap<bytes::Bytes, Vec<Content>> {
    let mut keys: BTreeMap<_, Vec<Content>> = BTreeMap::new();
    for record in records {
        let content = (record.value.clone(), record.headers.clone(), record.timestamp);
        keys.entry(record.key.clone()).or_default().push(content);
    }
    keys
}

/// Records of some projects, with keys that go on after the project, headers, times and a tombstone.
async fn write(bus: &dyn Bus, count: usize) {
    let mut records = Vec::new();
    for number in 0..count {
        let project = number % 23;
        let key = format!("{project}/{}", number % 3);
        let mut record = record(T, &key, &format!("value {number}"));
        record.partition_by = Some(project.to_string().into());
        record.timestamp = at(1 + number as u64 % 50);
        record.headers.push("ce_id", format!("{number}"));
        if number == 7 {
            record.value = None;
        }
        records.push(record);
    }
    for batch in records.chunks(50) {
        bus.append(batch.to_vec()).await.unwrap();
    }
}

/// The topics of all tests, and one to copy to.
async fn declare_copy(bus: &dyn Bus, to: TopicName, partitions: u32) {
    declare(bus).await;
    bus.ensure_topics(&[spec(to, partitions, CleanUp::Delete(HOUR * 1000))])
        .await
        .unwrap();
}

pub async fn a_copy_has_everything_in_order_and_readers_go_on<H: Harness>() {
    let harness = H::fresh().await;
    let bus = harness.bus();
    declare_copy(&*bus, NEW, 7).await;
    write(&*bus, 300).await;
    // A worker has dealt with some, not all in order.
    let mut member = bus.join("g", "m", &[T], GroupOptions::default()).await.unwrap();
    let mut done = Vec::new();
    for record in take(&mut *member, 300).await {
        if record.offset.get() % 11 != 10 && record.offset.get() < 40 {
            member.settle(&record.slot(), record.offset);
            done.push(record);
        }
    }
    member.flush().await.unwrap();
    let in_use = harness
        .set_group_positions("g", &[slot(T, 0).at(Offset::default())])
        .await;
    assert!(matches!(in_use, Err(BusError::GroupInUse { .. })), "{in_use:?}");
    member.leave().await.unwrap();
    drop(done);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let log = bus.log_id(&[T, NEW]).await.unwrap();
    let mut map = PositionMap::open(&path, &T, &NEW, log).unwrap();
    let mut last = None;
    let copied = soon(copy(&*bus, &plan(), &mut map, |progress| last = Some(progress)))
        .await
        .unwrap();
    assert_eq!(copied.records, 300);
    let last = last.unwrap();
    assert_eq!((last.records, last.passed), (300, last.total));
    let (old, new) = (all(&*bus, &T).await, all(&*bus, &NEW).await);
    assert_eq!(by_key(&old), by_key(&new));
    for record in &new {
        let project = PartitionBy::ProjectId.of_key(&record.key);
        assert_eq!(record.partition, partition_of(project, 7));
    }

    // Again: nothing to do. What comes later is copied by the next call.
    let again = soon(copy(&*bus, &plan(), &mut map, |_| {})).await.unwrap();
    assert_eq!(again.records, 0);
    drop(map);
    bus.append(vec![NewRecord {
        partition_by: Some("1".into()),
        ..record(T, "1/0", "late")
    }])
    .await
    .unwrap();
    let mut map = PositionMap::open(&path, &T, &NEW, log).unwrap();
    let late = soon(copy(&*bus, &plan(), &mut map, |_| {})).await.unwrap();
    assert_eq!(late.records, 1);
    let (old, new) = (all(&*bus, &T).await, all(&*bus, &NEW).await);
    assert_eq!(by_key(&old), by_key(&new));

    // The group goes on: what it had not settled comes, and before that nothing it had not settled was passed over.
    let settled = bus.group_positions("g", &[T]).await.unwrap();
    let positions = map
        .translate(&settled, &bus.extents(&NEW).await.unwrap())
        .unwrap();
    let in_old: BTreeMap<_, _> = old
        .iter()
        .map(|record| (ce_id(record), (record.partition, record.offset)))
        .collect();
    let was_settled = |record: &Record| {
        let (partition, offset) = in_old[&ce_id(record)];
        settled
            .iter()
            .any(|position| position.partition == partition && offset < position.next)
    };
    let passed = |record: &Record| {
        positions
            .iter()
            .any(|position| position.partition == record.partition && record.offset < position.next)
    };
    assert!(new.iter().filter(|record| passed(record)).all(was_settled));
    assert!(new.iter().any(passed), "some of it need not come again");
    soon(async {
        loop {
            match harness.set_group_positions("g", &positions).await {
                // A member that left may still be known for a moment.
                Err(BusError::GroupInUse { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
                done => break done.unwrap(),
            }
        }
    })
    .await;
    assert_eq!(bus.group_positions("g", &[NEW]).await.unwrap(), positions);
    let mut member = bus.join("g", "m", &[NEW], GroupOptions::default()).await.unwrap();
    let expected = new.iter().filter(|record| !passed(record)).count();
    let taken = take(&mut *member, expected).await;
    let all_open = new.iter().filter(|record| !was_settled(record)).map(ce_id);
    let taken: Vec<_> = taken.iter().map(ce_id).collect();
    for open in all_open {
        assert!(taken.contains(&open), "{open} is lost");
    }
    member.leave().await.unwrap();
}

/// Names a record in either topic.
fn ce_id(record: &Record) -> String {
    record.headers.text("ce_id").unwrap_or("late").to_owned()
}

#[allow(clippy::disallowed_methods, reason = "a writer beside the copy")]
pub async fn a_copy_refuses_what_would_not_be_whole<H: Harness>() {
    let harness = H::fresh().await;
    let bus = harness.bus();
    declare_copy(&*bus, NEW, 7).await;
    write(&*bus, 20).await;
    let folder = tempfile::tempdir().unwrap();
    let log = bus.log_id(&[T, NEW]).await.unwrap();
    let mut map = PositionMap::open(&folder.path().join("map"), &T, &NEW, log).unwrap();
    let writer = bus.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writes = tokio::spawn(async move {
        while !*stopped.borrow() {
            writer.append(vec![record(T, "1", "x")]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let slow = CopyTopic {
        quiet: Duration::from_millis(300),
        ..plan()
    };
    let error = soon(copy(&*bus, &slow, &mut map, |_| {})).await.unwrap_err();
    assert!(matches!(error, MigrateError::StillWritten { .. }), "{error}");
    stop.send(true).unwrap();
    writes.await.unwrap();
    soon(copy(&*bus, &slow, &mut map, |_| {})).await.unwrap();
    // Without its map nobody can tell what is in the new topic.
    let mut other = PositionMap::open(&folder.path().join("other"), &T, &NEW, log).unwrap();
    let error = soon(copy(&*bus, &plan(), &mut other, |_| {})).await.unwrap_err();
    assert!(matches!(error, MigrateError::NotEmpty { .. }), "{error}");
}

pub async fn a_parked_lane_takes_along_what_is_open<H: Harness>() {
    let harness = H::fresh().await;
    let bus = harness.bus();
    declare_copy(&*bus, NEW_PARKED, 3).await;
    let parked = ["1", "2", "1"].map(|key| record(PARKED, key, "poison"));
    bus.append(parked.to_vec()).await.unwrap();
    let mut note = record(PARKED, "1", "");
    note.headers.push(ResolvedHeaders::OFFSET, "0");
    bus.append(vec![note]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = bus.log_id(&[PARKED, NEW_PARKED]).await.unwrap();
    let mut map = PositionMap::open(&folder.path().join("map"), &PARKED, &NEW_PARKED, log).unwrap();
    let lane = CopyTopic {
        from: PARKED,
        to: NEW_PARKED,
        ..plan()
    };
    let copied = soon(copy(&*bus, &lane, &mut map, |_| {})).await.unwrap();
    assert_eq!((copied.records, copied.left_behind), (2, 2));
    let keys: Vec<_> = all(&*bus, &NEW_PARKED)
        .await
        .into_iter()
        .map(|record| record.key)
        .collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.contains(&"1".into()) && keys.contains(&"2".into()));
}

macro_rules! migrate_on {
    ($name:ident, $harness:ty) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn a_copy_has_everything_in_order_and_readers_go_on() {
                super::a_copy_has_everything_in_order_and_readers_go_on::<$harness>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_copy_refuses_what_would_not_be_whole() {
                super::a_copy_refuses_what_would_not_be_whole::<$harness>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_parked_lane_takes_along_what_is_open() {
                super::a_parked_lane_takes_along_what_is_open::<$harness>().await;
            }
        }
    };
}

migrate_on!(on_memory, crate::harness::Memory);
migrate_on!(on_embedded, crate::harness::Embedded);
migrate_on!(on_kafka, crate::kafka::Kafka);
