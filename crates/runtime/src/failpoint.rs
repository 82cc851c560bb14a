//! Named places where a test (or an operator of a test stack) lets the process die, fail or wait.
//!
//! ```text
//! runtime::failpoint!("graph-writer.after-commit")?;
//! ```
//!
//! Unarmed, a point costs one relaxed load. Every point of the executable is listed by [`names`].
//!
//! Two ways to arm: for the whole process ([`arm`], [`arm_from_spec`]), or for the present thread only
//! ([`on_this_thread`]: single-threaded simulations that run beside other tests).

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

#[doc(hidden)]
pub use linkme;

/// What an armed point does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends the process at once as `kill -9` does: no destructor, no flush.
    Kill,
    /// Gives [`Tripped`].
    Error,
    /// Panics.
    Panic,
    /// Holds the thread this long.
    Delay(Duration),
    /// Goes on.
    Nothing,
}

/// An action, at every hit or at the n-th only. Text form: `kill`, `error`, `panic`, `delay:50`, each with `@3` at will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub action: Action,
    /// At which hit, counted from 1; without it at each.
    pub at: Option<u64>,
}

/// What a point armed with [`Action::Error`] gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failpoint {0} was tripped")]
pub struct Tripped(pub &'static str);

impl From<Tripped> for std::io::Error {
    fn from(tripped: Tripped) -> Self {
        Self::other(tripped)
    }
}

/// The text is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// See [`Plan`].
    #[error("{0:?} is not a failpoint plan: NAME=kill|error|panic|delay:MS, with @N for the n-th hit only")]
    Unreadable(String),
    /// No such point in this executable.
    #[error("there is no failpoint {0:?}")]
    Unknown(String),
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let bad = || PlanError::Unreadable(text.to_owned());
        let (action, at) = match text.split_once('@') {
            None => (text, None),
            Some((action, at)) => (action, Some(at.parse().map_err(|_| bad())?)),
        };
        let action = match action.split_once(':') {
            None if action == "kill" => Action::Kill,
            None if action == "error" => Action::Error,
            None if action == "panic" => Action::Panic,
            Some(("delay", ms)) => Action::Delay(Duration::from_millis(ms.parse().map_err(|_| bad())?)),
            _ => return Err(bad()),
        };
        Ok(Self { action, at })
    }
}

/// One point in the code. Made by [`failpoint!`](crate::failpoint!).
#[derive(Debug)]
pub struct Point {
    name: &'static str,
}

#[doc(hidden)]
#[linkme::distributed_slice]
pub static POINTS: [Point];

/// How many plans are armed anywhere, threads' hooks included.
static ARMED: AtomicUsize = AtomicUsize::new(0);

struct ArmedPlan {
    id: usize,
    name: String,
    plan: Plan,
    hits: u64,
}

static PLANS: Mutex<Vec<ArmedPlan>> = Mutex::new(Vec::new());
static NEXT_ID: AtomicUsize = AtomicUsize::new(0);

type Hook = Box<dyn FnMut(&'static str) -> Action>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Marks a failpoint: `failpoint!("graph-writer.after-commit")` is a `Result<(), Tripped>`.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {{
        #[$crate::failpoint::linkme::distributed_slice($crate::failpoint::POINTS)]
        #[linkme(crate = $crate::failpoint::linkme)]
        static POINT: $crate::failpoint::Point = $crate::failpoint::Point::new($name);
        POINT.hit()
    }};
}

impl Point {
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// The code has come here.
    #[inline]
    pub fn hit(&self) -> Result<(), Tripped> {
        if ARMED.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.act(self.planned())
    }

    #[cold]
    fn planned(&self) -> Action {
        let hooked = HOOK.with(|hook| match hook.try_borrow_mut() {
            Ok(mut hook) => hook.as_mut().map(|hook| hook(self.name)),
            Err(_) => None,
        });
        if let Some(action) = hooked {
            return action;
        }
        for armed in PLANS.lock().iter_mut().filter(|armed| armed.name == self.name) {
            armed.hits += 1;
            if armed.plan.at.is_none_or(|at| at == armed.hits) {
                return armed.plan.action;
            }
        }
        Action::Nothing
    }

