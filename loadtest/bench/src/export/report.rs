//! The table of the export benchmark.

use super::{Row, Series};
use crate::bar::Bar;
use crate::machine::Moment;
use crate::measure::child::Usage;
use crate::peer::RENKU;
use crate::stats::{Interval, Pair, bootstrap, median, ratio};
use crate::table::{Report, Table, figure, ms, times};

const FASTER: Bar = Bar::AtLeast(300.0);
const PEAK_MIB: Bar = Bar::AtMost(64.0);
const PER_TRIPLE: Bar = Bar::AtLeast(100.0);
/// The fixture with next to nothing in it: what a program takes on it is its start-up.
const EMPTY: &str = "empty-init";

impl Series {
    fn pairs(&self, of: impl Fn(&Usage) -> f64) -> Vec<Pair> {
        self.peer
            .iter()
            .zip(&self.ours)
            .map(|(peer, ours)| Pair {
                peer: of(peer),
                ours: of(ours),
            })
            .collect()
    }

    fn peak(&self) -> f64 {
        self.ours.iter().map(|usage| usage.peak_mib).fold(0.0, f64::max)
    }
}

fn medians(usages: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    median(&usages.iter().map(of).collect::<Vec<_>>())
}

pub(super) fn write(moment: &Moment, fixtures: &[Row], generated: &[Row]) -> Report {
    let mut report = Report::new(
        "Export: `renkuctl graph export` against `renku graph export`",
        moment,
    );
    let pairs = fixtures.first().map_or(0, |row| row.series.ours.len());
    report.paragraph(&format!(
        "Peer: `renku` {RENKU} from PyPI, plain (not strict) `graph export --format json-ld`. Both write to \
         `/dev/null`. Whole process against whole process, children included (`wait4`), {pairs} interleaved \
         pairs after one unmeasured run each, page cache warm. Medians; ratios with the 95 % bootstrap \
         interval of the ratio of medians. A bar is met when the lower end meets it."
    ));
    report.section("Fixtures");
    report.table(&fixture_table(fixtures));
    report.section("Generated repositories");
    report.paragraph(
        "CPU for each triple with start-up removed: what a program takes on `empty-init` is taken away first. Up to \
         1,000 activities both exports were compared as sets of N-Triples before they were timed.",
    );
    report.table(&generated_table(fixtures, generated));
    report
}

fn fixture_table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "repository",
        "triples",
        "peer wall ms",
        "ours wall ms",
        "wall ratio",
        "peer CPU ms",
        "ours CPU ms",
        "CPU ratio",
        "≥ 300×",
        "peak MiB",
        "≤ 64 MiB",
    ]);
    for row in rows {
        let series = &row.series;
        let wall = ratio(&series.pairs(|usage| usage.wall), 1);
        let cpu = ratio(&series.pairs(|usage| usage.cpu), 2);
        let slower = if wall.low < cpu.low { wall } else { cpu };
        table.row([
            row.name.clone(),
            row.triples.to_string(),
            ms(medians(&series.peer, |usage| usage.wall)),
            ms(medians(&series.ours, |usage| usage.wall)),
            times(wall),
            ms(medians(&series.peer, |usage| usage.cpu)),
            ms(medians(&series.ours, |usage| usage.cpu)),
            times(cpu),
            FASTER.judge(slower).to_string(),
            figure(series.peak()),
            PEAK_MIB.judge_value(series.peak()).to_string(),
        ]);
    }
    table
}

fn generated_table(fixtures: &[Row], rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "repository",
        "triples",
        "peer runs",
        "peer CPU s",
        "ours CPU s",
        "peer µs/triple",
        "ours µs/triple",
        "ratio",
        "≥ 100×",
        "wall ratio",
        "peak MiB",
    ]);
    let empty = fixtures.iter().find(|row| row.name == EMPTY);
    let start =
        |of: fn(&Series) -> &[Usage]| empty.map_or(0.0, |row| medians(of(&row.series), |usage| usage.cpu));
    let (peer_start, our_start) = (start(|series| &series.peer), start(|series| &series.ours));
    for row in rows {
        let series = &row.series;
        let net = |usages: &[Usage], start: f64| -> Vec<f64> {
            usages.iter().map(|usage| (usage.cpu - start).max(0.0)).collect()
        };
        let (peer, ours) = (net(&series.peer, peer_start), net(&series.ours, our_start));
        let per_triple = |values: &[f64]| figure(median(values) * 1e6 / row.triples.max(1) as f64);
        let ratio = independent(&peer, &ours);
        table.row([
            row.name.clone(),
            row.triples.to_string(),
            series.peer.len().to_string(),
            figure(medians(&series.peer, |usage| usage.cpu)),
            figure(medians(&series.ours, |usage| usage.cpu)),
            per_triple(&peer),
            per_triple(&ours),
            times(ratio),
            PER_TRIPLE.judge(ratio).to_string(),
            figure(medians(&series.peer, |usage| usage.wall) / medians(&series.ours, |usage| usage.wall)),
            figure(series.peak()),
        ]);
    }
    table
}

/// The peer may have fewer runs than we have: each side is re-sampled by itself, and the interval is the
/// pessimistic combination of both.
fn independent(peer: &[f64], ours: &[f64]) -> Interval {
    let (peer, ours) = (bootstrap(peer, 3, median), bootstrap(ours, 4, median));
    let over = |peer: f64, ours: f64| peer / ours.max(1e-9);
    Interval {
        estimate: over(peer.estimate, ours.estimate),
        low: over(peer.low, ours.high),
        high: over(peer.high, ours.low),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn usage(cpu: f64) -> Usage {
        Usage {
            status: std::process::ExitStatus::from_raw(0),
            wall: cpu * 1.1,
            cpu,
            peak_mib: 10.0,
        }
    }

    fn row(name: &str, triples: usize, peer: f64, ours: f64) -> Row {
        let series = Series {
            peer: vec![usage(peer); 7],
            ours: vec![usage(ours); 7],
        };
        Row {
            name: name.to_owned(),
            triples,
            series,
        }
    }

    #[test]
    fn start_up_is_removed_from_generated_repositories() {
        let fixtures = [row(EMPTY, 16, 1.0, 0.002)];
        let text = generated_table(&fixtures, &[row("1000 activities", 10_000, 11.0, 0.052)]).render();
        assert!(text.contains("1000 | 5.00 | 200× (200 – 200) | met"), "{text}");
    }

    #[test]
    fn the_weaker_of_wall_and_cpu_is_judged() {
        let text = fixture_table(&[row("a", 16, 1.0, 0.002), row("b", 16, 1.0, 0.01)]).render();
        assert!(text.contains("500× (500 – 500) | met | 10.0 | met"), "{text}");
        assert!(text.contains("100× (100 – 100) | **not met**"), "{text}");
    }
}
