//! What every bus must do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{BusError, GroupEvent, GroupOptions, Headers, MAX_RECORD_BYTES, NewRecord, ReadLimits, restore};
use model::{CleanUp, Offset, Partition, Position, partition_of};

use crate::harness::*;

/// Makes one test of each of these for an implementation.
#[macro_export]
macro_rules! conformance_on {
    ($module:ident, $harness:ty) => {
        mod $module {
            $crate::conformance_on!(@ $harness:
                records_come_back_as_they_were, order_within_a_partition, topics_are_made_once,
                unknown_things_are_refused, a_reader_follows, a_reader_waits_and_is_woken, a_reader_seeks_and_pauses,
                bounds_are_kept, wrong_positions_are_told, a_member_gets_everything_once_settled,
                unsettled_records_come_back, only_the_prefix_is_stored, groups_are_apart, members_share,
                a_revoked_member_may_settle_until_it_releases, a_zombie_cannot_settle, a_paused_member_gets_nothing,
                compaction_keeps_the_newest, retention_takes_the_old, a_group_is_told_what_it_lost,
                a_reader_is_told_that_it_was_overtaken, state_is_restored, everything_survives_closing,
                many_writers_at_once, large_records_are_refused);
        }
    };
    (@ $harness:ty: $($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::conformance::$name::<$harness>().await;
        })*
    };
}

async fn fresh<H: Harness>() -> H {
    let harness = H::fresh().await;
    declare(&*harness.bus()).await;
    harness
}

pub async fn records_come_back_as_they_were<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let new = NewRecord {
        partition_by: Some("p".into()),
        headers: Headers::new()
            .with("ce_id", "1")
            .with("binary", vec![0, 255])
            .with("ce_id", "2"),
        ..NewRecord::new(T, vec![0, 1, 2], vec![3, 0, 4], at(7))
    };
    let tombstone = NewRecord {
        value: None,
        partition_by: Some("p".into()),
        ..record(T, "k", "")
    };
    let positions = bus.append(vec![new.clone(), tombstone]).await.unwrap();
    let partition = partition_of(b"p", 4);
    let position = |next| Position {
        topic: T,
        partition,
        next: Offset::new(next),
    };
    assert_eq!(positions, [position(1), position(2)]);
    let mut reader = bus.read(vec![position(0)], ReadLimits::default()).await.unwrap();
    let read = soon(reader.next()).await.unwrap();
    let first = &read[0];
    assert_eq!(
        (&first.key, &first.value, &first.headers),
        (&new.key, &new.value, &new.headers)
    );
    assert_eq!(
        (first.timestamp, first.partition, first.offset),
        (at(7), partition, Offset::new(0))
    );
    assert_eq!(first.headers.text("ce_id"), Some("2"));
    assert_eq!(read[1].value, None);
}

pub async fn order_within_a_partition<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    for batch in 0..10 {
        let records = (0..30).map(|n| record(T, &format!("k{}", n % 7), &format!("{}", batch * 30 + n)));
        bus.append(records.collect()).await.unwrap();
    }
    let limits = ReadLimits {
        records: 17,
        bytes: 3_000,
    };
    let mut reader = bus.read(starts(&*bus, &T).await, limits).await.unwrap();
    let mut seen: BTreeMap<Partition, Vec<(u64, u32)>> = BTreeMap::new();
    let mut by_key: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    let mut count = 0;
    while count < 300 {
        for r in soon(reader.next()).await.unwrap() {
            assert_eq!(r.partition, partition_of(&r.key, 4));
            let n: u32 = value(&r).parse().unwrap();
            seen.entry(r.partition).or_default().push((r.offset.get(), n));
            by_key.entry(r.key.to_vec()).or_default().push(n);
            count += 1;
        }
    }
    for of_partition in seen.values() {
        let offsets: Vec<u64> = of_partition.iter().map(|(o, _)| *o).collect();
        assert_eq!(offsets, (0..offsets.len() as u64).collect::<Vec<_>>());
    }
    for of_key in by_key.values() {
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}

