//! The tables of the store benchmark.

use super::files::Files;
use super::run::{Loads, Row};
use crate::bar::Bar;
use crate::machine::Moment;
use crate::measure::child::Usage;
use crate::peer::PYOXIGRAPH;
use crate::stats::{Interval, Pair, mean_ratio, median, ratio};
use crate::table::{Report, Table, figure, ms, times};

const MEAN: Bar = Bar::AtLeast(4.0);
const EACH: Bar = Bar::AtLeast(1.0);
const LOAD: Bar = Bar::AtLeast(1.2);
const DISK: Bar = Bar::AtMost(1.0);
/// Fewer pairs of loads are shown and not judged.
const FEWEST: usize = 7;
/// Half visible is allowed this much of all visible: what two series of the same thing differ by here.
const NOISE: f64 = 0.95;

pub(super) fn write(moment: &Moment, files: &Files, loads: &[Loads], rows: &[Row]) -> Report {
    let mut report = Report::new("Store: our quad index against Oxigraph's own store", moment);
    let pairs = rows.first().map_or(0, |row| row.against_peer.cpu.len());
    report.paragraph(&format!(
        "{} distinct quads in {} graphs (seed {}), persons and software agents shared between graphs. Peer: Oxigraph's \
         RocksDB store through `pyoxigraph` {PYOXIGRAPH}, bulk loaded and optimised, union default graph. Both answer \
         the same list in a process of their own and serialize results (TSV, N-Triples) to memory. {pairs} interleaved \
         pairs for each query after one unmeasured run, page cache warm, short queries repeated to about 40 ms; \
         CPU time of the process, medians, ratios with the 95 % bootstrap interval of the ratio of medians.",
        files.quads, files.platform.projects, files.platform.seed
    ));
    report.section("Bars");
    report.table(&bars(loads, rows));
    report.section("Queries");
    report.paragraph(
        "Right: rows (and, but for a LIMIT without an order, the rows' digest) equal those over the RDF merge, which a \
         third store answers from one default graph of triples. `half`: every second project visible; `20`: twenty \
         projects visible.",
    );
    report.table(&query_table(rows));
    report.section("Load");
    report.paragraph(
        "In turns, into an empty folder until durable. Ours applies every project through the writer as records bring \
         it, in transactions with a sync each, pieces and access facts included. The peer uses its bulk loader (several \
         threads, no write-ahead log) and flushes. Disk after the peer's optimising. One pair has no interval.",
    );
    report.table(&load_table(loads));
    report
}

fn worst(rows: &[Row], of: impl Fn(&Row) -> Interval) -> Option<(&Row, Interval)> {
    rows.iter()
        .map(|row| (row, of(row)))
        .min_by(|a, b| a.1.low.total_cmp(&b.1.low))
}

fn bars(loads: &[Loads], rows: &[Row]) -> Table {
    let mut table = Table::new(&["what", "bar", "figure", "verdict"]);
    let series: Vec<Vec<Pair>> = rows.iter().map(|row| row.against_peer.cpu.clone()).collect();
    let mean = mean_ratio(&series, 11);
    table.row([
        "geometric mean over all queries, all visible".to_owned(),
        format!("{MEAN}×"),
        times(mean),
        MEAN.judge(mean).to_string(),
    ]);
    if let Some((row, interval)) = worst(rows, |row| ratio(&row.against_peer.cpu, 12)) {
        table.row([
            format!("slowest query against the peer: {}", row.query.name),
            format!("{EACH}×"),
            times(interval),
            EACH.judge(interval).to_string(),
        ]);
    }
    let halves: Vec<Vec<Pair>> = rows.iter().map(|row| row.half.cpu.clone()).collect();
    let half = mean_ratio(&halves, 13);
    table.row([
        "half visible against all visible, geometric mean".to_owned(),
        format!("{EACH}×"),
        times(half),
        EACH.judge(half).to_string(),
    ]);
    let slow: Vec<String> = rows
        .iter()
        .map(|row| (row, ratio(&row.half.cpu, 14)))
        .filter(|(_, ratio)| ratio.high < NOISE)
        .map(|(row, ratio)| format!("{} {}", row.query.name, times(ratio)))
        .collect();
    table.row([
        "queries slower with half visible (whole interval below 0.95×)".to_owned(),
        "none".to_owned(),
        if slow.is_empty() {
            "none".to_owned()
        } else {
            slow.join("; ")
        },
        Bar::AtMost(0.0).judge_value(slow.len() as f64).to_string(),
    ]);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| !row.ours_is_wrong_for.is_empty())
        .map(|row| format!("{} ({})", row.query.name, row.ours_is_wrong_for.join(", ")))
        .collect();
    table.row([
        "answers equal to the RDF merge".to_owned(),
        "all".to_owned(),
        if wrong.is_empty() {
            "all".to_owned()
        } else {
            format!("not: {}", wrong.join("; "))
        },
        Bar::AtMost(0.0).judge_value(wrong.len() as f64).to_string(),
    ]);
    for loads in loads {
        if !loads.ours.is_empty() {
            let cpu = ratio(&load_pairs(loads, |usage| usage.cpu), 15);
            let few = loads.ours.len() < FEWEST;
            table.row([
                format!("durable load of {}, CPU", quads(&loads.files)),
                format!("{LOAD}×"),
                if few {
                    figure(cpu.estimate) + "×"
                } else {
                    times(cpu)
                },
                if few {
                    format!("{} pair(s): not judged", loads.ours.len())
                } else {
                    LOAD.judge(cpu).to_string()
                },
            ]);
        }
    }
    if let Some(loads) = loads.last() {
        let disk = loads.our_disk as f64 / (loads.peer_disk as f64).max(1.0);
        table.row([
            "disk".to_owned(),
            format!("{DISK}×"),
            format!("{}×", figure(disk)),
            DISK.judge_value(disk).to_string(),
        ]);
    }
    table
}

