//! The tables of the pipeline benchmark.

use super::load::Outcome;
use super::next_push::{NextPush, NextPushes};
use super::{Settings, Stages, UnderLoad};
use crate::bar::Bar;
use crate::machine::Moment;
use crate::stats::{bootstrap, median, percentile, ratio};
use crate::table::{Report, Table, figure, ms, times};

/// Milliseconds that the pipeline may take on top of a bare fetch.
const ON_TOP_MS: f64 = 40.0;
const TAIL: f64 = 3.0;
const RESIDENT_MIB: Bar = Bar::AtMost(80.0);
const IDLE_CPU_PERCENT: Bar = Bar::AtMost(0.5);
const NEXT_PUSH: Bar = Bar::AtMost(2.0);

pub(super) fn write(
    moment: &Moment,
    settings: &Settings,
    load: Option<&UnderLoad>,
    next: Option<&NextPushes>,
) -> Report {
    let mut report = Report::new("Pipeline: from a push hook's 202 to an answer", moment);
    report.paragraph(
        "Real processes on one machine: `renkud up` (all roles, embedded log, every sync done) and `gitlab-sim` (git's own \
         `http-backend`).",
    );
    if let Some(load) = load {
        write_load(&mut report, settings, load);
    }
    if let Some(next) = next {
        write_next_push(&mut report, settings, next);
    }
    report
}

fn write_load(report: &mut Report, settings: &Settings, load: &UnderLoad) {
    report.section("Latency");
    report.paragraph(&format!(
        "Open loop: {} pushes a second by `git push` over HTTP to {} projects in turn for {} s, each one \
         more activity. Queryable: the answer of an ASK for the new activity that carries the hook's `Renku-Position`, \
         clock from the moment that `gitlab-sim` had the 202. Bare fetch: a whole `git fetch --depth 1` of the same commit \
         into a bare clone from the same `gitlab-sim`, right after, while the next pushes come in.",
        settings.rate, settings.projects, settings.seconds
    ));
    let outcome = &load.outcome;
    report.table(&latency(outcome));
    report.paragraph(&format!(
        "{} pushes sent, {} queryable, {} covered but missing, {} never covered. The load went out at most {} ms late. \
         renkud took {} % of a core meanwhile; {} looks answered for the pushes, in {} transactions of the view.",
        outcome.sent,
        outcome.arrivals.len(),
        outcome.missing,
        outcome.sent - outcome.arrivals.len() - outcome.missing,
        ms(outcome.behind),
        figure(load.busy * 100.0),
        load.stages.looks,
        load.stages.commits_of_the_view
    ));
    report.section("Stages");
    report.paragraph(
        "From `/metrics`, growth during the load. Percentiles are estimated from histogram buckets.",
    );
    report.table(&stage_table(&load.stages));
    report.section("Idle");
    report.paragraph(&format!(
        "Over {} s each. Resident: anonymous pages and pages of the executable (from `smaps`); pages of files in the \
         data folder are the kernel's page cache and stand apart.",
        settings.idle
    ));
    report.table(&idle_table(settings, load));
}

fn write_next_push(report: &mut Report, settings: &Settings, next: &NextPushes) {
    report.section("The next push of a large project");
    report.paragraph(&format!(
        "One more activity for a project of {} and of {} activities, {} in turns after three pushes each. Steps: the \
         generator's steps and the view's transactions, wall time by their histograms, commit record to applied. CPU: \
         all of `renkud`, so fetching too.",
        settings.next_push.0,
        settings.next_push.1,
        next.small.len()
    ));
    report.table(&next_push_table(settings, next));
    report.paragraph("Where the time of one push goes, by the histograms of each step.");
    report.table(&step_table(settings, next));
}

