//! `bench pipeline`: from a push hook's 202 to an answer, through the real processes.

mod load;
mod project;
mod report;
mod scrape;
mod stack;

pub use stack::Programs;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::measure::service::{Resident, cpu_seconds, resident, running_seconds};
use crate::table::Report;
use load::Outcome;
use project::Project;
use scrape::{Scrape, Spent};
use stack::Stack;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
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

/// What one more push of a project took, seconds.
#[derive(Clone, Copy, Debug, Default)]
struct NextPush {
    /// CPU of the whole process from the push to the answer.
    cpu: f64,
    /// The steps from the commit record to the transaction that shows it, by their histograms.
    steps: f64,
}

/// Runs the whole benchmark.
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
    thread::sleep(Duration::from_secs(settings.idle.min(5)));
    let fresh = idle(&stack, settings.idle)?;

    let pushes = (settings.rate * settings.seconds as f64).round() as usize;
    let mut projects = Vec::new();
    for number in 0..settings.projects {
        let slug = format!("load/project-{number}");
        let commits = pushes.div_ceil(settings.projects);
        let project = Project::make(&stack, &folder, &slug, ACTIVITIES, commits)?;
        load::push_and_wait(&stack, &project, 0)?;
        project.fetch()?;
        projects.push(project);
    }
    let before = stack.scrape()?;
    let (started, cpu) = (Instant::now(), cpu_seconds(stack.renkud_pid())?);
    let outcome = load::run(&stack, &projects, pushes, settings.rate)?;
    let busy = (cpu_seconds(stack.renkud_pid())? - cpu) / started.elapsed().as_secs_f64();
    let stages = Stages::between(&before, &stack.scrape()?);
    thread::sleep(Duration::from_secs(settings.rest));
    let after = idle(&stack, settings.idle)?;

    let (small, large) = next_pushes(&stack, &folder, settings)?;
    Ok(report::write(
        &moment,
        settings,
        &report::Figures {
            fresh,
            outcome,
            busy,
            stages,
            after,
            small,
            large,
        },
    ))
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

/// One more push of a small and of a large project, in turns.
fn next_pushes(
    stack: &Stack,
    folder: &std::path::Path,
    settings: &Settings,
) -> anyhow::Result<(Vec<NextPush>, Vec<NextPush>)> {
    let (small, large) = settings.next_push;
    // Two unmeasured pushes: caches are as warm as for a project that is worked on.
    let commits = settings.pairs + 2;
    let small = Project::make(stack, folder, "next/small", small, commits)?;
    let large = Project::make(stack, folder, "next/large", large, commits)?;
    for project in [&small, &large] {
        for number in 0..=2 {
            load::push_and_wait(stack, project, number)?;
        }
    }
    let (mut smalls, mut larges) = (Vec::new(), Vec::new());
    for pair in 0..settings.pairs {
        let number = pair + 3;
        let mut turns = [(&small, &mut smalls), (&large, &mut larges)];
        if pair % 2 == 1 {
            turns.swap(0, 1);
        }
        for (project, pushes) in turns {
            pushes.push(next_push(stack, project, number)?);
        }
    }
    Ok((smalls, larges))
}

fn next_push(stack: &Stack, project: &Project, number: usize) -> anyhow::Result<NextPush> {
    // What still runs of the push before must not be counted here.
    thread::sleep(Duration::from_millis(500));
    let pid = stack.renkud_pid();
    let (before, cpu) = (stack.scrape()?, running_seconds(pid)?);
    load::push_and_wait(stack, project, number)?;
    let cpu = running_seconds(pid)? - cpu;
    let spent = stack.scrape()?.spent(&before);
    let late = |spent: &&Spent| {
        spent.what.starts_with("renku_generator_step_seconds")
            || spent.what.starts_with("renku_view_commit_seconds")
    };
    Ok(NextPush {
        cpu,
        steps: spent.iter().filter(late).map(|spent| spent.seconds).sum(),
    })
}

impl Outcome {
    fn of(&self, of: impl Fn(&load::Arrival) -> f64) -> Vec<f64> {
        self.arrivals.iter().map(of).collect()
    }
}
