//! A soak on three brokers: pushes and changes at random while everything goes wrong, and two nodes that must come to the same
//! as GitLab says. An oracle knows the repositories, and the exporter makes of each what its graph must be.
//!
//! `RENKU_SOAK_FOLDER`: where it lives; a soak that was broken off goes on there. Others: see [`Plan::of_environment`].

mod cluster;
mod faults;
mod journal;
mod line;
mod projects;
mod settle;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::ProjectId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Handle;

use crate::kills::number;
use faults::{ALL, Fault, strike};
use journal::Journal;
use projects::Projects;
use settle::{compare, rebuild, settle, shows_nothing_secret};
use site::{NODES, Site};

/// How much of it.
struct Plan {
    seed: u64,
    projects: usize,
    /// Of all rounds together.
    pushes: u64,
    faults: u64,
    rounds: u64,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, otherwise: usize| number(name).unwrap_or(otherwise) as u64;
        Self {
            seed: number("RENKU_SOAK_SEED", 1),
            projects: number("RENKU_SOAK_PROJECTS", 12) as usize,
            pushes: number("RENKU_SOAK_PUSHES", 120),
            faults: number("RENKU_SOAK_FAULTS", 6),
            rounds: number("RENKU_SOAK_ROUNDS", 2),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "where is said by whoever runs the test")]
fn folder() -> Option<PathBuf> {
    std::env::var("RENKU_SOAK_FOLDER").ok().map(PathBuf::from)
}

/// Without a folder it is broken off after its first round, and goes on.
#[test]
fn soak_on_three_brokers_loses_nothing_and_doubles_nothing() {
    let plan = Plan::of_environment();
    if let Some(folder) = folder() {
        std::fs::create_dir_all(&folder).unwrap();
        return run(&plan, &folder.canonicalize().unwrap(), plan.rounds);
    }
    let folder = tempfile::tempdir().unwrap();
    for rounds in [1, plan.rounds] {
        run(&plan, folder.path(), rounds);
    }
}

/// Runs the rounds up to this one that are still to be run, and looks at what is there.
fn run(plan: &Plan, folder: &Path, rounds: u64) {
    let mut journal = Journal::open(folder, plan.seed);
    let (before, gitlab) = journal.gitlab();
    let began = Instant::now();
    let mut site = Site::start(folder, &gitlab);
    std::fs::create_dir_all(site.scratch()).unwrap();
    let handle = site.handle();
    let mut projects = Projects::make(
        &site.sim,
        &handle,
        plan.projects,
        &journal.projects,
        before.as_ref(),
    );
    println!(
        "seed {}: {} rounds were run; all is up after {:?}",
        journal.seed,
        journal.rounds,
        began.elapsed()
    );
    let mut seen = settle(&mut site, &mut projects, 0).1;
    journal.pushes += plan.projects as u64;
    while journal.rounds < rounds {
        let began = Instant::now();
        let asked = round(plan, &mut journal, &mut site, &mut projects);
        let (accepted, newest) = settle(&mut site, &mut projects, seen);
        seen = newest;
        journal.pushes += plan.projects as u64;
        journal.rounds += 1;
        journal.generations = compare(&site, &projects, (plan.projects / 50).max(1));
        journal.write(&projects);
        println!(
            "round {}: {accepted} hooks accepted, {asked} answers looked at; {} pushes, {} faults, {} generations so far; {:?}",
            journal.rounds,
            journal.pushes,
            journal.faults,
            journal.generations,
            began.elapsed()
        );
    }
    compare(&site, &projects, 1);
    rebuild(&mut site, NODES[1]);
    settle(&mut site, &mut projects, seen);
    compare(&site, &projects, 1);
    journal.write(&projects);
    assert!(
        journal.generations >= journal.pushes / 4,
        "{}",
        journal.generations
    );
    for process in 0..site::LASTING {
        site.stop(process);
    }
}

/// Pushes and changes on one thread, questions of everybody on another, faults on this one. How many answers were looked at.
fn round(plan: &Plan, journal: &mut Journal, site: &mut Site, projects: &mut Projects) -> u64 {
    let mut random = StdRng::seed_from_u64(
        journal
            .seed
            .wrapping_add(journal.rounds.wrapping_mul(0x9e37_79b9)),
    );
    let (pushes, faults) = (
        (plan.pushes / plan.rounds).saturating_sub(plan.projects as u64),
        plan.faults / plan.rounds,
    );
    let done = AtomicU64::new(0);
    let struck = AtomicU64::new(0);
    let ends = Arc::new(AtomicBool::new(false));
    let secret: Vec<ProjectId> = projects
        .all
        .iter()
        .filter(|project| project.is_secret())
        .map(|project| project.id)
        .collect();
    let (client, handle) = (site.client(), site.handle());
    let ports = NODES.map(|node| site.public_port(node));
    let mut of_pushes = StdRng::seed_from_u64(random.random());
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            for number in 0..pushes {
                // Not faster than the faults.
                while number * faults > (struck.load(Ordering::SeqCst) + 1) * pushes {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let at = of_pushes.random_range(0..projects.all.len());
                match of_pushes.random_bool(0.05) {
                    true => projects.change(at, &mut of_pushes),
                    false => drop(projects.push(at)),
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        let ends_too = ends.clone();
        let stranger = scope.spawn(move || ask_again_and_again(&client, &handle, ports, &secret, &ends_too));
        let mut tally: BTreeMap<Fault, u64> = BTreeMap::new();
        for number in 0..faults {
            // Not faster than the pushes.
            while number * pushes > done.load(Ordering::SeqCst) * faults && !pusher.is_finished() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let fault = ALL[(journal.faults as usize) % ALL.len()];
            let began = Instant::now();
            strike(fault, site, &mut random);
            journal.faults += 1;
            *tally.entry(fault).or_default() += 1;
            struck.fetch_add(1, Ordering::SeqCst);
            println!(
                "{fault:?} for {:?}; {} pushes",
                began.elapsed(),
                done.load(Ordering::SeqCst)
            );
            // Faults come on top of each other's consequences, but not always.
            if random.random_bool(0.3) {
                site.wait_until_ready(0..site::LASTING);
            }
        }
        pusher.join().unwrap();
        ends.store(true, Ordering::SeqCst);
        journal.pushes += pushes;
        println!("{tally:?}");
        stranger.join().unwrap()
    })
}

fn ask_again_and_again(
    client: &reqwest::Client,
    handle: &Handle,
    ports: [u16; 2],
    secret: &[ProjectId],
    ends: &AtomicBool,
) -> u64 {
    let mut looked_at = 0;
    while !ends.load(Ordering::SeqCst) {
        for port in ports {
            for query in [
                "SELECT ?g { GRAPH ?g {} }",
                "SELECT DISTINCT ?p { ?p a <http://schema.org/Project> }",
            ] {
                // Nodes that are down give none.
                if let Some(text) = Site::public_answer(client, handle, port, query) {
                    shows_nothing_secret(&text, secret).unwrap();
                    looked_at += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    looked_at
}