fn latency(outcome: &Outcome) -> Table {
    let mut table = Table::new(&["what", "p50 ms", "p95 ms", "p99 ms", "largest ms"]);
    let (queryable, fetch) = (
        outcome.of(|arrival| arrival.queryable),
        outcome.of(|arrival| arrival.fetch),
    );
    for (name, values) in [("202 to queryable", &queryable), ("bare git fetch", &fetch)] {
        let at = |percent| ms(percentile(values, percent));
        table.row([name.to_owned(), at(50.0), at(95.0), at(99.0), at(100.0)]);
    }
    let over = |percent: f64, factor: f64| {
        bootstrap(&outcome.arrivals, 21, |arrivals| {
            let queryable: Vec<f64> = arrivals.iter().map(|arrival| arrival.queryable).collect();
            let fetch: Vec<f64> = arrivals.iter().map(|arrival| arrival.fetch).collect();
            percentile(&queryable, percent) * 1e3 - factor * (median(&fetch) * 1e3 + ON_TOP_MS)
        })
    };
    let bar = Bar::AtMost(0.0);
    let (middle, tail) = (over(50.0, 1.0), over(95.0, TAIL));
    table.row([
        format!("bar: p50 ≤ fetch p50 + {ON_TOP_MS} ms, p95 ≤ {TAIL}× that"),
        format!("{} ({} ms over)", bar.judge(middle), figure(middle.estimate)),
        format!("{} ({} ms over)", bar.judge(tail), figure(tail.estimate)),
    ]);
    table
}

fn stage_table(stages: &Stages) -> Table {
    let mut table = Table::new(&["stage", "times", "mean ms", "p50 ms", "p95 ms", "seconds"]);
    for spent in &stages.spent {
        table.row([
            format!("`{}`", spent.what),
            format!("{:.0}", spent.count),
            ms(spent.seconds / spent.count.max(1.0)),
            ms(spent.p50),
            ms(spent.p95),
            figure(spent.seconds),
        ]);
    }
    table
}

fn idle_table(settings: &Settings, load: &UnderLoad) -> Table {
    let mut table = Table::new(&[
        "when",
        "anonymous MiB",
        "executable MiB",
        "sum",
        "≤ 80 MiB",
        "data files MiB",
        "% of a core",
        "≤ 0.5 %",
    ]);
    let after = format!("{} s after the load", settings.rest);
    for (when, idle) in [("fresh", load.fresh), (after.as_str(), load.after)] {
        table.row([
            when.to_owned(),
            figure(idle.resident.anonymous),
            figure(idle.resident.program),
            figure(idle.resident.own()),
            RESIDENT_MIB.judge_value(idle.resident.own()).to_string(),
            figure(idle.resident.data),
            figure(idle.cpu * 100.0),
            IDLE_CPU_PERCENT.judge_value(idle.cpu * 100.0).to_string(),
        ]);
    }
    table
}

fn next_push_table(settings: &Settings, next: &NextPushes) -> Table {
    let (small, large) = settings.next_push;
    let mut table = Table::new(&[
        "what",
        &format!("{small} ms"),
        &format!("{large} ms"),
        "large/small",
        "≤ 2×",
    ]);
    for (name, of) in [
        (
            "commit record to applied, steps",
            NextPush::record_to_applied as fn(&NextPush) -> f64,
        ),
        ("whole push, CPU", |push| push.cpu),
    ] {
        let ratio = ratio(&next.pairs(of), 22);
        table.row([
            name.to_owned(),
            ms(median_of(&next.small, of)),
            ms(median_of(&next.large, of)),
            times(ratio),
            NEXT_PUSH.judge(ratio).to_string(),
        ]);
    }
    table
}

fn step_table(settings: &Settings, next: &NextPushes) -> Table {
    let (small, large) = settings.next_push;
    let mut table = Table::new(&["step, median", &format!("{small} ms"), &format!("{large} ms")]);
    for step in next.steps() {
        let of = |push: &NextPush| push.steps.get(step).copied().unwrap_or(0.0);
        table.row([
            format!("`{step}`"),
            ms(median_of(&next.small, of)),
            ms(median_of(&next.large, of)),
        ]);
    }
    table
}

fn median_of(pushes: &[NextPush], of: impl Fn(&NextPush) -> f64) -> f64 {
    median(&pushes.iter().map(of).collect::<Vec<_>>())
}
