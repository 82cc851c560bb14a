//! The driver: what happens next, by the numbers of the schedule.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use blobs::MemoryBlobs;
use bus::{Bus, MemoryBus, NewRecord, Origin, record_of};
use events::{LookReason, PUSH_EVENTS, PUSH_EVENTS_BACKFILL, PushEvent};
use model::{LogId, Position, ProjectId, Timestamp, Visibility};
use parking_lot::Mutex;
use runtime::failpoint::{Action, on_this_thread};
use tempfile::TempDir;

use crate::check;
use crate::contents::VERSIONS;
use crate::gates::{Gates, Verdict};
use crate::gitlab::{Project, Projects};
use crate::process::{Ground, Process, Role};
use crate::schedule::Schedule;

/// Until nothing but waiting is left.
const A_MOMENT: Duration = Duration::from_millis(1);
const PROJECTS: u32 = 4;

/// How often what happened, over all schedules: a simulation that does nothing proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Totals(BTreeMap<&'static str, u64>);

impl Totals {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add_up(&mut self, what: &'static str, by: u64) {
        *self.0.entry(what).or_default() += by;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add_up(what, *count);
        }
    }

    pub fn assert_everything_happened(&self, schedules: u64) {
        if schedules < 500 {
            return;
        }
        for what in [
            "push",
            "rename",
            "visibility",
            "delete",
            "branch",
            "hook",
            "hook lost",
            "hook twice",
            "hook late",
            "answer lost",
            "request lost",
            "crash",
            "crash by failpoint",
            "failpoint",
            "ghost write",
            "second process",
            "time passes",
            "compaction",
            "graphs checked",
            "gone checked",
            "rebuilt view compared",
        ] {
            assert!(
                self.0.get(what).is_some_and(|count| *count > 10),
                "{what:?} hardly happened: {self:?}"
            );
        }
    }
}

/// A push event that was accepted.
pub struct Accepted {
    pub project: ProjectId,
    pub position: Position,
}

pub struct World {
    pub ground: Ground,
    pub log: MemoryBus,
    pub accepted: Vec<Accepted>,
    pub totals: Totals,
    pub processes: Vec<Process>,
    now: Timestamp,
    seed: u64,
    started: usize,
    late_hooks: VecDeque<ProjectId>,
    ghosts: Vec<Vec<NewRecord>>,
    view: TempDir,
    aloud: bool,
    step: usize,
    trips: Rc<RefCell<Trips>>,
}

/// Failpoints: which hits trip, and which process ran when one of them killed.
#[derive(Default)]
struct Trips {
    planned: Vec<(u32, bool)>,
    hits: u32,
    running: Option<usize>,
    tripped: u64,
    killed: Vec<usize>,
}

/// Runs one schedule. The error says which promise was broken.
pub fn run(schedule: &Schedule, aloud: bool) -> Result<Totals, String> {
    let trips = Rc::new(RefCell::new(Trips {
        planned: schedule.trips.clone(),
        ..Trips::default()
    }));
    let hooked = trips.clone();
    let _hook = on_this_thread(move |name| {
        let mut trips = hooked.borrow_mut();
        let Some(process) = trips.running else {
            return Action::Nothing;
        };
        trips.hits += 1;
        let hit = trips.hits;
        let Some((_, kills)) = trips.planned.iter().copied().find(|(at, _)| *at == hit) else {
            return Action::Nothing;
        };
        if aloud {
            println!(
                "        failpoint {name} trips in #{process}{}",
                if kills { " and kills it" } else { "" }
            );
        }
        trips.tripped += 1;
        if kills {
            trips.killed.push(process);
        }
        Action::Error
    });
    let mut world = World::new(schedule, aloud, trips);
    for (at, number) in schedule.steps.iter().enumerate() {
        world.step = at;
        world.take_step(*number);
    }
    world.heal();
    if let Err(why) = check::check(&mut world) {
        if aloud {
            check::print_log(&world);
        }
        return Err(why);
    }
    let Trips { tripped, .. } = *world.trips.borrow();
    world.totals.add_up("failpoint", tripped);
    Ok(std::mem::take(&mut world.totals))
}

