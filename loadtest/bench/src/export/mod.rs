//! `bench export`: our whole process against the whole process of `renku graph export`.

mod report;
mod repositories;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::measure::child::{self, Usage};
use crate::peer::RenkuCli;
use crate::table::Report;
use repositories::{Fixture, Generated};

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bundles and `manifest.json`.
    pub fixtures: PathBuf,
    /// For clones, generated repositories and the peer.
    pub cache: PathBuf,
    /// Our executable.
    pub renkuctl: PathBuf,
    /// This executable: it makes repositories in a process of its own, so that the measuring one stays small.
    pub bench: PathBuf,
    pub pairs: usize,
    /// Sizes of generated repositories and how often the peer exports each.
    pub generated: Vec<(usize, usize)>,
}

/// Both programs on one repository, measured in turns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) peer: Vec<Usage>,
    pub(crate) ours: Vec<Usage>,
}

/// One repository and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) triples: usize,
    pub(crate) series: Series,
}

/// Runs the whole benchmark.
///
/// # Errors
/// A program is missing, an export fails, or the two exports of a generated repository differ.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let cli = RenkuCli::install(&settings.cache)?;
    let folder = settings.cache.join("bench/export");
    let mut fixtures = Vec::new();
    for fixture in Fixture::all(&settings.fixtures, &folder)? {
        let series = measure(&fixture.folder, &cli, settings, settings.pairs, settings.pairs)?;
        fixtures.push(Row {
            name: fixture.name,
            triples: fixture.triples,
            series,
        });
    }
    let mut generated = Vec::new();
    for &(activities, peer_runs) in &settings.generated {
        let repository = Generated::make(activities, &settings.bench, &folder)?;
        let triples = if activities <= COMPARED {
            same_triples(&repository.folder, &cli, &settings.renkuctl)?
        } else {
            triples(&child::output(&mut export(
                &settings.renkuctl,
                &repository.folder,
                "nt",
            ))?)?
            .len()
        };
        let series = measure(&repository.folder, &cli, settings, peer_runs, settings.pairs)?;
        generated.push(Row {
            name: format!("{activities} activities"),
            triples,
            series,
        });
    }
    Ok(report::write(&moment, &fixtures, &generated))
}

/// The peer takes minutes for larger repositories; once for the clock is enough.
const COMPARED: usize = 1_000;

fn export(renkuctl: &Path, repository: &Path, format: &str) -> Command {
    let mut command = Command::new(renkuctl);
    command
        .args(["graph", "export", "--format", format])
        .arg(repository)
        .env_remove("RENKU_DOMAIN");
    command
}

/// One unmeasured run each, then pairs in turns, the first place changing hands.
fn measure(
    repository: &Path,
    cli: &RenkuCli,
    settings: &Settings,
    peer_runs: usize,
    our_runs: usize,
) -> anyhow::Result<Series> {
    let theirs = || child::run_well(&mut cli.export(repository, "json-ld"));
    let ours = || child::run_well(&mut export(&settings.renkuctl, repository, "json-ld"));
    if peer_runs > 3 {
        theirs()?;
    }
    ours()?;
    let mut series = Series::default();
    for run in 0..peer_runs.max(our_runs) {
        let ours_first = run % 2 == 0;
        if ours_first && run < our_runs {
            series.ours.push(ours()?);
        }
        if run < peer_runs {
            series.peer.push(theirs()?);
        }
        if !ours_first && run < our_runs {
            series.ours.push(ours()?);
        }
    }
    Ok(series)
}

/// Both exports as sets of N-Triples lines; the generated repositories hold nothing that two writers of
/// N-Triples would spell differently.
fn same_triples(repository: &Path, cli: &RenkuCli, renkuctl: &Path) -> anyhow::Result<usize> {
    let cache = repository.with_extension("nt");
    let theirs = match std::fs::read(&cache) {
        Ok(kept) => kept,
        Err(_) => {
            let made = child::output(&mut cli.export(repository, "nt"))?;
            std::fs::write(&cache, &made).with_context(|| format!("write {}", cache.display()))?;
            made
        }
    };
    let ours = child::output(&mut export(renkuctl, repository, "nt"))?;
    let (theirs, ours) = (triples(&theirs)?, triples(&ours)?);
    if let Some((theirs, ours)) = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours) {
        anyhow::bail!(
            "the exports of {} differ: peer {theirs}, ours {ours}",
            repository.display()
        );
    }
    anyhow::ensure!(
        theirs.len() == ours.len(),
        "the exports of {} differ: peer {} triples, ours {}",
        repository.display(),
        theirs.len(),
        ours.len()
    );
    Ok(ours.len())
}

/// Distinct lines, sorted.
fn triples(bytes: &[u8]) -> anyhow::Result<Vec<&str>> {
    let mut lines: Vec<&str> = std::str::from_utf8(bytes)?
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}