pub async fn topics_are_made_once<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append(vec![record(T, "k", "v")]).await.unwrap();
    declare(&*bus).await;
    bus.ensure_topics(&[spec(T, 4, CleanUp::Compact)]).await.unwrap();
    let held: u64 = bus
        .extents(&T)
        .await
        .unwrap()
        .iter()
        .map(|e| e.end.get() - e.start.get())
        .sum();
    assert_eq!(held, 1);
    let error = bus
        .ensure_topics(&[spec(T, 5, CleanUp::Compact)])
        .await
        .unwrap_err();
    assert!(
        matches!(error, BusError::PartitionsDiffer { have: 4, want: 5, .. }),
        "{error}"
    );
    assert_eq!(bus.log_id(&[T]).await.unwrap(), bus.log_id(&[T]).await.unwrap());
}

pub async fn unknown_things_are_refused<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let nowhere: model::TopicName = "nowhere".parse().unwrap();
    let mixed = vec![record(T, "k", "v"), record(nowhere.clone(), "k", "v")];
    assert!(matches!(bus.append(mixed).await, Err(BusError::UnknownTopic(_))));
    assert!(
        bus.extents(&T)
            .await
            .unwrap()
            .iter()
            .all(|e| e.end == Offset::new(0)),
        "all or none"
    );
    assert!(matches!(
        bus.extents(&nowhere).await,
        Err(BusError::UnknownTopic(_))
    ));
    let options = GroupOptions::default();
    assert!(matches!(
        bus.join("g", "m", &[nowhere], options).await,
        Err(BusError::UnknownTopic(_))
    ));
    let position = Position {
        topic: T,
        partition: Partition::new(4),
        next: Offset::new(0),
    };
    let read = bus.read(vec![position], ReadLimits::default()).await;
    assert!(matches!(
        read,
        Err(BusError::UnknownPartition { partitions: 4, .. })
    ));
}

pub async fn a_reader_follows<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let mut reader = bus
        .read(starts(&*bus, &T).await, ReadLimits::default())
        .await
        .unwrap();
    for n in 0..20 {
        let positions = bus.append(vec![record(T, &format!("{n}"), "v")]).await.unwrap();
        let read = soon(reader.next()).await.unwrap();
        assert_eq!(read.iter().map(|r| r.next()).collect::<Vec<_>>(), positions);
        assert!(reader.positions().contains(&positions[0]));
    }
}

pub async fn a_reader_waits_and_is_woken<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let mut from = starts(&*bus, &T).await;
    from.extend(starts(&*bus, &U).await);
    let mut reader = bus.read(from, ReadLimits::default()).await.unwrap();
    // A future that was dropped while it waited has taken nothing with it.
    assert!(
        tokio::time::timeout(Duration::from_millis(20), reader.next())
            .await
            .is_err()
    );
    let (read, appended) = tokio::join!(soon(reader.next()), bus.append(vec![record(U, "k", "late")]));
    appended.unwrap();
    assert_eq!(value(&read.unwrap()[0]), "late");
}

pub async fn a_reader_seeks_and_pauses<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..5).map(|n| record(AGED, "k", &n.to_string())).collect())
        .await
        .unwrap();
    bus.append(vec![record(T, "k", "other")]).await.unwrap();
    let mut from = starts(&*bus, &AGED).await;
    let other = partition_of(b"k", 4);
    from.push(Position {
        topic: T,
        partition: other,
        next: Offset::new(0),
    });
    let mut reader = bus.read(from, ReadLimits::default()).await.unwrap();
    reader.pause(&[slot(AGED, 0)]);
    let read = soon(reader.next()).await.unwrap();
    assert_eq!(read.iter().map(value).collect::<Vec<_>>(), ["other"]);
    reader.resume(&[slot(AGED, 0)]);
    assert_eq!(soon(reader.next()).await.unwrap().len(), 5);
    reader.seek(slot(AGED, 0).at(Offset::new(3))).await.unwrap();
    let again = soon(reader.next()).await.unwrap();
    assert_eq!(again.iter().map(value).collect::<Vec<_>>(), ["3", "4"]);
    let past = reader.seek(slot(AGED, 0).at(Offset::new(6))).await;
    assert!(matches!(past, Err(BusError::PastEnd { .. })));
}

