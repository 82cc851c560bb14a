//! A role as a process: a runtime of its own, which dies when it is dropped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bus::Bus;
use graph_writer::GraphWriter;
use model::Timestamp;
use runtime::{Clock, Edges, Randomness, SeededRandomness, Tasks};
use store::{Reader, StoreOptions};
use tokio::runtime::Runtime;

use crate::contents::HOST;
use crate::gated::{GatedBlobs, GatedBus};
use crate::gates::Gates;
use crate::gitlab::{GitLab, Projects};
use crate::sim_clock::SimClock;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    Fetcher,
    Generator,
    Writer,
}

/// What all processes stand on.
#[derive(Clone)]
pub struct Ground {
    pub bus: Arc<dyn Bus>,
    pub blobs: Arc<dyn Blobs>,
    pub gates: Gates,
    pub projects: Projects,
}

pub struct Process {
    pub role: Role,
    pub number: usize,
    pub tasks: Tasks,
    /// Of a graph-writer: the view as others read it.
    pub reader: Option<Reader>,
    runtime: Option<Runtime>,
}

pub fn store_options() -> StoreOptions {
    StoreOptions {
        map_size: 256 << 20,
        max_readers: 32,
        ..StoreOptions::new(HOST)
    }
}

impl Process {
    /// Starts a role. `at`: what its clock says. `view`: the folder of a graph-writer's view.
    pub fn start(role: Role, number: usize, ground: &Ground, at: Timestamp, seed: u64, view: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(2)
            .build()
            .unwrap();
        let tasks = Tasks::new();
        let gates = ground.gates.of(number);
        let bus: Arc<dyn Bus> = Arc::new(GatedBus {
            bus: ground.bus.clone(),
            gates: gates.clone(),
        });
        let blobs: Arc<dyn Blobs> = Arc::new(GatedBlobs {
            blobs: ground.blobs.clone(),
            gates: gates.clone(),
        });
        let mut reader = None;
        runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SimClock::new(at));
            let randomness: Arc<dyn Randomness> = Arc::new(SeededRandomness::new(seed));
            let edges = Edges::with(clock, randomness);
            match role {
                Role::Fetcher => {
                    let gitlab = Arc::new(GitLab {
                        projects: ground.projects.clone(),
                        gates,
                    });
                    let sources = commit_fetcher::Sources {
                        bus,
                        blobs,
                        facts: gitlab.clone(),
                        content: gitlab,
                    };
                    let config = commit_fetcher::Config::default();
                    commit_fetcher::build(&config, sources, &edges)
                        .unwrap()
                        .run(&tasks);
                }
                Role::Generator => {
                    let config = triple_generator::Config {
                        cache_mib: 8,
                        ..Default::default()
                    };
                    triple_generator::build(&config, &rdf::Host::verbatim(HOST), bus, blobs, &edges)
                        .unwrap()
                        .run(&tasks);
                }
                Role::Writer => {
                    let (writer, view) = graph_writer::open_view(view, store_options()).unwrap();
                    reader = Some(view);
                    let config = graph_writer::Config::default();
                    GraphWriter::build(&config, writer, bus, blobs, &edges)
                        .await
                        .unwrap()
                        .run(&tasks);
                }
            }
        });
        Self {
            role,
            number,
            tasks,
            reader,
            runtime: Some(runtime),
        }
    }

    /// Lets it run until nothing is left to do but to wait, and its time pass.
    pub fn run_for(&self, time: Duration) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async move { tokio::time::sleep(time).await });
        }
    }

    /// What killed it from within.
    pub fn failure(&self) -> Option<String> {
        self.tasks.first_failure().map(|failure| failure.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reader = None;
        // Waits for the blocking thread, as the next process must find the view's folder free.
        self.runtime = None;
    }
}
