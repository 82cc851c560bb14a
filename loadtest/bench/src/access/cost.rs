//! The queries of the store benchmark, by callers who may see this and that, against one for whom nothing is hidden.

use access::Caller;
use store::{Query as Parsed, QueryLimits, Reader, RowFormat, Stop, TripleFormat};

use super::{MEMBERSHIPS, Settings, user};
use crate::bar::{Bar, Verdict};
use crate::measure::service::own_seconds;
use crate::stats::{Interval, Pair, mean_ratio, median, ratio};
use crate::store::queries::Query;
use crate::table::{Report, Table, ms, times};

/// CPU seconds that one sample aims at.
const AIM: f64 = 0.04;
const LEAST: Bar = Bar::AtLeast(0.95);

/// A query of one caller against the same of the administrator.
struct Row {
    query: Query,
    visible: usize,
    pairs: Vec<Pair>,
}

pub(super) fn run(settings: &Settings, reader: &Reader, report: &mut Report) -> anyhow::Result<()> {
    let mut callers = vec![("anonymous".to_owned(), Caller::Anonymous)];
    for memberships in MEMBERSHIPS {
        callers.push((format!("member of {memberships}"), user(memberships)?));
    }
    let mut quads = 0;
    for size in reader.snapshot()?.index_sizes()? {
        quads = quads.max(size);
    }
    report.section("Cost");
    report.paragraph(&format!(
        "{quads} distinct quads in {} projects: half public, a quarter internal, a quarter private. {} queries, the whole \
         request but the network: parse, snapshot, visible set, evaluate, serialize. CPU time of the process; {} interleaved \
         pairs for each query and caller after one unmeasured run, short queries repeated to about {} ms, page cache warm. \
         The peer is the same store with nothing hidden; ratio: its CPU time over the caller's.",
        settings.platform.projects,
        Query::all().len(),
        settings.pairs,
        AIM * 1e3,
    ));
    let mut bars = Table::new(&[
        "caller",
        "projects seen",
        "all queries, CPU ratio",
        "≥ 0.95×",
        "slowest query",
        "its ratio",
    ]);
    let mut all = Table::new(&["query", "caller", "nothing hidden ms", "caller ms", "ratio"]);
    for (name, caller) in &callers {
        let mut rows = Vec::new();
        let chosen = |query: &Query| {
            settings
                .only
                .as_ref()
                .is_none_or(|only| query.name.contains(only))
        };
        for query in Query::all().into_iter().filter(chosen) {
            rows.push(one(settings, reader, query, caller)?);
        }
        let series: Vec<Vec<Pair>> = rows.iter().map(|row| row.pairs.clone()).collect();
        let mean = mean_ratio(&series, 1);
        let of = |row: &Row| ratio(&row.pairs, 1);
        let slowest = rows
            .iter()
            .min_by(|a, b| of(a).estimate.total_cmp(&of(b).estimate));
        let (slowest, its) = slowest.map_or(("", None), |row| (row.query.name, Some(of(row))));
        let its: Option<Interval> = its;
        bars.row([
            name.clone(),
            rows.first().map_or(0, |row| row.visible).to_string(),
            times(mean),
            LEAST.judge(mean).to_string(),
            slowest.to_owned(),
            its.map(times).unwrap_or_default(),
        ]);
        for row in rows.iter().filter(|row| LEAST.judge(of(row)) != Verdict::Met) {
            let side = |take: fn(&Pair) -> f64| ms(median(&row.pairs.iter().map(take).collect::<Vec<_>>()));
            all.row([
                row.query.name.to_owned(),
                name.clone(),
                side(|pair| pair.peer),
                side(|pair| pair.ours),
                times(of(row)),
            ]);
        }
    }
    report.table(&bars);
    report.paragraph("Queries whose interval reaches below 0.95×:");
    report.table(&all);
    Ok(())
}

fn one(settings: &Settings, reader: &Reader, query: Query, caller: &Caller) -> anyhow::Result<Row> {
    let everything = Caller::Administrator;
    let once = |caller: &Caller| -> anyhow::Result<(f64, usize)> {
        let began = own_seconds();
        let visible = execute(reader, query, caller)?;
        Ok((own_seconds() - began, visible))
    };
    once(&everything)?;
    let (_, visible) = once(caller)?;
    let repeat = ((AIM / once(&everything)?.0.max(1e-6)).ceil() as usize).clamp(1, 2_000);
    let sample = |caller: &Caller| -> anyhow::Result<f64> {
        let began = own_seconds();
        for _ in 0..repeat {
            execute(reader, query, caller)?;
        }
        Ok((own_seconds() - began) / repeat as f64)
    };
    let mut pairs = Vec::new();
    for at in 0..settings.pairs {
        // Neither is always the first.
        let (peer, ours) = if at % 2 == 0 {
            let peer = sample(&everything)?;
            (peer, sample(caller)?)
        } else {
            let ours = sample(caller)?;
            (sample(&everything)?, ours)
        };
        pairs.push(Pair { peer, ours });
    }
    Ok(Row {
        query,
        visible,
        pairs,
    })
}

/// How many projects were visible.
fn execute(reader: &Reader, query: Query, caller: &Caller) -> anyhow::Result<usize> {
    let parsed = Parsed::parse(query.text, None)?;
    let snapshot = reader.snapshot()?;
    let visible = snapshot.visible(caller, model::Day::default())?;
    let mut out = Vec::new();
    let format = match query.text.starts_with("ASK") {
        true => RowFormat::Json,
        false => RowFormat::Tsv,
    };
    snapshot.query(&visible, &parsed, QueryLimits::NONE, &Stop::default(), |answer| {
        answer.write(format, TripleFormat::NTriples, &mut out)
    })?;
    Ok(visible.len())
}
