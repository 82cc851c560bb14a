//! What only a cluster can do: lose a broker, share a group among processes, have a topic made anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Change, GroupEvent, GroupOptions, KafkaBus, KafkaOptions, ReadLimits};
use model::CleanUp;

use crate::harness::*;
use crate::kafka::{Cluster, SHARED, fresh_prefix, options};

async fn shared_bus(prefix: &str) -> KafkaBus {
    let cluster = tokio::task::spawn_blocking(|| &*SHARED).await.unwrap();
    let bus = KafkaBus::connect(options(&cluster.bootstrap, prefix))
        .await
        .unwrap();
    declare(&bus).await;
    bus
}

#[tokio::test]
async fn nobody_there_is_told_within_the_deadline() {
    let options = KafkaOptions {
        deadline: Duration::from_secs(2),
        ..KafkaOptions::new("127.0.0.1:1")
    };
    let began = Instant::now();
    let error = KafkaBus::connect(options).await.unwrap_err();
    assert!(error.is_transient() && began.elapsed() < Duration::from_secs(10));
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        why.contains("no broker of 127.0.0.1:1 answered within 2 s"),
        "{why}"
    );
}

/// Two members under load, one of them coming and going: every record is settled once or more, none is left out.
#[tokio::test]
async fn a_rebalance_under_load_loses_nothing() {
    let prefix = fresh_prefix();
    let bus = shared_bus(&prefix).await;
    let mut first = bus
        .join("g", "a", &[T, U], GroupOptions::default())
        .await
        .unwrap();
    let mut second = None;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut revoked = 0;
    for round in 0..6 {
        let new = (0..100).map(|n| {
            record(
                if n % 2 == 0 { T } else { U },
                &n.to_string(),
                &format!("{round}-{n}"),
            )
        });
        bus.append(new.collect()).await.unwrap();
        match round {
            1 => {
                second = Some(
                    bus.join("g", "b", &[T, U], GroupOptions::default())
                        .await
                        .unwrap(),
                )
            }
            3 => drop(second.take()),
            _ => {}
        }
        let until = Instant::now() + Duration::from_millis(if round == 5 { 20_000 } else { 1_500 });
        while Instant::now() < until && seen.len() < 600 {
            let event = tokio::select! {
                event = first.next() => (true, event.unwrap()),
                event = async { second.as_mut().unwrap().next().await }, if second.is_some() => (false, event.unwrap()),
                () = tokio::time::sleep(Duration::from_millis(200)) => continue,
            };
            let member = if event.0 {
                &mut first
            } else {
                second.as_mut().unwrap()
            };
            match event.1 {
                GroupEvent::Records(records) => {
                    for r in records {
                        seen.insert(value(&r));
                        member.settle(&r.slot(), r.offset);
                    }
                }
                GroupEvent::Revoked { partitions, .. } => {
                    revoked += 1;
                    member.release(&partitions);
                }
                GroupEvent::Assigned(_) => {}
            }
        }
    }
    assert_eq!(seen.len(), 600);
    assert!(revoked > 0);
    first.flush().await.unwrap();
    let stored: u64 = bus
        .group_positions("g", &[T, U])
        .await
        .unwrap()
        .iter()
        .map(|p| p.next.get())
        .sum();
    assert_eq!(stored, 600);
}

