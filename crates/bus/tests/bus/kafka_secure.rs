//! SCRAM over TLS, and access rules that are kept.

use std::time::Duration;

use bus::{
    Bus, BusError, Grant, Granted, GroupOptions, KafkaBus, KafkaOptions, KafkaSasl, KafkaTls, Operation,
    ReadLimits,
};
use model::{Secret, TopicName};

use crate::harness::*;
use crate::kafka::Cluster;

const TOKENS: TopicName = TopicName::from_static("renku.project-tokens.v1");

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

fn grant(role: &str, on: Granted, operation: Operation) -> Grant {
    Grant {
        role: role.to_owned(),
        on,
        operation,
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
    let topics = [spec(TOKENS, 2, model::CleanUp::Compact)];
    let rules = admin.access_rules(&[
        grant("webhook-service", Granted::Topic(TOKENS), Operation::Write),
        grant("commit-fetcher", Granted::Topic(TOKENS), Operation::Read),
        grant(
            "commit-fetcher",
            Granted::Group("commit-fetcher".to_owned()),
            Operation::Read,
        ),
        grant("commit-fetcher", Granted::Readers, Operation::Describe),
        grant("graph-writer", Granted::Readers, Operation::Describe),
    ]);
    let changes = admin.plan(&topics, rules.clone(), &[], &[]).await.unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
    admin.apply(changes).await.unwrap();
    soon(async {
        while !admin
            .plan(&topics, rules.clone(), &[], &[])
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;

    let of = |role: &'static str| KafkaBus::connect(secure(&cluster, role, password(&cluster, role)));
    let webhook = of("webhook-service").await.unwrap();
    webhook.append(vec![record(TOKENS, "1", "sealed")]).await.unwrap();

    let fetcher = of("commit-fetcher").await.unwrap();
    let mut reader = fetcher
        .read(starts(&fetcher, &TOKENS).await, ReadLimits::default())
        .await
        .unwrap();
    assert_eq!(value(&soon(reader.next()).await.unwrap()[0]), "sealed");
    let mut member = fetcher
        .join("commit-fetcher", "m", &[TOKENS], GroupOptions::default())
        .await
        .unwrap();
    assert_eq!(take(&mut *member, 1).await.len(), 1);
    let refused = fetcher
        .append(vec![record(TOKENS, "1", "forged")])
        .await
        .unwrap_err();
    assert!(matches!(refused, BusError::Refused(_)), "{refused:?}");

    let writer = of("graph-writer").await.unwrap();
    let refused = writer.extents(&TOKENS).await.unwrap_err();
    assert!(matches!(refused, BusError::Refused(_)), "{refused:?}");
    let refused = webhook
        .read(
            vec![slot(TOKENS, 0).at(model::Offset::new(0))],
            ReadLimits::default(),
        )
        .await;
    let refused = match refused {
        Err(error) => error,
        Ok(mut reader) => soon(reader.next()).await.unwrap_err(),
    };
    assert!(matches!(refused, BusError::Refused(_)), "{refused:?}");
}
