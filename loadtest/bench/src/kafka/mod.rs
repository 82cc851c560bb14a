//! The bus on Apache Kafka against Kafka's own `ProducerPerformance`: the same broker, records and promises.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use bus::{Bus, KafkaBus, KafkaOptions, NewRecord};
use futures::StreamExt as _;
use model::{CleanUp, Timestamp, TopicName, TopicSpec};

use crate::bar::Bar;
use crate::measure::child;
use crate::seeded::Seeded;
use crate::stats::{Pair, median, ratio};
use crate::table::{Report, Table, figure, times};

const OURS: TopicName = TopicName::from_static("bench-ours");
const PEER: &str = "bench-peer";
const PARTITIONS: u32 = 16;
/// Records of one append, and appends under way: what our workers do.
const TOGETHER: usize = 100;
const UNDER_WAY: usize = 64;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cache: PathBuf,
    /// This executable: our sender is another process of it.
    pub bench: PathBuf,
    pub pairs: usize,
    pub records: usize,
    pub record_bytes: usize,
}

/// One run of a sender.
struct Sent {
    per_second: f64,
    /// CPU seconds of the whole process for each record.
    cpu: f64,
}

/// Runs the benchmark.
///
/// # Errors
/// Kafka does not start, or a sender fails.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let folder = settings.cache.join("bench/kafka");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let cluster = Cluster::start(&folder.join("cluster"))?;
    cluster.make_topics()?;
    let mut pairs = Vec::new();
    for at in 0..=settings.pairs {
        let (peer, ours) = match at % 2 {
            0 => {
                let peer = cluster.peer(settings)?;
                (peer, cluster.ours(settings)?)
            }
            _ => {
                let ours = cluster.ours(settings)?;
                (cluster.peer(settings)?, ours)
            }
        };
        // The first pair warms the broker up.
        if at > 0 {
            pairs.push((peer, ours));
        }
    }
    let mut report = Report::new("Kafka: our bus against ProducerPerformance", &moment);
    report.paragraph(&format!(
        "{} records of {} random letters into {PARTITIONS} partitions of one broker on loopback, `acks=all`, idempotent, zstd, \
         batches of 256 KiB, linger 2 ms, five requests in flight. Ours: keyed, {TOGETHER} records an append, {UNDER_WAY} \
         appends under way, each answered with its positions. The peer: no keys, Kafka's Java client of 4.4. {} interleaved pairs \
         after one unmeasured; CPU of the whole process with its children (the peer's includes the start of the JVM and the making of random letters one by one), records a \
         second as each sender counts them from its first record. The broker shares the two cores.",
        settings.records, settings.record_bytes, settings.pairs
    ));
    let of = |take: fn(&Sent) -> f64| -> Vec<Pair> {
        pairs
            .iter()
            .map(|(peer, ours)| Pair {
                peer: take(peer),
                ours: take(ours),
            })
            .collect()
    };
    let rates = of(|sent| sent.per_second);
    // How much more ours sends: the ratio the other way round.
    let turned: Vec<Pair> = rates
        .iter()
        .map(|pair| Pair {
            peer: pair.ours,
            ours: pair.peer,
        })
        .collect();
    let cpu = of(|sent| sent.cpu);
    let cpu_turned: Vec<Pair> = cpu
        .iter()
        .map(|pair| Pair {
            peer: pair.ours,
            ours: pair.peer,
        })
        .collect();
    let middle = |pairs: &[Pair], take: fn(&Pair) -> f64| median(&pairs.iter().map(take).collect::<Vec<_>>());
    let mut table = Table::new(&["what", "peer", "ours", "ours / peer", "bar", "verdict"]);
    let throughput = ratio(&turned, 1);
    table.row([
        "records a second".to_owned(),
        figure(middle(&rates, |pair| pair.peer)),
        figure(middle(&rates, |pair| pair.ours)),
        times(throughput),
        "≥ 0.8×".to_owned(),
        Bar::AtLeast(0.8).judge(throughput).to_string(),
    ]);
    let cost = ratio(&cpu_turned, 1);
    table.row([
        "CPU µs a record".to_owned(),
        figure(middle(&cpu, |pair| pair.peer) * 1e6),
        figure(middle(&cpu, |pair| pair.ours) * 1e6),
        times(cost),
        "≤ 1.25×".to_owned(),
        Bar::AtMost(1.25).judge(cost).to_string(),
    ]);
    report.table(&table);
    Ok(report)
}

/// One broker, which ends with this.
pub(crate) struct Cluster {
    folder: PathBuf,
    pub(crate) brokers: String,
}

const SCRIPT: &str = "deploy/local/kafka.sh";

