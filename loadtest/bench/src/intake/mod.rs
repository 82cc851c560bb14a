//! The intake of hooks against the same handler with a log that keeps nothing, and its tail against that of Kafka's own sender.

mod client;
mod server;
mod sink;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::bar::Bar;
use crate::kafka::Cluster;
use crate::stats::{Pair, median, percentile, ratio};
use crate::table::{Report, Table, figure, times};
use client::Client;
use server::Server;

pub use server::serve_hooks;

/// Of the records that hooks become, in bytes: what the peer sends.
const RECORD: usize = 300;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cache: PathBuf,
    /// This executable: servers are other processes of it.
    pub bench: PathBuf,
    pub pairs: usize,
    /// Of one window of the closed loop, seconds.
    pub window: f64,
    /// Hooks of one round of the open loop.
    pub open: u64,
}

/// One sink, measured.
struct Measured {
    name: &'static str,
    rates: Vec<Pair>,
    /// CPU microseconds a hook.
    costs: Vec<Pair>,
}

/// Runs the benchmark.
///
/// # Errors
/// A server does not start, or refuses a hook.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let folder = settings.cache.join("bench/intake");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder.join("log"))?;
    let cluster = Cluster::start(&folder.join("cluster"))?;
    cluster.make_topics()?;
    let client = Client::new()?;
    let null = Server::start(&settings.bench, "null")?;
    let embedded = Server::start(
        &settings.bench,
        &format!("embedded:{}", folder.join("log").display()),
    )?;
    let kafka = Server::start(&settings.bench, &format!("kafka:{}", cluster.brokers))?;
    let mut measured = Vec::new();
    for (name, ours) in [("embedded log", &embedded), ("Kafka, one broker", &kafka)] {
        measured.push(closed(settings, &client, name, &null, ours)?);
    }
    let mut report = Report::new("Intake: hooks a second, and how long a 202 takes", &moment);
    report.paragraph(&format!(
        "`POST /webhooks/events` of push hooks of 1.6 KB over {} kept connections. The peer is the same handler in the same program \
         with a log that keeps nothing. {} interleaved pairs of windows of {} s after one unmeasured; CPU of the server's process. \
         Client, server and broker share the two cores.",
        client::CONNECTIONS,
        settings.pairs,
        settings.window
    ));
    let mut table = Table::new(&["log", "what", "null", "ours", "ours / null", "bar", "verdict"]);
    for of in &measured {
        // How much more ours takes in: the ratio the other way round.
        let turned = turned(&of.rates);
        let rate = ratio(&turned, 1);
        table.row([
            of.name.to_owned(),
            "hooks a second".to_owned(),
            figure(middle(&of.rates, |pair| pair.peer)),
            figure(middle(&of.rates, |pair| pair.ours)),
            times(rate),
            "≥ 0.7×".to_owned(),
            Bar::AtLeast(0.7).judge(rate).to_string(),
        ]);
        table.row([
            of.name.to_owned(),
            "CPU µs a hook".to_owned(),
            figure(middle(&of.costs, |pair| pair.peer)),
            figure(middle(&of.costs, |pair| pair.ours)),
            times(ratio(&self::turned(&of.costs), 1)),
            String::new(),
            String::new(),
        ]);
    }
    report.table(&table);
    tails(
        settings,
        &client,
        &cluster,
        (&embedded, &kafka),
        &measured,
        &mut report,
    )?;
    Ok(report)
}

fn turned(pairs: &[Pair]) -> Vec<Pair> {
    let turn = |pair: &Pair| Pair {
        peer: pair.ours,
        ours: pair.peer,
    };
    pairs.iter().map(turn).collect()
}

fn middle(pairs: &[Pair], take: fn(&Pair) -> f64) -> f64 {
    median(&pairs.iter().map(take).collect::<Vec<_>>())
}

fn closed(
    settings: &Settings,
    client: &Client,
    name: &'static str,
    null: &Server,
    ours: &Server,
) -> anyhow::Result<Measured> {
    let mut measured = Measured {
        name,
        rates: Vec::new(),
        costs: Vec::new(),
    };
    let window = |server: &Server| -> anyhow::Result<(f64, f64)> {
        let before = server.cpu()?;
        let window = client.closed(server.port, Duration::from_secs_f64(settings.window))?;
        let cost = (server.cpu()? - before) / window.sent.max(1) as f64;
        Ok((window.per_second, cost * 1e6))
    };
    for at in 0..=settings.pairs {
        let (peer, own) = match at % 2 {
            0 => {
                let peer = window(null)?;
                (peer, window(ours)?)
            }
            _ => {
                let own = window(ours)?;
                (window(null)?, own)
            }
        };
        if at > 0 {
            measured.rates.push(Pair {
                peer: peer.0,
                ours: own.0,
            });
            measured.costs.push(Pair {
                peer: peer.1,
                ours: own.1,
            });
        }
    }
    Ok(measured)
}

/// Open loop at a third of what the slower one took in.
fn tails(
    settings: &Settings,
    client: &Client,
    cluster: &Cluster,
    (embedded, kafka): (&Server, &Server),
    measured: &[Measured],
    report: &mut Report,
) -> anyhow::Result<()> {
    let slower = measured
        .iter()
        .map(|of| middle(&of.rates, |pair| pair.ours))
        .fold(f64::INFINITY, f64::min);
    let rate = (0.33 * slower).floor().max(1.0);
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for at in 0..=settings.pairs {
        let peer = cluster.tail(settings.open, RECORD, rate)?;
        let of = |server: &Server| -> anyhow::Result<f64> {
            Ok(percentile(&client.open(server.port, rate, settings.open)?, 99.0))
        };
        let (first, second) = (of(embedded)?, of(kafka)?);
        if at > 0 {
            for (into, value) in rounds.iter_mut().zip([peer, first, second]) {
                into.push(value * 1e3);
            }
        }
    }
    let peer = median(&rounds[0]);
    report.paragraph(&format!(
        "Open loop at {rate} hooks a second (33 % of what the slower log took in), {} in each of {} rounds after one unmeasured; \
         the peer is `ProducerPerformance` with records of {RECORD} bytes at the same rate into the same broker, whose p99 counts from \
         the send to the acknowledgement. Medians of the rounds' p99.",
        settings.open, settings.pairs
    ));
    let mut table = Table::new(&["log", "p99 of a 202, ms", "p99 of the peer, ms", "bar", "verdict"]);
    let bar = 2.0 * peer + 5.0;
    for (name, own) in [("embedded log", &rounds[1]), ("Kafka, one broker", &rounds[2])] {
        table.row([
            name.to_owned(),
            figure(median(own)),
            figure(peer),
            format!("≤ 2 × peer + 5 ms = {}", figure(bar)),
            Bar::AtMost(bar).judge_value(median(own)).to_string(),
        ]);
    }
    report.table(&table);
    Ok(())
}
