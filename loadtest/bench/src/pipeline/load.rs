//! The open loop: pushes go out by the clock, whatever becomes of those before.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use time::OffsetDateTime;

use super::project::Project;
use super::stack::{Hook, Stack};

/// How often deliveries are asked for.
const LOOK: Duration = Duration::from_millis(4);
/// How long pushes may take to become queryable after the last one.
const PATIENCE: Duration = Duration::from_secs(60);

/// One push that arrived, seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// From the 202 to the answer of a query that waited for the position.
    pub(super) queryable: f64,
    /// A bare `git fetch` of the same commit.
    pub(super) fetch: f64,
}

/// What came of all pushes.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) sent: usize,
    pub(super) arrivals: Vec<Arrival>,
    /// The position was covered and the commit was not in the graph.
    pub(super) missing: usize,
    /// How late the last push went out against the plan, seconds.
    pub(super) behind: f64,
}

struct Run<'a> {
    stack: &'a Stack,
    projects: &'a [Project],
    outcome: Mutex<Outcome>,
    failure: Mutex<Option<anyhow::Error>>,
    handled: AtomicUsize,
    stop: AtomicBool,
}

/// Sends `pushes` commits, `rate` a second, over the projects in turn; commit 0 of each is there already.
pub(super) fn run(stack: &Stack, projects: &[Project], pushes: usize, rate: f64) -> anyhow::Result<Outcome> {
    let (_, seen) = stack.hooks_after(0)?;
    let run = Run {
        stack,
        projects,
        outcome: Mutex::default(),
        failure: Mutex::default(),
        handled: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        scope.spawn(|| run.note(run.watch(scope, seen)));
        let started = Instant::now();
        let plan = Plan {
            started,
            pushes,
            rate,
        };
        for (place, project) in projects.iter().enumerate() {
            let run = &run;
            scope.spawn(move || run.note(run.send(place, project, plan)));
        }
        thread::sleep(Duration::from_secs_f64(pushes as f64 / rate));
        let deadline = Instant::now() + PATIENCE;
        while run.handled.load(Ordering::Relaxed) < pushes
            && !run.stop.load(Ordering::Relaxed)
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(20));
        }
        run.stop.store(true, Ordering::Relaxed);
        let mut outcome = run
            .outcome
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        outcome.sent = pushes;
    });
    match run
        .failure
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
    {
        Some(failure) => Err(failure),
        None => Ok(run
            .outcome
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner())),
    }
}

/// When which push is due.
#[derive(Clone, Copy)]
struct Plan {
    started: Instant,
    pushes: usize,
    rate: f64,
}

impl<'a> Run<'a> {
    /// Sends the pushes of one project, each when it is due; one that takes too long delays the next of its project only,
    /// as git's lock on the branch would.
    fn send(&self, place: usize, project: &Project, plan: Plan) -> anyhow::Result<()> {
        for push in (place..plan.pushes).step_by(self.projects.len()) {
            let due = plan.started + Duration::from_secs_f64(push as f64 / plan.rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let behind = due.elapsed().as_secs_f64();
            project.push(push / self.projects.len() + 1)?;
            let mut outcome = self
                .outcome
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            outcome.behind = outcome.behind.max(behind);
        }
        Ok(())
    }

    /// The first failure ends the run.
    fn note(&self, result: anyhow::Result<()>) {
        if let Err(error) = result {
            let mut failure = self
                .failure
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            failure.get_or_insert(error);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn watch<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        mut seen: u64,
    ) -> anyhow::Result<()> {
        let numbers: HashMap<(u32, &str), (usize, usize)> = self
            .projects
            .iter()
            .enumerate()
            .flat_map(|(place, project)| {
                project
                    .commits
                    .iter()
                    .enumerate()
                    .map(move |(number, commit)| ((project.id, commit.as_str()), (place, number)))
            })
            .collect();
        while !self.stop.load(Ordering::Relaxed) {
            let (hooks, newest) = self.stack.hooks_after(seen)?;
            seen = newest;
            for hook in hooks {
                let key = (hook.project, hook.commit.as_str());
                let (place, number) = *numbers
                    .get(&key)
                    .context("a hook for a commit that was not pushed")?;
                scope.spawn(move || self.note(self.follow(&hook, &self.projects[place], number)));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn follow(&self, hook: &Hook, project: &Project, number: usize) -> anyhow::Result<()> {
        let there = self.stack.ask(&project.query(number), &hook.position)?;
        let queryable = (micros(OffsetDateTime::now_utc()) - hook.answered) as f64 / 1e6;
        let fetch = project.fetch()?;
        let mut outcome = self
            .outcome
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if there {
            outcome.arrivals.push(Arrival { queryable, fetch });
        } else {
            outcome.missing += 1;
        }
        drop(outcome);
        self.handled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn micros(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// Pushes one commit and waits until it is queryable.
pub(super) fn push_and_wait(stack: &Stack, project: &Project, number: usize) -> anyhow::Result<()> {
    let (_, seen) = stack.hooks_after(0)?;
    project.push(number)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (hooks, _) = stack.hooks_after(seen)?;
        let ours = hooks
            .iter()
            .find(|hook| hook.project == project.id && hook.commit == project.commits[number]);
        if let Some(hook) = ours {
            anyhow::ensure!(
                stack.ask(&project.query(number), &hook.position)?,
                "commit {number} of project {} is covered but not in the graph",
                project.id
            );
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "no hook came for commit {number} of project {}",
            project.id
        );
        thread::sleep(LOOK);
    }
}
