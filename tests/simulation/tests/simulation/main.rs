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

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use schedule::Schedule;
use world::Totals;

/// Schedules in an ordinary run.
const SCHEDULES: u64 = 2_000;

#[allow(
    clippy::disallowed_methods,
    reason = "how many schedules, and which, is said by whoever runs the test"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `SIMULATION_SCHEDULES`: how many, from `SIMULATION_FIRST` on. `SIMULATION_SEED`: that one only, with every step printed.
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
    let (totals, failed) = run_all(first..first + count);
    println!("{count} schedules in {:?}: {totals:?}", began.elapsed());
    if let Some((seed, why)) = failed.first_key_value() {
        let (shrunk, why) = Schedule::of_seed(*seed).shrink(why.clone());
        println!("the shrunk schedule of seed {seed}:");
        let _ = world::run(&shrunk, true);
        panic!("seeds {:?} fail; seed {seed}: {why}\n{shrunk:?}", failed.keys());
    }
    totals.assert_everything_happened(count);
}

/// Each schedule has one thread; schedules have nothing in common. None is begun after one has failed, unless
/// `SIMULATION_ALL` is 1.
fn run_all(seeds: Range<u64>) -> (Totals, BTreeMap<u64, String>) {
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(4);
    let all = number("SIMULATION_ALL") == Some(1);
    let next = AtomicU64::new(seeds.start);
    let ended = Mutex::new((Totals::default(), BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || (!all && !ended.lock().1.is_empty()) {
                        return;
                    }
                    let ran = Schedule::of_seed(seed).run();
                    let (totals, failed) = &mut *ended.lock();
                    match ran {
                        Ok(run) => totals.add(&run),
                        Err(why) => {
                            println!("seed {seed} fails: {why}");
                            failed.insert(seed, why);
                        }
                    }
                }
            });
        }
    });
    ended.into_inner()
}
