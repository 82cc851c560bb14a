//! SCRAM over TLS, and access rules that are kept.

use std::time::Duration;

use bus::{Bus, BusError, GroupOptions, KafkaBus, KafkaOptions, KafkaSasl, KafkaTls, ReadLimits, grants};
use events::{ACCESS_DENIALS, PROJECT_TOKENS, PUSH_EVENTS, declared_topics, topic_specs};
use model::{Secret, TopicName};

use crate::harness::*;
use crate::kafka::{Cluster, applied};

/// Every principal of an installation.
const ROLES: [&str; 6] = [
    "webhook-service",
    "commit-fetcher",
    "triple-generator",
    "graph-writer",
    "query-service",
    "operator",
];

fn password(cluster: &Cluster, user: &str) -> String {
    let users = std::fs::read_to_string(cluster.folder.join("users")).unwrap();
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{user} ")));
    line.unwrap().to_owned()
}

fn secure(cluster: &Cluster, user: &str, password: String) -> KafkaOptions {
    let bootstrap = std::fs::read_to_string(cluster.folder.join("bootstrap.secure")).unwrap();
    KafkaOptions {
        tls: Some(KafkaTls {
            authorities: Some(cluster.folder.join("ca.pem")),
            identity: None,
        }),
        sasl: Some(KafkaSasl::ScramSha512 {
            user: user.to_owned(),
            password: Secret::new(password),
        }),
        deadline: Duration::from_secs(8),
        make_topics: user == "admin",
        ..KafkaOptions::new(bootstrap.trim())
    }
}

#[tokio::test]
async fn only_whom_the_rules_name_may_read_and_write() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&["--tls-scram"]))
        .await
        .unwrap();
    let wrong = KafkaBus::connect(secure(&cluster, "admin", "wrong".to_owned()))
        .await
        .unwrap_err();
    assert!(matches!(wrong, BusError::Refused(_)), "{wrong:?}");

    let admin = KafkaBus::connect(secure(&cluster, "admin", password(&cluster, "admin")))
        .await
        .unwrap();
    let topics = topic_specs();
    let rules = admin.access_rules(&grants(declared_topics()));
    let changes = admin.plan(&topics, rules.clone(), &[], &[]).await.unwrap();
    assert_eq!(changes.len(), topics.len() + 1, "{changes:?}");
    applied(&admin, &topics, &rules, changes).await;

    let of = |role: &'static str| KafkaBus::connect(secure(&cluster, role, password(&cluster, role)));
    let webhook = of("webhook-service").await.unwrap();
    webhook
        .append(vec![record(PROJECT_TOKENS, "1", "sealed")])
        .await
        .unwrap();

    let fetcher = of("commit-fetcher").await.unwrap();
    let mut reader = fetcher
        .read(starts(&fetcher, &PROJECT_TOKENS).await, ReadLimits::default())
        .await
        .unwrap();
    assert_eq!(value(&soon(reader.next()).await.unwrap()[0]), "sealed");

    for role in ROLES {
        let bus = of(role).await.unwrap();
        if role != "commit-fetcher" {
            let refused = read_any(&bus, &PROJECT_TOKENS).await.unwrap_err();
            assert!(
                matches!(refused, BusError::Refused(_)),
                "{role} reads: {refused:?}"
            );
        }
        if role != "webhook-service" {
            let forged = bus.append(vec![record(PROJECT_TOKENS, "1", "forged")]).await;
            let refused = forged.unwrap_err();
            assert!(
                matches!(refused, BusError::Refused(_)),
                "{role} writes: {refused:?}"
            );
        }
    }

    // What a role has to do it may do, its group included.
    webhook
        .append(vec![record(PUSH_EVENTS, "1", "look")])
        .await
        .unwrap();
    let mut member = fetcher
        .join("commit-fetcher", "m", &[PUSH_EVENTS], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(take(&mut *member, 1).await.len(), 1);
    let writer = of("graph-writer").await.unwrap();
    webhook
        .append(vec![record(ACCESS_DENIALS, "user/3", "no")])
        .await
        .unwrap();
    assert_eq!(read_any(&writer, &ACCESS_DENIALS).await.unwrap(), "no");
}

/// The first record that is given of a topic that has one.
async fn read_any(bus: &KafkaBus, topic: &TopicName) -> Result<String, BusError> {
    let slots = (0..16).map(|number| slot(topic.clone(), number).at(model::Offset::new(0)));
    let mut reader = bus.read(slots.collect(), ReadLimits::default()).await?;
    loop {
        if let Some(record) = soon(reader.next()).await?.first() {
            return Ok(value(record));
        }
    }
}
