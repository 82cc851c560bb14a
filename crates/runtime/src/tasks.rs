use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::Instrument;

use crate::stop::Stop;

/// Any error that a task may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Named tasks under supervision. A task that fails or panics is remembered, and whoever waits in [`Tasks::failure`]
/// (the main) brings the process down with its name. Clones are the same group.
///
/// Groups nest: each has its own [`Stop`], so that a process can stop its intake, its workers and its readers one
/// after the other, and one drain per group.
#[derive(Clone)]
pub struct Tasks {
    group: Arc<str>,
    stop: Stop,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, String>,
    failure: Option<Arc<TaskFailure>>,
}

/// The first task that failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("task {task} {how}")]
pub struct TaskFailure {
    /// `group/name`.
    pub task: String,
    /// What it came to.
    pub how: Failure,
}

/// How a task failed.
#[derive(Debug)]
pub enum Failure {
    /// It returned an error.
    Error(BoxError),
    /// It panicked; the message.
    Panic(String),
    /// It returned although nobody had asked it to stop.
    EndedEarly,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => {
                write!(f, "failed: {error}")?;
                let mut source = error.source();
                while let Some(cause) = source {
                    write!(f, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::EndedEarly => f.write_str("ended although it was not asked to"),
        }
    }
}

/// The deadline of a drain passed.
#[derive(Debug, thiserror::Error)]
#[error("still running after the deadline: {}", .0.join(", "))]
pub struct StillRunning(pub Vec<String>);

impl Tasks {
    /// The root of a process's (or a test's) tasks.
    pub fn new() -> Self {
        Self {
            group: "".into(),
            stop: Stop::new(),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// A group within this one: its tasks are called `name/…`, its stop follows this one's.
    #[must_use]
    pub fn group(&self, name: &str) -> Self {
        Self {
            group: format!("{}{name}/", self.group).into(),
            stop: self.stop.child(),
            shared: self.shared.clone(),
        }
    }

    /// The request to stop that this group's tasks must watch.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Starts a task that may end when it likes. An error or a panic counts as failure.
    pub fn spawn<F, E>(&self, name: &str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.start(name, true, future);
    }

    /// Starts a task that must run until [`Tasks::stop`] is requested: ending earlier is a failure as well.
    pub fn spawn_service<F, E>(&self, name: &str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.start(name, false, future);
    }

    fn start<F, E>(&self, name: &str, may_end: bool, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let task = format!("{}{name}", self.group);
        let id = {
            let mut state = self.shared.state.lock();
            state.next += 1;
            let id = state.next;
            state.running.insert(id, task.clone());
            id
        };
        // Leaves the list however the task ends, also when the runtime drops it.
        let listed = Listed {
            shared: self.shared.clone(),
            id,
        };
        let stop = self.stop.clone();
        let span = tracing::info_span!(parent: None, "task", task = %task);
        let supervised = async move {
            let how = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(())) if may_end || stop.is_requested() => None,
                Ok(Ok(())) => Some(Failure::EndedEarly),
                Ok(Err(error)) => Some(Failure::Error(error.into())),
                Err(panic) => Some(Failure::Panic(panic_message(panic.as_ref()))),
            };
            if let Some(how) = how {
                listed.shared.fail(TaskFailure { task, how });
            }
            drop(listed);
        };
        #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
        drop(tokio::spawn(supervised.instrument(span)));
    }

    /// Resolves with the first failure of any task of any group.
    pub async fn failure(&self) -> Arc<TaskFailure> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(failure) = self.first_failure() {
                return failure;
            }
            changed.await;
        }
    }

    /// The first failure so far.
    pub fn first_failure(&self) -> Option<Arc<TaskFailure>> {
        self.shared.state.lock().failure.clone()
    }

    /// The names of this group's running tasks.
    pub fn running(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        let mine = state
            .running
            .values()
            .filter(|task| task.starts_with(&*self.group));
        mine.cloned().collect()
    }

    /// Waits until this group's tasks have ended. Request their stop first.
    pub async fn drain(&self, deadline: Duration) -> Result<(), StillRunning> {
        let emptied = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.running().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(deadline, emptied).await {
            Ok(()) => Ok(()),
            Err(_) => Err(StillRunning(self.running())),
        }
    }

    /// Requests the stop of this group and drains it.
    pub async fn stop_and_drain(&self, deadline: Duration) -> Result<(), StillRunning> {
        self.stop.request();
        self.drain(deadline).await
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("group", &self.group)
            .field("running", &self.running())
            .finish()
    }
}

impl Shared {
    fn fail(&self, failure: TaskFailure) {
        tracing::error!(task = %failure.task, how = %failure.how, "task failed");
        self.state.lock().failure.get_or_insert_with(|| Arc::new(failure));
        self.changed.notify_waiters();
    }
}

struct Listed {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.state.lock().running.remove(&self.id);
        self.shared.changed.notify_waiters();
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn an_error_names_its_task_and_causes() {
        let tasks = Tasks::new();
        tasks.group("writer").spawn("apply", async {
            Err(std::io::Error::other(std::io::Error::new(
                std::io::ErrorKind::StorageFull,
                "disk full",
            )))
        });
        let failure = tasks.failure().await;
        assert_eq!(failure.to_string(), "task writer/apply failed: disk full");
    }

    #[tokio::test]
    async fn a_panic_and_an_early_end_are_failures() {
        let tasks = Tasks::new();
        tasks.spawn("bad", async {
            if true {
                panic!("at {}", 7)
            } else {
                Ok::<(), BoxError>(())
            }
        });
        assert_eq!(tasks.failure().await.to_string(), "task bad panicked: at 7");

        let tasks = Tasks::new();
        tasks.spawn_service("short", async { Ok::<(), BoxError>(()) });
        assert!(matches!(tasks.failure().await.how, Failure::EndedEarly));
    }

    #[tokio::test]
    async fn groups_stop_one_by_one() {
        let tasks = Tasks::new();
        let (intake, workers) = (tasks.group("intake"), tasks.group("workers"));
        for group in [&intake, &workers] {
            let stop = group.stop().clone();
            group.spawn_service("loop", async move {
                stop.requested().await;
                Ok::<(), BoxError>(())
            });
        }
        intake.stop_and_drain(SOON).await.unwrap();
        assert_eq!(tasks.running(), ["workers/loop"]);
        let left = workers.drain(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(left.to_string(), "still running after the deadline: workers/loop");
        tasks.stop_and_drain(SOON).await.unwrap();
        assert!(tasks.first_failure().is_none());
    }
}