pub async fn bounds_are_kept<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let large = "x".repeat(10_000);
    bus.append((0..40).map(|n| record(T, &n.to_string(), &large)).collect())
        .await
        .unwrap();
    let limits = ReadLimits {
        records: 100,
        bytes: 25_000,
    };
    let mut reader = bus.read(starts(&*bus, &T).await, limits).await.unwrap();
    let mut count = 0;
    while count < 40 {
        let read = soon(reader.next()).await.unwrap();
        assert!(read.len() <= 4, "{} records of 10 kB", read.len());
        count += read.len();
    }
    let tiny = ReadLimits { records: 1, bytes: 1 };
    let mut reader = bus.read(starts(&*bus, &T).await, tiny).await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().len(), 1, "one is always given");
}

pub async fn wrong_positions_are_told<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    assert!(
        bus.read(vec![slot(AGED, 0).at(Offset::new(1))], ReadLimits::default())
            .await
            .is_ok()
    );
    let past = bus
        .read(vec![slot(AGED, 0).at(Offset::new(2))], ReadLimits::default())
        .await;
    assert!(matches!(past, Err(BusError::PastEnd { end, .. }) if end == Offset::new(1)));
    harness.clean_up(at(5)).await;
    let before = bus
        .read(vec![slot(AGED, 0).at(Offset::new(0))], ReadLimits::default())
        .await;
    assert!(matches!(before, Err(BusError::BeforeStart { start, .. }) if start == Offset::new(1)));
}

pub async fn a_member_gets_everything_once_settled<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append(
        (0..50)
            .map(|n| record(T, &n.to_string(), &n.to_string()))
            .collect(),
    )
    .await
    .unwrap();
    let mut member = bus.join("g", "m", &[T], GroupOptions::default()).await.unwrap();
    let GroupEvent::Assigned(assigned) = soon(member.next()).await.unwrap() else {
        panic!("not assigned")
    };
    assert_eq!(assigned.len(), 4);
    assert!(
        assigned
            .iter()
            .all(|a| a.position.next == Offset::new(0) && a.lost_from.is_none())
    );
    let read = take(&mut *member, 50).await;
    for r in &read {
        member.settle(&r.slot(), r.offset);
    }
    member.flush().await.unwrap();
    let stored: u64 = bus
        .group_positions("g", &[T])
        .await
        .unwrap()
        .iter()
        .map(|p| p.next.get())
        .sum();
    assert_eq!(stored, 50);
    member.leave().await.unwrap();
    bus.append(vec![record(T, "new", "new")]).await.unwrap();
    let mut member = bus.join("g", "m", &[T], GroupOptions::default()).await.unwrap();
    assert_eq!(value(&take(&mut *member, 1).await[0]), "new");
}

pub async fn unsettled_records_come_back<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..10).map(|n| record(AGED, "k", &n.to_string())).collect())
        .await
        .unwrap();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let read = take(&mut *member, 10).await;
    for r in &read[..4] {
        member.settle(&r.slot(), r.offset);
    }
    drop(member);
    let mut member = bus
        .join("g", "m2", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let again = take(&mut *member, 6).await;
    assert_eq!(
        again.iter().map(value).collect::<Vec<_>>(),
        ["4", "5", "6", "7", "8", "9"]
    );
}

