//! Kafka under test: a real broker on loopback, one for all cases, each with names of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bus::{AccessRule, Bus, BusError, Change, KafkaBus, KafkaOptions, ReadLimits, Record, restore};
use model::{Position, Timestamp, TopicName, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};

use crate::harness::{AGED, COMPACTED, HOUR, Harness, soon};

/// Applies changes, and waits until every broker has them: access rules take a moment.
pub async fn applied(admin: &KafkaBus, topics: &[TopicSpec], rules: &[AccessRule], changes: Vec<Change>) {
    admin.apply(changes).await.unwrap();
    soon(async {
        while !admin
            .plan(topics, rules.to_vec(), &[], &[])
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// A cluster that ends with this test process, however that ends.
pub struct Cluster {
    pub folder: PathBuf,
    pub bootstrap: String,
}

impl Cluster {
    /// Starts one with these arguments of `kafka.sh start`.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut command = script();
        command.arg("start").arg(&folder).args(arguments);
        command.args(["--attend", &std::process::id().to_string()]);
        let output = command.output().expect("bash runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bootstrap = std::fs::read_to_string(folder.join("bootstrap")).unwrap();
        Self {
            folder,
            bootstrap: bootstrap.trim().to_owned(),
        }
    }

    /// `kafka.sh COMMAND DIR …`.
    pub fn run(&self, command: &str, arguments: &[&str]) {
        let status = script()
            .arg(command)
            .arg(&self.folder)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "kafka.sh {command} {arguments:?}");
    }
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/local/kafka.sh"
    ));
    command
}

/// The cluster of the conformance suite. Records of tests are of 1970: no retention but what a test asks for.
pub static SHARED: LazyLock<Cluster> = LazyLock::new(|| {
    Cluster::start(&[
        "--set",
        "log.retention.check.interval.ms=2000000000",
        "--set",
        "log.initial.task.delay.ms=2000000000",
        "--set",
        "log.cleaner.backoff.ms=100",
        "--set",
        "log.cleaner.min.cleanable.ratio=0.001",
    ])
});

/// A name that no other case has.
pub fn fresh_prefix() -> String {
    static CASES: AtomicU32 = AtomicU32::new(0);
    format!("case{}.", CASES.fetch_add(1, Ordering::Relaxed))
}

pub fn options(bootstrap: &str, prefix: &str) -> KafkaOptions {
    KafkaOptions {
        prefix: prefix.to_owned(),
        recheck: Duration::from_millis(200),
        ..KafkaOptions::new(bootstrap)
    }
}

pub struct Kafka {
    bus: KafkaBus,
    prefix: String,
}

impl Kafka {
    async fn open(prefix: String) -> Self {
        let cluster = tokio::task::spawn_blocking(|| &*SHARED).await.unwrap();
        let bus = KafkaBus::connect(options(&cluster.bootstrap, &prefix))
            .await
            .unwrap();
        Self { bus, prefix }
    }

    async fn all(&self, topic: &TopicName) -> Vec<Record> {
        let mut records = Vec::new();
        restore(&self.bus, topic, None, ReadLimits::default(), |record| {
            records.push(record)
        })
        .await
        .unwrap();
        records
    }

    /// What retention would do at `now`.
    async fn delete_old(&self, now: Timestamp) {
        let old = self.all(&AGED).await;
        let Some(last) = old.iter().take_while(|r| now.since(r.timestamp) > HOUR).last() else {
            return;
        };
        let mut list = TopicPartitionList::new();
        let name = format!("{}{AGED}", self.prefix);
        let until = RawOffset::Offset(last.offset.next().get() as i64);
        list.add_partition_offset(&name, 0, until).unwrap();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &SHARED.bootstrap)
            .create()
            .unwrap();
        let deleted = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
        for element in deleted.elements() {
            element.error().unwrap();
        }
    }

    /// The cleaner works in its own time: wait until it has.
    async fn wait_for_compaction(&self) {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            let records = self.all(&COMPACTED).await;
            let keys: BTreeSet<_> = records.iter().map(|record| record.key.clone()).collect();
            // Keys of the segment that is written to keep an older record in front of it.
            if records.len() < 2 * keys.len() || keys.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not compacted: {} records",
                records.len()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Harness for Kafka {
    const DURABLE: bool = true;
    const COMPACTS_ALL: bool = false;

    async fn fresh() -> Self {
        Self::open(fresh_prefix()).await
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    /// The segment that is written to is never compacted: each batch gets one of its own.
    async fn prepare_compaction(&self) {
        let change = Change::Configure {
            topic: format!("{}{COMPACTED}", self.prefix),
            settings: vec![("internal.segment.bytes".to_owned(), "150".to_owned())],
        };
        self.bus.apply(vec![change]).await.unwrap();
    }

    async fn clean_up(&self, now: Timestamp) {
        self.delete_old(now).await;
        self.wait_for_compaction().await;
    }

    async fn reopened(self) -> Self {
        self.bus.close().await.unwrap();
        Self::open(self.prefix).await
    }

    async fn set_group_positions(&self, group: &str, positions: &[Position]) -> Result<(), BusError> {
        self.bus.set_group_positions(group, positions).await
    }
}