/// A folder in memory where there is one: what is synced there is synced at once.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl World {
    fn new(schedule: &Schedule, aloud: bool, trips: Rc<RefCell<Trips>>) -> Self {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let log = MemoryBus::new(LogId(7));
        let projects: Projects = Arc::new(Mutex::new(BTreeMap::new()));
        let ground = Ground {
            bus: Arc::new(log.clone()),
            blobs: Arc::new(MemoryBlobs::new(Arc::new(move || now))),
            gates: Gates::default(),
            projects,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(log.ensure_topics(&events::topic_specs()))
            .unwrap();
        let mut world = Self {
            ground,
            log,
            accepted: Vec::new(),
            totals: Totals::default(),
            processes: Vec::new(),
            now,
            seed: schedule.seed,
            started: 0,
            late_hooks: VecDeque::new(),
            ghosts: Vec::new(),
            view: scratch(),
            aloud,
            step: 0,
            trips,
        };
        for role in [Role::Fetcher, Role::Generator, Role::Writer] {
            world.start(role);
        }
        // One project with a commit, so that every schedule has something to do.
        world.push(1, 0);
        world.hook(ProjectId::new(1).unwrap(), LookReason::Push);
        world
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:>4}    {}", self.step, what());
        }
    }

    fn start(&mut self, role: Role) {
        self.started += 1;
        let number = self.started;
        // Clocks are ahead by up to a second; in some schedules by so much that whoever comes next is behind for long.
        let most = if self.seed.is_multiple_of(4) {
            30_000_000
        } else {
            1_000_000
        };
        let skew = (self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (number % 32)) % most;
        let at = self.now.plus(Duration::from_micros(skew));
        let seed = self.seed.wrapping_add(number as u64);
        self.say(|| format!("start {role:?} #{number}"));
        let process = Process::start(role, number, &self.ground, at, seed, self.view.path());
        self.processes.push(process);
        self.processes.sort_by_key(|process| process.role);
        self.run_all(A_MOMENT);
    }

    /// Lets all processes run in turn, and brings back those that died.
    pub fn run_all(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        for process in &self.processes {
            self.trips.borrow_mut().running = Some(process.number);
            process.run_for(time);
        }
        self.trips.borrow_mut().running = None;
        let killed = std::mem::take(&mut self.trips.borrow_mut().killed);
        for number in killed {
            self.totals.count("crash by failpoint");
            self.crash(number, "a failpoint");
        }
        let failed: Vec<(usize, String)> = self
            .processes
            .iter()
            .filter_map(|p| Some((p.number, p.failure()?)))
            .collect();
        for (number, why) in failed {
            self.totals.count("ended by an error");
            self.crash(number, &why);
        }
    }

    fn crash(&mut self, number: usize, why: &str) {
        let Some(at) = self.processes.iter().position(|process| process.number == number) else {
            return;
        };
        let role = self.processes.remove(at).role;
        self.say(|| format!("{role:?} #{number} dies of {why}"));
        // What it had sent may still arrive.
        self.ghosts.extend(self.ground.gates.bury(number));
        if !self.processes.iter().any(|process| process.role == role) {
            self.start(role);
        }
    }

    fn take_step(&mut self, number: u64) {
        let (kind, rest) = (number % 100, number / 100);
        match kind {
            0..=61 => self.open_a_gate(rest),
            62..=73 => self.change(rest),
            74..=77 => self.deliver_a_late_hook(),
            78..=81 => {
                self.totals.count("time passes");
                let time = Duration::from_millis([200, 1_000, 3_000, 25_000][rest as usize % 4]);
                self.say(|| format!("{time:?} pass"));
                self.run_all(time);
            }
            82..=86 if !self.processes.is_empty() => {
                let at = rest as usize % self.processes.len();
                self.totals.count("crash");
                self.crash(self.processes[at].number, "the schedule");
            }
            87..=90 => {
                if let Some(records) = self.ghosts.pop() {
                    self.totals.count("ghost write");
                    self.say(|| "a write of a dead process arrives".to_owned());
                    self.append(records);
                }
            }
            91..=93 => self.second(rest),
            94 => {
                self.totals.count("compaction");
                self.log.clean_up(self.now);
            }
            95..=96 => {
                // A look at a project that nothing has happened to, or that there is not.
                let project = ProjectId::new(1 + i64::try_from(rest).unwrap_or(0) % 5).unwrap();
                self.hook(
                    project,
                    [LookReason::Reconcile, LookReason::Rebuild][rest as usize / 8 % 2],
                );
            }
            _ => {
                for _ in 0..1 + rest % 12 {
                    self.open_a_gate(0);
                }
            }
        }
        self.run_all(A_MOMENT);
    }

    fn open_a_gate(&mut self, number: u64) {
        let gates = &self.ground.gates;
        let count = gates.len();
        if count == 0 {
            self.run_all(Duration::from_millis(100));
            return;
        }
        let at = number as usize % count;
        let verdict = match number / 64 % 14 {
            12 if gates.is_fallible(at) => Verdict::FailBefore,
            13 if gates.is_fallible(at) => Verdict::FailAfter,
            _ => Verdict::Go,
        };
        match verdict {
            Verdict::Go => {}
            Verdict::FailBefore => self.totals.count("request lost"),
            Verdict::FailAfter => self.totals.count("answer lost"),
        }
        let what = gates.describe(at);
        self.say(|| format!("{verdict:?}: {what}"));
        gates.open(at, verdict);
        self.run_all(A_MOMENT);
    }

    /// Something happens at GitLab, and perhaps a hook tells of it.
    fn change(&mut self, number: u64) {
        let project = 1 + number as u32 % PROJECTS;
        let rest = number / 16;
        let id = ProjectId::new(i64::from(project)).unwrap();
        let there = self.ground.projects.lock().get(&id).is_some_and(|p| p.is_there);
        match rest % 10 {
            0 if there => {
                self.totals.count("rename");
                let slug = format!("group-{}/p{project}", rest / 16 % 5).parse().unwrap();
                self.edit(id, |p| p.slug = slug);
            }
            1 if there => {
                self.totals.count("visibility");
                let visibilities = [Visibility::Private, Visibility::Internal, Visibility::Public];
                self.edit(id, |p| p.visibility = visibilities[rest as usize / 16 % 3]);
            }
            2 if there => {
                self.totals.count("delete");
                self.edit(id, |p| p.is_there = false);
            }
            3 if there => {
                self.totals.count("branch");
                self.edit(id, |p| {
                    p.branch = if p.branch == "main" { "master" } else { "main" }.to_owned()
                });
            }
            _ if there || self.ground.projects.lock().get(&id).is_none() => {
                self.totals.count("push");
                self.push(project, rest as usize / 16);
            }
            // Ids of deleted projects are not given again.
            _ => return,
        }
        match rest / 4_096 % 8 {
            0 => self.totals.count("hook lost"),
            1 => {
                self.totals.count("hook twice");
                self.hook(id, LookReason::Push);
                self.hook(id, LookReason::Push);
            }
            2 => {
                self.totals.count("hook late");
                self.late_hooks.push_back(id);
            }
            _ => self.hook(id, LookReason::Push),
        }
    }

    fn edit(&mut self, id: ProjectId, edit: impl FnOnce(&mut Project)) {
        let mut projects = self.ground.projects.lock();
        let Some(project) = projects.get_mut(&id) else {
            return;
        };
        edit(project);
        project.unannounced = true;
        let told = format!("gitlab: {id} is now {project:?}");
        drop(projects);
        self.say(|| told);
    }

    fn push(&mut self, project: u32, content: usize) {
        let id = ProjectId::new(i64::from(project)).unwrap();
        self.ground.projects.lock().entry(id).or_insert_with(|| Project {
            slug: format!("group/p{project}").parse().unwrap(),
            visibility: Visibility::Public,
            branch: "main".to_owned(),
            content: None,
            is_there: true,
            unannounced: true,
        });
        self.edit(id, |p| p.content = Some(content % VERSIONS.len()));
    }

    fn deliver_a_late_hook(&mut self) {
        if let Some(project) = self.late_hooks.pop_front() {
            self.hook(project, LookReason::Push);
        }
    }

    /// What webhook-service and reconciler do: a record, answered for when it is durable.
    fn hook(&mut self, project: ProjectId, reason: LookReason) {
        let mut event = PushEvent::new(project, reason, self.now);
        event.regenerate = reason == LookReason::Rebuild;
        let topic = if event.regenerate {
            PUSH_EVENTS_BACKFILL
        } else {
            PUSH_EVENTS
        };
        let origin = Origin {
            source: "webhook-service",
            at: self.now,
            traceparent: None,
            id: None,
        };
        let record = record_of(&topic, &event, origin).unwrap();
        self.totals.count("hook");
        self.say(|| format!("hook for {project}: {reason:?}"));
        let position = self.append(vec![record]).remove(0);
        if let Some(project) = self.ground.projects.lock().get_mut(&project) {
            project.unannounced = false;
        }
        self.accepted.push(Accepted { project, position });
    }

    fn append(&self, records: Vec<NewRecord>) -> Vec<Position> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.log.append(records)).unwrap()
    }

    /// A second process of a role, or its end.
    fn second(&mut self, number: u64) {
        let role = [Role::Fetcher, Role::Generator][number as usize % 2];
        let of_role: Vec<usize> = self
            .processes
            .iter()
            .filter(|p| p.role == role)
            .map(|p| p.number)
            .collect();
        if of_role.len() == 1 {
            self.totals.count("second process");
            self.start(role);
        } else {
            self.crash(of_role[number as usize / 2 % of_role.len()], "the schedule");
        }
    }

    /// No more faults: what was lost is told by the reconciler, and all work gets done.
    fn heal(&mut self) {
        self.trips.borrow_mut().planned.clear();
        while let Some(records) = self.ghosts.pop() {
            self.append(records);
        }
        self.say(|| "everything heals".to_owned());
        self.ground.gates.open_all();
        let unannounced: Vec<ProjectId> = self
            .ground
            .projects
            .lock()
            .iter()
            .filter(|(_, p)| p.unannounced)
            .map(|(id, _)| *id)
            .collect();
        for project in unannounced {
            self.hook(project, LookReason::Reconcile);
        }
        let mut idle = 0;
        for _ in 0..2_000 {
            self.run_all(Duration::from_secs(1));
            idle = if check::is_idle(self) { idle + 1 } else { 0 };
            if idle >= 3 {
                return;
            }
        }
    }

    pub fn writer(&self) -> Option<&Process> {
        self.processes.iter().find(|process| process.role == Role::Writer)
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }
}