pub async fn only_the_prefix_is_stored<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..6).map(|n| record(AGED, "k", &n.to_string())).collect())
        .await
        .unwrap();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let read = take(&mut *member, 6).await;
    for at in [0, 2, 3, 5] {
        member.settle(&read[at].slot(), read[at].offset);
    }
    member.leave().await.unwrap();
    assert_eq!(
        bus.group_positions("g", &[AGED]).await.unwrap(),
        [slot(AGED, 0).at(Offset::new(1))]
    );
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(take(&mut *member, 5).await.len(), 5);
}

pub async fn groups_are_apart<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    for group in ["g1", "g2"] {
        let mut member = bus
            .join(group, "m", &[AGED], GroupOptions::default())
            .await
            .unwrap();
        let read = take(&mut *member, 1).await;
        member.settle(&read[0].slot(), read[0].offset);
        member.leave().await.unwrap();
    }
    assert!(bus.group_positions("g3", &[AGED]).await.unwrap().is_empty());
}

pub async fn members_share<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let mut a = bus
        .join("g", "a", &[T, U], GroupOptions::default())
        .await
        .unwrap();
    assert!(matches!(soon(a.next()).await.unwrap(), GroupEvent::Assigned(all) if all.len() == 8));
    let mut b = bus
        .join("g", "b", &[T, U], GroupOptions::default())
        .await
        .unwrap();
    let GroupEvent::Revoked { partitions, .. } = soon(a.next()).await.unwrap() else {
        panic!("not revoked")
    };
    assert_eq!(partitions.len(), 4);
    let numbers = |topic| -> BTreeSet<Partition> {
        partitions
            .iter()
            .filter(|p| p.topic == topic)
            .map(|p| p.partition)
            .collect()
    };
    assert_eq!(numbers(T), numbers(U), "equal numbers go together");
    a.release(&partitions);
    assert!(matches!(soon(b.next()).await.unwrap(), GroupEvent::Assigned(half) if half.len() == 4));
    bus.append((0..40).map(|n| record(T, &n.to_string(), "v")).collect())
        .await
        .unwrap();
    let of_b: Vec<_> = partitions
        .iter()
        .filter(|p| p.topic == T)
        .map(|p| p.partition)
        .collect();
    let expected_b = (0..40)
        .filter(|n: &u32| of_b.contains(&partition_of(n.to_string().as_bytes(), 4)))
        .count();
    let (read_a, read_b) = tokio::join!(take(&mut *a, 40 - expected_b), take(&mut *b, expected_b));
    assert!(read_b.iter().all(|r| of_b.contains(&r.partition)));
    assert!(read_a.iter().all(|r| !of_b.contains(&r.partition)));
    // One leaves, the other gets all; what was not settled comes again.
    drop(a);
    assert_eq!(take(&mut *b, 40 - expected_b).await.len(), 40 - expected_b);
}

pub async fn a_revoked_member_may_settle_until_it_releases<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..40).map(|n| record(T, &n.to_string(), "v")).collect())
        .await
        .unwrap();
    let mut a = bus.join("g", "a", &[T], GroupOptions::default()).await.unwrap();
    let read = take(&mut *a, 40).await;
    let mut b = bus.join("g", "b", &[T], GroupOptions::default()).await.unwrap();
    let GroupEvent::Revoked { partitions, within } = soon(a.next()).await.unwrap() else {
        panic!()
    };
    assert!(within > Duration::from_secs(5));
    for r in &read {
        a.settle(&r.slot(), r.offset);
    }
    a.release(&partitions);
    assert!(matches!(soon(b.next()).await.unwrap(), GroupEvent::Assigned(_)));
    let nothing = tokio::time::timeout(Duration::from_millis(30), b.next()).await;
    assert!(nothing.is_err(), "all were settled before: {nothing:?}");
}

