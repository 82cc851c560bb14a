//! What goes wrong, each for a while.

use std::time::Duration;

use gitlab_sim::{HookFaults, Surface};
use rand::Rng;
use rand::rngs::StdRng;

use super::cluster::BROKERS;
use super::line::State;
use super::site::{LASTING, NODES, PASSING, Site};

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    ProcessKilled,
    AllProcessesKilled,
    ProcessStopped,
    BrokerKilled,
    /// Two of three: nothing can be written.
    BrokersKilled,
    BrokerPaused,
    ProcessCutOff,
    ProcessUnheard,
    LineCut,
    GitLabFails,
    GitDown,
    HooksLostDoubledAndSwapped,
    /// Members come, are killed, and go.
    Rebalances,
    /// A node is given its folder of some while ago.
    OldView,
    LostView,
}

use Fault as F;

pub const ALL: [Fault; 15] = [
    F::ProcessKilled,
    F::BrokerKilled,
    F::ProcessCutOff,
    F::GitLabFails,
    F::OldView,
    F::LostView,
    F::Rebalances,
    F::BrokerPaused,
    F::HooksLostDoubledAndSwapped,
    F::ProcessUnheard,
    F::AllProcessesKilled,
    F::BrokersKilled,
    F::ProcessStopped,
    F::LineCut,
    F::GitDown,
];

fn wait(random: &mut StdRng, most: u64) {
    std::thread::sleep(Duration::from_millis(random.random_range(most / 8..most)));
}

/// Strikes, and heals.
pub fn strike(fault: Fault, site: &mut Site, random: &mut StdRng) {
    let (process, broker) = (random.random_range(0..LASTING), random.random_range(0..BROKERS));
    match fault {
        F::ProcessKilled => {
            site.kill(process);
            wait(random, 1_500);
            site.run(process);
        }
        F::AllProcessesKilled => {
            (0..LASTING).for_each(|process| site.kill(process));
            (0..LASTING).for_each(|process| site.run(process));
        }
        F::ProcessStopped => {
            site.stop(process);
            wait(random, 1_500);
            site.run(process);
        }
        F::BrokerKilled => {
            site.cluster.kill(broker);
            wait(random, 4_000);
            site.cluster.start_again(broker);
        }
        F::BrokersKilled => {
            let other = (broker + 1) % BROKERS;
            site.cluster.kill(broker);
            site.cluster.kill(other);
            wait(random, 4_000);
            site.cluster.start_again(broker);
            site.cluster.start_again(other);
        }
        F::BrokerPaused => {
            site.cluster.pause(broker, true);
            wait(random, 9_000);
            site.cluster.pause(broker, false);
        }
        F::ProcessCutOff => on_lines(site, process, None, State::Cut, random),
        F::ProcessUnheard => on_lines(site, process, None, State::Silent, random),
        F::LineCut => on_lines(site, process, Some(broker), State::Cut, random),
        F::GitLabFails => {
            let on = gitlab_sim::Fault::on;
            let fault = match random.random_range(0..5) {
                0 => on(Surface::Api).status(500),
                1 => gitlab_sim::Fault {
                    retry_after: Some(1),
                    ..on(Surface::Api).status(429)
                },
                2 => gitlab_sim::Fault {
                    garbage: true,
                    ..on(Surface::Api)
                },
                3 => gitlab_sim::Fault {
                    break_after: Some(200),
                    ..on(Surface::Git)
                },
                _ => on(Surface::Api).delay(Duration::from_secs(2)),
            };
            site.sim.set_faults(vec![fault]);
            wait(random, 4_000);
            site.sim.set_faults(Vec::new());
        }
        F::GitDown => {
            site.sim
                .set_faults(vec![gitlab_sim::Fault::on(Surface::Git).status(503)]);
            wait(random, 3_000);
            site.sim.set_faults(Vec::new());
        }
        F::HooksLostDoubledAndSwapped => {
            site.sim.set_hook_faults(HookFaults {
                drop_every: Some(random.random_range(2..6)),
                double_every: Some(random.random_range(2..6)),
                swap_every: Some(random.random_range(2..6)),
                delay_ms: 0,
            });
            wait(random, 5_000);
            site.sim.set_hook_faults(HookFaults::default());
        }
        F::Rebalances => {
            for _ in 0..2 {
                PASSING.iter().for_each(|process| site.run(*process));
                wait(random, 4_000);
                site.kill(PASSING[random.random_range(0..PASSING.len())]);
                PASSING.iter().for_each(|process| site.stop(*process));
            }
        }
        F::OldView => {
            let node = NODES[1];
            let (views, kept) = (site.views(node), site.scratch().join("kept-views"));
            site.stop(node);
            if kept.exists() {
                std::fs::remove_dir_all(&views).unwrap();
                std::fs::rename(&kept, &views).unwrap();
            }
            copy_folder(&views, &kept);
            site.run(node);
        }
        F::LostView => {
            let node = NODES[1];
            site.stop(node);
            std::fs::remove_dir_all(site.views(node)).unwrap();
            site.run(node);
        }
    }
}

fn on_lines(site: &Site, process: usize, broker: Option<usize>, state: State, random: &mut StdRng) {
    site.cluster.set_lines(process, broker, state);
    wait(random, 6_000);
    site.cluster.set_lines(process, broker, State::Open);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => copy_folder(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}
