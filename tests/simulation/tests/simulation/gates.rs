use std::sync::Arc;

use bus::NewRecord;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What comes of an operation at a gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is done, and answered.
    Go,
    /// It fails and was not done.
    FailBefore,
    /// It is done, and the answer is a failure.
    FailAfter,
}

/// An operation that waits.
#[derive(Debug)]
pub struct Waiting {
    pub process: usize,
    pub what: String,
    /// Whether it may fail.
    pub fallible: bool,
    /// Records on their way to the log: they may get there although who sent them has died.
    pub records: Vec<NewRecord>,
    open: oneshot::Sender<Verdict>,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Waiting>,
    all_open: bool,
}

/// All gates of a simulation.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<Inner>>);

/// The gates as one process meets them.
#[derive(Clone)]
pub struct GatesOf {
    gates: Gates,
    process: usize,
}

impl Gates {
    pub fn of(&self, process: usize) -> GatesOf {
        GatesOf {
            gates: self.clone(),
            process,
        }
    }

    /// From now on nothing waits.
    pub fn open_all(&self) {
        let mut inner = self.0.lock();
        inner.all_open = true;
        for waiting in inner.waiting.drain(..) {
            let _ = waiting.open.send(Verdict::Go);
        }
    }

    /// How many wait whose process lives.
    pub fn len(&self) -> usize {
        let mut inner = self.0.lock();
        inner.waiting.retain(|waiting| !waiting.open.is_closed());
        inner.waiting.len()
    }

    pub fn describe(&self, at: usize) -> String {
        self.0
            .lock()
            .waiting
            .get(at)
            .map(|w| format!("#{} {}", w.process, w.what))
            .unwrap_or_default()
    }

    pub fn is_fallible(&self, at: usize) -> bool {
        self.0
            .lock()
            .waiting
            .get(at)
            .is_some_and(|waiting| waiting.fallible)
    }

    pub fn open(&self, at: usize, verdict: Verdict) {
        let waiting = self.0.lock().waiting.remove(at);
        let _ = waiting.open.send(verdict);
    }

    /// The process is dead: what was on its way to the log.
    pub fn bury(&self, process: usize) -> Vec<Vec<NewRecord>> {
        let mut inner = self.0.lock();
        let (dead, alive) = inner
            .waiting
            .drain(..)
            .partition(|waiting| waiting.process == process);
        inner.waiting = alive;
        let dead: Vec<Waiting> = dead;
        dead.into_iter()
            .map(|waiting| waiting.records)
            .filter(|records| !records.is_empty())
            .collect()
    }
}

impl GatesOf {
    /// Waits for the driver.
    pub async fn pass(&self, what: impl Into<String>, fallible: bool) -> Verdict {
        self.pass_with(what, fallible, Vec::new()).await
    }

    pub async fn pass_with(
        &self,
        what: impl Into<String>,
        fallible: bool,
        records: Vec<NewRecord>,
    ) -> Verdict {
        let (open, opened) = oneshot::channel();
        {
            let mut inner = self.gates.0.lock();
            if inner.all_open {
                return Verdict::Go;
            }
            inner.waiting.push(Waiting {
                process: self.process,
                what: what.into(),
                fallible,
                records,
                open,
            });
        }
        opened.await.unwrap_or(Verdict::Go)
    }
}