/// A member that comes back within its session gets its partitions at once: nobody waits for the dead one.
#[tokio::test]
async fn a_static_member_is_back_at_once() {
    let prefix = fresh_prefix();
    shared_bus(&prefix).await;
    let with_instance = KafkaOptions {
        instance: Some("node-1".to_owned()),
        ..options(&SHARED.bootstrap, &prefix)
    };
    let bus = KafkaBus::connect(with_instance).await.unwrap();
    bus.append(vec![record(AGED, "k", "v")]).await.unwrap();
    let mut member = bus
        .join("g", "m-1", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(take(&mut *member, 1).await.len(), 1);
    // It never said good-bye: its successor takes its place, whatever it calls itself.
    let began = Instant::now();
    let mut successor = bus
        .join("g", "m-2", &[AGED], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(take(&mut *successor, 1).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let told = loop {
        match soon(member.next()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(told, BusError::Fenced), "{told}");
}

#[tokio::test]
async fn a_session_too_short_for_handing_over_is_refused() {
    let prefix = fresh_prefix();
    let bus = shared_bus(&prefix).await;
    let slow = GroupOptions {
        drain: Duration::from_secs(60),
        ..GroupOptions::default()
    };
    assert!(matches!(
        bus.join("g", "m", &[T], slow).await,
        Err(BusError::Settings(_))
    ));
}

#[tokio::test]
async fn a_topic_made_anew_is_noticed() {
    let prefix = fresh_prefix();
    let bus = shared_bus(&prefix).await;
    let (before, other) = (bus.log_id(&[T]).await.unwrap(), bus.log_id(&[U]).await.unwrap());
    bus.append(vec![record(T, "k", "v")]).await.unwrap();
    let mut reader = bus
        .read(starts(&bus, &T).await, ReadLimits::default())
        .await
        .unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().len(), 1);
    let delete = Change::Delete {
        topic: format!("{prefix}{T}"),
    };
    bus.apply(vec![delete]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = bus.ensure_topics(&[spec(T, 4, CleanUp::Delete(HOUR))]).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let told = soon(async {
        loop {
            if let Err(error) = reader.next().await {
                break error;
            }
        }
    })
    .await;
    assert!(
        matches!(&told, BusError::Replaced { topic } if *topic == T),
        "{told}"
    );
    assert_ne!(bus.log_id(&[T]).await.unwrap(), before);
    assert_eq!(bus.log_id(&[U]).await.unwrap(), other);
}

/// The only broker is killed and comes back: an append fails in time with a clear error, and everything goes on.
#[tokio::test]
async fn a_killed_broker_comes_back() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&[])).await.unwrap();
    let with_deadline = KafkaOptions {
        deadline: Duration::from_secs(3),
        ..options(&cluster.bootstrap, "")
    };
    // Making topics may take a busy broker longer.
    declare(&KafkaBus::connect(options(&cluster.bootstrap, "")).await.unwrap()).await;
    let bus = KafkaBus::connect(with_deadline).await.unwrap();
    let fresh = |n: u64| bus::NewRecord::new(T, n.to_string(), n.to_string(), now());
    bus.append((0..10).map(fresh).collect()).await.unwrap();
    let mut reader = bus
        .read(starts(&bus, &T).await, ReadLimits::default())
        .await
        .unwrap();
    let mut member = bus.join("g", "m", &[T], GroupOptions::default()).await.unwrap();
    let taken = take(&mut *member, 10).await;
    for r in &taken {
        member.settle(&r.slot(), r.offset);
    }
    member.flush().await.unwrap();
    cluster.run("stop-broker", &["1", "--kill"]);
    let began = Instant::now();
    let error = bus.append(vec![fresh(10)]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    cluster.run("start-broker", &["1"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = bus.append(vec![fresh(11)]).await {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut read = BTreeSet::new();
    while !read.contains("11") {
        read.extend(soon(reader.next()).await.unwrap().iter().map(value));
    }
    assert!((0..10).all(|n: u32| read.contains(&n.to_string())));
    work_until(&mut *member, "11", SESSION).await;
    member.flush().await.unwrap();
    bus.close().await.unwrap();
    assert!(matches!(bus.append(vec![fresh(12)]).await, Err(BusError::Closed)));
}

/// As long as a member is silent before the group gives it up, unless an option says otherwise.
const SESSION: Duration = Duration::from_secs(45);

/// Works until that value came. After an outage longer than the session the member may have to join under a new name while the
/// group still waits for the old one, so a whole session more is allowed.
async fn work_until(member: &mut dyn bus::GroupConsumer, last: &str, session: Duration) -> Duration {
    let began = Instant::now();
    let deadline = began + session + Duration::from_secs(60);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = tokio::time::timeout(left, member.next()).await;
        match event.expect("a member is back after a session").unwrap() {
            GroupEvent::Records(records) => {
                for r in &records {
                    member.settle(&r.slot(), r.offset);
                }
                if records.iter().any(|r| value(r) == last) {
                    return began.elapsed();
                }
            }
            GroupEvent::Revoked { partitions, .. } => member.release(&partitions),
            GroupEvent::Assigned(_) => {}
        }
    }
}

/// The only broker is away for longer than a session: the member joins again, and nothing is left out.
#[tokio::test]
async fn a_broker_away_for_longer_than_a_session_is_no_end() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&[])).await.unwrap();
    let session = Duration::from_secs(6);
    let short = KafkaOptions {
        session,
        ..options(&cluster.bootstrap, "")
    };
    let bus = KafkaBus::connect(short).await.unwrap();
    declare(&bus).await;
    let handing_over = GroupOptions {
        drain: Duration::from_secs(1),
        ..GroupOptions::default()
    };
    let mut member = bus.join("g", "m", &[T], handing_over).await.unwrap();
    let fresh = |n: u64| bus::NewRecord::new(T, n.to_string(), n.to_string(), now());
    bus.append(vec![fresh(1)]).await.unwrap();
    work_until(&mut *member, "1", session).await;
    member.flush().await.unwrap();
    cluster.run("stop-broker", &["1", "--kill"]);
    tokio::time::sleep(session + Duration::from_secs(4)).await;
    cluster.run("start-broker", &["1"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = bus.append(vec![fresh(2)]).await {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = work_until(&mut *member, "2", session).await;
    assert!(took < session + Duration::from_secs(30), "{took:?}");
    member.flush().await.unwrap();
    bus.close().await.unwrap();
}

/// The broker applies retention by the clock: records of 1970 would go.
#[allow(
    clippy::disallowed_methods,
    reason = "a real broker compares with the real time"
)]
fn now() -> model::Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    model::Timestamp::from_micros(since.as_micros() as i64)
}