impl Cluster {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        let told = child::output(Command::new("bash").args([SCRIPT, "start"]).arg(folder))?;
        let brokers = String::from_utf8(told)?
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned();
        Ok(Self {
            folder: folder.to_owned(),
            brokers,
        })
    }

    pub(crate) fn make_topics(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let bus = KafkaBus::connect(KafkaOptions::new(&self.brokers)).await?;
            bus.ensure_topics(&[spec(OURS), spec(TopicName::from_static(PEER))])
                .await?;
            Ok(())
        })
    }

    fn peer(&self, settings: &Settings) -> anyhow::Result<Sent> {
        let libraries = settings.cache.join("kafka/libs/*");
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-cp"]).arg(libraries).args([
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic",
            PEER,
            "--num-records",
            &settings.records.to_string(),
            "--record-size",
            &settings.record_bytes.to_string(),
            "--throughput",
            "-1",
            "--command-property",
            &format!("bootstrap.servers={}", self.brokers),
            "acks=all",
            "enable.idempotence=true",
            "compression.type=zstd",
            "compression.zstd.level=1",
            "linger.ms=2",
            "batch.size=262144",
            "buffer.memory=67108864",
            "max.in.flight.requests.per.connection=5",
        ]);
        sent(&mut command, settings.records, |text| {
            // "500000 records sent, 87719.3 records/sec (…), …": the last such line is of the whole run.
            let line = text.lines().rev().find(|line| line.contains("records/sec"))?;
            let before = line.split(" records/sec").next()?;
            before.rsplit(' ').next()?.replace(',', "").parse().ok()
        })
    }

    /// The p99 from a send to its acknowledgement at a rate, seconds.
    pub(crate) fn tail(&self, records: u64, record_bytes: usize, rate: f64) -> anyhow::Result<f64> {
        let told = child::output(
            Command::new("bash")
                .args([SCRIPT, "tool"])
                .arg(&self.folder)
                .args([
                    "org.apache.kafka.tools.ProducerPerformance",
                    "--topic",
                    PEER,
                    "--num-records",
                    &records.to_string(),
                    "--record-size",
                    &record_bytes.to_string(),
                    "--throughput",
                    &format!("{rate:.0}"),
                    "--command-property",
                    &format!("bootstrap.servers={}", self.brokers),
                    "acks=all",
                    "enable.idempotence=true",
                    "compression.type=zstd",
                    "linger.ms=2",
                    "max.in.flight.requests.per.connection=5",
                ]),
        )?;
        let text = String::from_utf8(told)?;
        // "…, 2 ms 50th, 5 ms 95th, 12 ms 99th, 30 ms 99.9th."
        let found = text.lines().rev().find_map(|line| {
            let before = line
                .split(" ms 99th")
                .next()
                .filter(|before| before.len() < line.len())?;
            before.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(found.with_context(|| format!("no p99 in: {text}"))? / 1e3)
    }

    fn ours(&self, settings: &Settings) -> anyhow::Result<Sent> {
        let mut command = Command::new(&settings.bench);
        command.args([
            "kafka-sender",
            &self.brokers,
            &settings.records.to_string(),
            &settings.record_bytes.to_string(),
        ]);
        sent(&mut command, settings.records, |text| text.trim().parse().ok())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = child::output(Command::new("bash").args([SCRIPT, "stop"]).arg(&self.folder));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn sent(command: &mut Command, records: usize, rate: impl Fn(&str) -> Option<f64>) -> anyhow::Result<Sent> {
    let (usage, output) = child::run_for_output(command)?;
    let text = String::from_utf8_lossy(&output);
    anyhow::ensure!(
        usage.status.success(),
        "{command:?} ended with {}: {text}",
        usage.status
    );
    Ok(Sent {
        per_second: rate(&text).with_context(|| format!("no rate in: {text}"))?,
        cpu: usage.cpu / records as f64,
    })
}

fn spec(name: TopicName) -> TopicSpec {
    TopicSpec {
        name,
        partitions: PARTITIONS,
        clean_up: CleanUp::Delete(std::time::Duration::from_secs(3_600)),
    }
}

/// Our sender: how many records a second it sent.
///
/// # Errors
/// The broker does not take them.
pub fn send(brokers: &str, records: usize, record_bytes: usize) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let bus = KafkaBus::connect(KafkaOptions::new(brokers)).await?;
        bus.ensure_topics(&[spec(OURS)]).await?;
        let mut random = Seeded::new(1);
        let micros = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
        let at = Timestamp::from_micros(i64::try_from(micros)?);
        let began = Instant::now();
        let mut record = move |number: usize| {
            let mut value = Vec::with_capacity(record_bytes);
            while value.len() < record_bytes {
                value.extend(random.next_u64().to_le_bytes().map(|byte| b'A' + byte % 26));
            }
            value.truncate(record_bytes);
            NewRecord::new(OURS, number.to_string(), value, at)
        };
        let appends = futures::stream::iter((0..records).step_by(TOGETHER).map(|from| {
            let some: Vec<NewRecord> = (from..records.min(from + TOGETHER)).map(&mut record).collect();
            bus.append(some)
        }));
        let mut under_way = appends.buffer_unordered(UNDER_WAY);
        while let Some(positions) = under_way.next().await {
            positions?;
        }
        Ok(records as f64 / began.elapsed().as_secs_f64())
    })
}
