//! `bench pipeline`: from a push hook's 202 to an answer, through the real processes.

mod load;
mod next_push;
mod project;
mod report;
pub mod revocation;
mod scrape;
mod stack;

pub use stack::Programs;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::measure::service::{Resident, cpu_seconds, resident};
use crate::table::Report;
use load::Outcome;
use project::Project;
use scrape::{Scrape, Spent};
use stack::Stack;

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Latency under load, and what the process costs idle before and after.
    Load,
    /// The next push of a small and of a large project.
    NextPush,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// None: both parts.
    pub only: Option<Part>,
    pub programs: Programs,
    pub cache: PathBuf,
    /// Seconds of load.
    pub seconds: usize,
    /// Pushes a second.
    pub rate: f64,
    pub projects: usize,
    /// Seconds between the load and the second idle measurement.
    pub rest: u64,
    /// Seconds of an idle measurement.
    pub idle: u64,
    /// Activities of the small and the large project whose next push is compared.
    pub next_push: (usize, usize),
    /// How many next pushes of each.
    pub pairs: usize,
}

/// Activities of a project under load before the first push of the loop.
const ACTIVITIES: usize = 20;

/// What a process costs while nothing happens.
#[derive(Clone, Copy, Debug)]
struct Idle {
    resident: Resident,
    /// Share of one core.
    cpu: f64,
}

/// What the load showed.
#[derive(Debug)]
struct UnderLoad {
    fresh: Idle,
    outcome: Outcome,
    busy: f64,
    stages: Stages,
    after: Idle,
}

/// Runs the benchmark, or the part of it that is asked for.
///
/// # Errors
/// A process does not start or ends early, a hook is refused, a query fails.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let folder = settings.cache.join("bench/pipeline");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", folder.display()));
        }
        _ => std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?,
    }
    let stack = Stack::start(&settings.programs, &folder)?;
    let wanted = |part| settings.only.is_none_or(|only| only == part);
    let load = wanted(Part::Load)
        .then(|| under_load(&stack, &folder, settings))
        .transpose()?;
    let next = wanted(Part::NextPush)
        .then(|| next_push::pairs(&stack, &folder, settings))
        .transpose()?;
    Ok(report::write(&moment, settings, load.as_ref(), next.as_ref()))
}

fn under_load(stack: &Stack, folder: &Path, settings: &Settings) -> anyhow::Result<UnderLoad> {
    thread::sleep(Duration::from_secs(settings.idle.min(5)));
    let fresh = idle(stack, settings.idle)?;
    let pushes = (settings.rate * settings.seconds as f64).round() as usize;
    let mut projects = Vec::new();
    for number in 0..settings.projects {
        let slug = format!("load/project-{number}");
        let commits = pushes.div_ceil(settings.projects);
        let project = Project::make(stack, folder, &slug, ACTIVITIES, commits)?;
        load::push_and_wait(stack, &project, 0)?;
        project.fetch()?;
        projects.push(project);
    }
    let before = stack.scrape()?;
    let (started, cpu) = (Instant::now(), cpu_seconds(stack.renkud_pid())?);
    let outcome = load::run(stack, &projects, pushes, settings.rate)?;
    let busy = (cpu_seconds(stack.renkud_pid())? - cpu) / started.elapsed().as_secs_f64();
    let stages = Stages::between(&before, &stack.scrape()?);
    thread::sleep(Duration::from_secs(settings.rest));
    let after = idle(stack, settings.idle)?;
    Ok(UnderLoad {
        fresh,
        outcome,
        busy,
        stages,
        after,
    })
}

/// Where the time of the pushes went.
#[derive(Clone, Debug)]
struct Stages {
    spent: Vec<Spent>,
    looks: f64,
    commits_of_the_view: f64,
}

impl Stages {
    fn between(before: &Scrape, after: &Scrape) -> Self {
        Self {
            spent: after.spent(before),
            looks: after.growth(before, "renku_fetcher_looks_total"),
            commits_of_the_view: after.growth(before, "renku_view_commit_seconds_count"),
        }
    }
}

fn idle(stack: &Stack, seconds: u64) -> anyhow::Result<Idle> {
    let pid = stack.renkud_pid();
    let (started, before) = (Instant::now(), cpu_seconds(pid)?);
    thread::sleep(Duration::from_secs(seconds));
    let cpu = (cpu_seconds(pid)? - before) / started.elapsed().as_secs_f64();
    let data = stack.data.to_string_lossy().into_owned();
    Ok(Idle {
        resident: resident(pid, &data)?,
        cpu,
    })
}

impl Outcome {
    fn of(&self, of: impl Fn(&load::Arrival) -> f64) -> Vec<f64> {
        self.arrivals.iter().map(of).collect()
    }
}
