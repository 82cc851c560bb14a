//! Seeded schedules of the whole pipeline, one step at a time, without sockets and without luck.
//!
//! The roles are the real ones. Each runs as a process of its own: a single-threaded runtime whose time stands still
//! until the driver moves it, and dropping it is the crash. Whatever a role asks of the outside (bus, blobs, GitLab, git)
//! waits at a gate; the driver opens one gate at a time, and decides what comes of it. A schedule is a list of numbers, so
//! a failing one can be made shorter and printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints"
)]

mod check;
mod contents;
mod gated;
mod gates;
mod gitlab;
mod process;
mod schedule;
mod sim_clock;
mod world;

use std::time::Instant;

use schedule::Schedule;

/// Schedules in an ordinary run.
const SCHEDULES: u64 = 840;

#[allow(
    clippy::disallowed_methods,
    reason = "how many schedules, and which, is said by whoever runs the test"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `SIMULATION_SCHEDULES`: how many. `SIMULATION_SEED`: that one only, with every step printed.
#[test]
fn every_schedule_converges() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let schedule = Schedule::of_seed(seed);
        world::run(&schedule, true).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        return;
    }
    let count = number("SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    let began = Instant::now();
    let mut totals = world::Totals::default();
    for seed in first..first + count {
        let schedule = Schedule::of_seed(seed);
        match world::run(&schedule, false) {
            Ok(run) => totals.add(&run),
            Err(why) => {
                let (shrunk, why) = schedule.shrink(why);
                println!("the shrunk schedule of seed {seed}:");
                let _ = world::run(&shrunk, true);
                panic!("seed {seed}: {why}\n{shrunk:?}");
            }
        }
    }
    println!("{count} schedules in {:?}: {totals:?}", began.elapsed());
    totals.assert_everything_happened(count);
}