pub async fn a_zombie_cannot_settle<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..40).map(|n| record(T, &n.to_string(), "v")).collect())
        .await
        .unwrap();
    let options = GroupOptions {
        drain: Duration::from_millis(30),
        ..GroupOptions::default()
    };
    let mut zombie = bus.join("g", "a", &[T], options).await.unwrap();
    let read = take(&mut *zombie, 40).await;
    // The zombie neither polls nor releases; after its time the partitions go to the other one regardless.
    let mut heir = bus.join("g", "b", &[T], options).await.unwrap();
    let GroupEvent::Assigned(assigned) = soon(heir.next()).await.unwrap() else {
        panic!()
    };
    for r in &read {
        zombie.settle(&r.slot(), r.offset);
    }
    let stored = bus.group_positions("g", &[T]).await.unwrap();
    let heirs: Vec<Partition> = assigned.iter().map(|a| a.position.partition).collect();
    assert!(
        !heirs.is_empty() && stored.iter().all(|p| !heirs.contains(&p.partition)),
        "{stored:?}"
    );
    let expected = read.iter().filter(|r| heirs.contains(&r.partition)).count();
    assert_eq!(take(&mut *heir, expected).await.len(), expected);
}

pub async fn a_paused_member_gets_nothing<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    assert!(matches!(
        soon(member.next()).await.unwrap(),
        GroupEvent::Assigned(_)
    ));
    member.pause(&[slot(AGED, 0)]);
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(30), member.next())
            .await
            .is_err()
    );
    member.resume(&[slot(AGED, 0)]);
    assert_eq!(take(&mut *member, 1).await.len(), 1);
}

pub async fn compaction_keeps_the_newest<H: Harness>() {
    let harness = fresh::<H>().await;
    harness.prepare_compaction().await;
    let bus = harness.bus();
    for round in 0..20 {
        let records = (0..5).map(|k| record(COMPACTED, &format!("k{k}"), &format!("{round}")));
        bus.append(records.collect()).await.unwrap();
    }
    bus.append(vec![record(COMPACTED, "once", "first")])
        .await
        .unwrap();
    let before = bus.extents(&COMPACTED).await.unwrap();
    harness.clean_up(at(1)).await;
    assert_eq!(
        bus.extents(&COMPACTED).await.unwrap(),
        before,
        "compaction moves neither start nor end"
    );
    let (mut kept, mut count) = (BTreeMap::new(), 0);
    restore(
        &*bus,
        &COMPACTED,
        None,
        ReadLimits {
            records: 2,
            bytes: 100,
        },
        |r| {
            count += 1;
            kept.insert(r.key.to_vec(), value(&r));
        },
    )
    .await
    .unwrap();
    assert_eq!(kept.len(), 6);
    assert!(
        if H::COMPACTS_ALL { count == 6 } else { count < 20 },
        "{count} records are left"
    );
    assert_eq!(kept[b"once".as_slice()], "first");
    assert!((0..5).all(|k| kept[format!("k{k}").as_bytes()] == "19"));
}

pub async fn retention_takes_the_old<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    for hour in 0..10 {
        let new = NewRecord::new(AGED, "k", hour.to_string(), at(hour));
        bus.append(vec![new]).await.unwrap();
    }
    harness.clean_up(at(10)).await;
    let extent = bus.extents(&AGED).await.unwrap()[0];
    assert_eq!((extent.start, extent.end), (Offset::new(9), Offset::new(10)));
    harness.clean_up(at(100)).await;
    let extent = bus.extents(&AGED).await.unwrap()[0];
    assert_eq!(
        (extent.start, extent.end),
        (Offset::new(10), Offset::new(10)),
        "offsets are not used again"
    );
    drop(bus);
    let harness = harness.reopened().await;
    let position = harness.bus().append(vec![record(AGED, "k", "v")]).await.unwrap();
    assert_eq!(position[0].next, Offset::new(11));
}