    fn act(&self, action: Action) -> Result<(), Tripped> {
        match action {
            Action::Nothing => Ok(()),
            Action::Error => Err(Tripped(self.name)),
            Action::Panic => panic!("failpoint {} was tripped", self.name),
            Action::Delay(how_long) => {
                std::thread::sleep(how_long);
                Ok(())
            }
            Action::Kill => kill_this_process(),
        }
    }
}

fn kill_this_process() -> ! {
    // SIGKILL, as the out-of-memory killer would. `abort` stands in should the signal be refused.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// The names of all points in this executable, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = POINTS.iter().map(|point| point.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Arms a point for the whole process until the guard is dropped.
pub fn arm(name: &str, plan: Plan) -> Result<Armed, PlanError> {
    if !names().contains(&name) {
        return Err(PlanError::Unknown(name.to_owned()));
    }
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    PLANS.lock().push(ArmedPlan {
        id,
        name: name.to_owned(),
        plan,
        hits: 0,
    });
    ARMED.fetch_add(1, Ordering::SeqCst);
    Ok(Armed { id })
}

/// Arms points for the life of the process: `a.b=kill@3,c.d=delay:20`.
pub fn arm_from_spec(spec: &str) -> Result<(), PlanError> {
    for part in spec.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, plan) = part
            .split_once('=')
            .ok_or_else(|| PlanError::Unreadable(part.to_owned()))?;
        std::mem::forget(arm(name.trim(), plan.trim().parse()?)?);
    }
    Ok(())
}

/// Disarms when dropped.
#[must_use = "the point is disarmed when this is dropped"]
pub struct Armed {
    id: usize,
}

impl fmt::Debug for Armed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Armed({})", self.id)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        PLANS.lock().retain(|armed| armed.id != self.id);
        ARMED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets `hook` decide at every point that the *present thread* meets, until the guard is dropped.
/// A hook that says [`Action::Error`] makes a crash of a simulated component.
pub fn on_this_thread(hook: impl FnMut(&'static str) -> Action + 'static) -> ThreadHook {
    HOOK.with(|slot| {
        if slot.borrow_mut().replace(Box::new(hook)).is_none() {
            ARMED.fetch_add(1, Ordering::SeqCst);
        }
    });
    ThreadHook {
        not_send: std::marker::PhantomData,
    }
}

/// Removes the thread's hook when dropped.
#[must_use = "the hook is removed when this is dropped"]
#[derive(Debug)]
pub struct ThreadHook {
    not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for ThreadHook {
    fn drop(&mut self) {
        HOOK.with(|slot| {
            if slot.borrow_mut().take().is_some() {
                ARMED.fetch_sub(1, Ordering::SeqCst);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Result<(), Tripped> {
        crate::failpoint!("runtime.test-step")
    }

    fn other() -> Result<(), Tripped> {
        crate::failpoint!("runtime.test-other")
    }

    #[test]
    fn points_are_listed_and_armed_by_name() {
        assert!(names().contains(&"runtime.test-step"));
        assert_eq!(step(), Ok(()));
        let armed = arm("runtime.test-step", "error@2".parse().unwrap()).unwrap();
        assert_eq!(
            (step(), step(), step()),
            (Ok(()), Err(Tripped("runtime.test-step")), Ok(()))
        );
        drop(armed);
        assert_eq!(step(), Ok(()));
        assert_eq!(
            arm_from_spec("nowhere=kill"),
            Err(PlanError::Unknown("nowhere".into()))
        );
        assert!(arm_from_spec("runtime.test-step").is_err());
        for bad in ["", "kill:3", "delay", "delay:x", "error@x", "explode"] {
            assert!(bad.parse::<Plan>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thread_hook_leaves_other_threads_alone() {
        let hook = on_this_thread(|_| Action::Error);
        assert!(other().is_err());
        assert!(std::thread::spawn(other).join().unwrap().is_ok());
        drop(hook);
        assert!(other().is_ok());
    }
}