fn query_table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "query",
        "rows",
        "peer ms",
        "ours ms",
        "ratio",
        "half ms",
        "all/half",
        "20: ms",
        "20: rows",
        "right",
        "peer right",
    ]);
    for row in rows {
        let of =
            |pairs: &[Pair], side: fn(&Pair) -> f64| ms(median(&pairs.iter().map(side).collect::<Vec<_>>()));
        let twenty: Vec<f64> = row.twenty.iter().map(|timing| timing.cpu).collect();
        table.row([
            row.query.name.to_owned(),
            row.rows.get("all").copied().unwrap_or_default().to_string(),
            of(&row.against_peer.cpu, |pair| pair.peer),
            of(&row.against_peer.cpu, |pair| pair.ours),
            times(ratio(&row.against_peer.cpu, 12)),
            of(&row.half.cpu, |pair| pair.ours),
            times(ratio(&row.half.cpu, 14)),
            ms(median(&twenty)),
            row.rows.get("twenty").copied().unwrap_or_default().to_string(),
            if row.ours_is_wrong_for.is_empty() {
                "yes"
            } else {
                "**no**"
            }
            .to_owned(),
            if row.peer_is_right { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}

fn load_pairs(loads: &Loads, of: impl Fn(&Usage) -> f64) -> Vec<Pair> {
    loads
        .peer
        .iter()
        .zip(&loads.ours)
        .map(|(peer, ours)| Pair {
            peer: of(peer),
            ours: of(ours),
        })
        .collect()
}

fn quads(files: &Files) -> String {
    format!("{:.2} M quads", files.quads as f64 / 1e6)
}

fn load_table(all: &[Loads]) -> Table {
    let mut table = Table::new(&["data", "pairs", "what", "peer", "ours", "ratio"]);
    let mib = |bytes: u64| figure(bytes as f64 / (1024.0 * 1024.0));
    for loads in all {
        let (data, count) = (quads(&loads.files), loads.ours.len());
        for (name, of) in [
            ("wall s", (|usage| usage.wall) as fn(&Usage) -> f64),
            ("CPU s", |usage| usage.cpu),
            ("peak MiB", |usage| usage.peak_mib),
        ] {
            let pairs = load_pairs(loads, of);
            if pairs.is_empty() {
                continue;
            }
            let side = |side: fn(&Pair) -> f64| figure(median(&pairs.iter().map(side).collect::<Vec<_>>()));
            let ratio = ratio(&pairs, 15);
            table.row([
                data.clone(),
                count.to_string(),
                name.to_owned(),
                side(|pair| pair.peer),
                side(|pair| pair.ours),
                match count {
                    1 => figure(ratio.estimate) + "×",
                    _ => times(ratio),
                },
            ]);
        }
        table.row([
            data,
            count.to_string(),
            "disk MiB".to_owned(),
            mib(loads.peer_disk),
            mib(loads.our_disk),
            format!(
                "{}×",
                figure(loads.peer_disk as f64 / (loads.our_disk as f64).max(1.0))
            ),
        ]);
    }
    table
}