pub async fn a_group_is_told_what_it_lost<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    bus.append((0..3).map(|n| record(AGED, "k", &n.to_string())).collect())
        .await
        .unwrap();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let read = take(&mut *member, 3).await;
    member.settle(&read[0].slot(), read[0].offset);
    member.leave().await.unwrap();
    harness.clean_up(at(50)).await;
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    let GroupEvent::Assigned(assigned) = soon(member.next()).await.unwrap() else {
        panic!()
    };
    assert_eq!(assigned[0].position.next, Offset::new(3));
    assert_eq!(assigned[0].lost_from, Some(Offset::new(1)));
}

pub async fn a_reader_is_told_that_it_was_overtaken<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let mut reader = bus
        .read(starts(&*bus, &AGED).await, ReadLimits::default())
        .await
        .unwrap();
    // Paused, or the record might be fetched before it goes.
    reader.pause(&[slot(AGED, 0)]);
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    harness.clean_up(at(50)).await;
    reader.resume(&[slot(AGED, 0)]);
    assert!(matches!(
        soon(reader.next()).await,
        Err(BusError::BeforeStart { .. })
    ));
}

pub async fn state_is_restored<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let none = restore(&*bus, &COMPACTED, None, ReadLimits::default(), |_| {
        panic!("it is empty")
    })
    .await
    .unwrap();
    assert_eq!(none.len(), 2);
    bus.append((0..100).map(|n| record(COMPACTED, &n.to_string(), "v")).collect())
        .await
        .unwrap();
    let mut count = 0;
    let wanted = [Partition::new(1)];
    let after = restore(&*bus, &COMPACTED, Some(&wanted), ReadLimits::default(), |r| {
        assert_eq!(r.partition, Partition::new(1));
        count += 1;
    })
    .await
    .unwrap();
    assert_eq!(after[0].next, bus.extents(&COMPACTED).await.unwrap()[1].end);
    assert_eq!(count, after[0].next.get());
}

pub async fn everything_survives_closing<H: Harness>() {
    if !H::DURABLE {
        return;
    }
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let id = bus.log_id(&[T, AGED]).await.unwrap();
    bus.append((0..20).map(|n| record(AGED, "k", &n.to_string())).collect())
        .await
        .unwrap();
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    for r in &take(&mut *member, 20).await[..7] {
        member.settle(&r.slot(), r.offset);
    }
    member.leave().await.unwrap();
    drop(bus);
    let harness = harness.reopened().await;
    let bus = harness.bus();
    assert_eq!(bus.log_id(&[T, AGED]).await.unwrap(), id);
    let mut member = bus
        .join("g", "m", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(value(&take(&mut *member, 13).await[0]), "7");
    bus.ensure_topics(&[spec(AGED, 1, CleanUp::Delete(HOUR))])
        .await
        .unwrap();
}

pub async fn many_writers_at_once<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let writers = (0..50).map(|w| {
        let bus = bus.clone();
        async move {
            for n in 0..4 {
                bus.append(vec![record(T, &w.to_string(), &n.to_string())])
                    .await
                    .unwrap();
            }
        }
    });
    soon(futures::future::join_all(writers)).await;
    let mut reader = bus
        .read(starts(&*bus, &T).await, ReadLimits::default())
        .await
        .unwrap();
    let mut seen: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < 200 {
        for r in soon(reader.next()).await.unwrap() {
            seen.entry(r.key.to_vec()).or_default().push(value(&r));
        }
    }
    assert!(seen.values().all(|of_writer| of_writer == &["0", "1", "2", "3"]));
}

pub async fn large_records_are_refused<H: Harness>() {
    let harness = fresh::<H>().await;
    let bus = harness.bus();
    let fits = record(AGED, "k", &"x".repeat(MAX_RECORD_BYTES - 1));
    bus.append(vec![fits]).await.unwrap();
    let error = bus
        .append(vec![record(AGED, "k", &"x".repeat(MAX_RECORD_BYTES))])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            BusError::TooLarge {
                limit: MAX_RECORD_BYTES,
                ..
            }
        ) && !error.is_transient()
    );
}
