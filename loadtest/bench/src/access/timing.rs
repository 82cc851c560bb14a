//! Does the time of "not found" tell a hidden project from one that is not there? Requests for both, interleaved, by
//! somebody who is not signed in, over one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use auth::Identities;
use query_service::{Config, QueryService};
use runtime::Edges;
use store::Reader;

use super::{Settings, visibility};
use crate::seeded::Seeded;
use crate::stats::{median, rank_sum_p};
use crate::table::{Report, Table, figure};

const LEAST_P: f64 = 0.01;
const MEDIANS_WITHIN: f64 = 0.02;

pub(super) fn run(settings: &Settings, reader: &Reader, report: &mut Report) -> anyhow::Result<()> {
    let (runs, pairs) = settings.requests;
    report.section("Timing");
    report.paragraph(&format!(
        "`GET /knowledge-graph/projects/:slug` of private projects and of such as are not there, whose names are as long and \
         lie among them: {pairs} interleaved pairs a run, in random order, over one connection on loopback. \
         Bars: two-sided Mann-Whitney p > {LEAST_P}, medians within {} %.",
        MEDIANS_WITHIN * 100.0
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start a runtime")?;
    let edges = Edges::system();
    let identities = Identities::with(&auth::Config::default(), None, None, &edges);
    let service = QueryService::build(
        &Config::default(),
        reader.clone(),
        "https://renku.example.org/",
        None,
        std::sync::Arc::new(identities),
        &edges,
    )?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .context("listen")?;
    let address = listener.local_addr()?;
    let served = runtime.spawn(axum::serve(listener, service.router()).into_future());
    let mut client = Client::connect(address)?;
    let mut table = Table::new(&[
        "run",
        "hidden µs",
        "absent µs",
        "medians differ by",
        "p",
        "verdict",
    ]);
    for run in 0..runs {
        let (hidden, absent) = one(settings, &mut client, run as u64, pairs)?;
        let p = rank_sum_p(&hidden, &absent);
        let (of_hidden, of_absent) = (median(&hidden), median(&absent));
        let apart = (of_hidden / of_absent.max(f64::MIN_POSITIVE) - 1.0).abs();
        let met = p > LEAST_P && apart <= MEDIANS_WITHIN;
        table.row([
            (run + 1).to_string(),
            figure(of_hidden * 1e6),
            figure(of_absent * 1e6),
            format!("{} %", figure(apart * 100.0)),
            figure(p),
            if met { "met" } else { "**not met**" }.to_owned(),
        ]);
    }
    served.abort();
    report.table(&table);
    Ok(())
}

fn one(
    settings: &Settings,
    client: &mut Client,
    seed: u64,
    pairs: usize,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut random = Seeded::new(seed + 1);
    let (mut hidden, mut absent) = (Vec::new(), Vec::new());
    let projects = settings.platform.projects;
    for at in 0..pairs + 200 {
        let private = loop {
            let number = random.below(projects);
            if visibility(number) == model::Visibility::Private {
                break number;
            }
        };
        let there = format!("ns{}/p{private}", private % 200);
        // The same name in another group, whose number is as long.
        let of = private % 200;
        let (least, most) = [(0, 10), (10, 100), (100, 200)][usize::from(of >= 10) + usize::from(of >= 100)];
        let group = least + (of - least + 1 + random.below(most - least - 1)) % (most - least);
        let not_there = format!("ns{group}/p{private}");
        let (mut of_hidden, mut of_absent) = (0.0, 0.0);
        let first = random.below(2);
        for which in [first, 1 - first] {
            match which {
                0 => of_hidden = client.not_found(&there)?,
                _ => of_absent = client.not_found(&not_there)?,
            }
        }
        // The first ones warm everything up.
        if at >= 200 {
            hidden.push(of_hidden);
            absent.push(of_absent);
        }
    }
    Ok((hidden, absent))
}

struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: std::net::SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// Seconds until the whole answer was there, which must be 404.
    fn not_found(&mut self, slug: &str) -> anyhow::Result<f64> {
        let request =
            format!("GET /knowledge-graph/projects/{slug} HTTP/1.1\r\nHost: renku.example.org\r\n\r\n");
        let began = Instant::now();
        self.reader.get_mut().write_all(request.as_bytes())?;
        let (mut length, mut line) = (0, String::new());
        self.reader.read_line(&mut line)?;
        anyhow::ensure!(line.starts_with("HTTP/1.1 404"), "{slug}: {line}");
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(began.elapsed().as_secs_f64())
    }
}
