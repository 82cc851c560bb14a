use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Is this process fit to be asked? Each component says for itself whether it is ready, and if not, why.
/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    components: BTreeMap<String, Option<String>>,
    stopping: bool,
}

/// What `/health/ready` tells.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// All components are.
    pub ready: bool,
    /// Per component: `ready`, or why it is not.
    pub components: BTreeMap<String, String>,
}

impl Health {
    /// No component yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component; it is not ready (`starting`) until it says so.
    pub fn component(&self, name: &str) -> Component {
        self.shared
            .lock()
            .components
            .insert(name.to_owned(), Some("starting".to_owned()));
        Component {
            name: name.into(),
            health: self.clone(),
        }
    }

    /// From now on never ready again: the process is going.
    pub fn stopping(&self) {
        self.shared.lock().stopping = true;
    }

    /// Which components there are, and whether each is ready. None is while the process is going.
    pub fn components(&self) -> Vec<(String, bool)> {
        let state = self.shared.lock();
        let ready = |why: &Option<String>| why.is_none() && !state.stopping;
        state
            .components
            .iter()
            .map(|(name, why)| (name.clone(), ready(why)))
            .collect()
    }

    /// The state of everything.
    pub fn readiness(&self) -> Readiness {
        let state = self.shared.lock();
        let mut components: BTreeMap<_, _> = state
            .components
            .iter()
            .map(|(name, why)| (name.clone(), why.clone().unwrap_or_else(|| "ready".to_owned())))
            .collect();
        if state.stopping {
            components.insert("process".to_owned(), "stopping".to_owned());
        }
        Readiness {
            ready: !state.stopping && state.components.values().all(Option::is_none),
            components,
        }
    }
}

/// One part of the process, by which it tells its state. Clones are the same part.
#[derive(Debug, Clone)]
pub struct Component {
    name: Arc<str>,
    health: Health,
}

impl Component {
    /// It works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It does not, for this reason (one line for an operator, no secret).
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why: Option<String>) {
        let before = {
            let mut state = self.health.shared.lock();
            state
                .components
                .insert(self.name.as_ref().to_owned(), why.clone())
        };
        if before.as_ref() != Some(&why) {
            match why {
                None => tracing::info!(component = %self.name, "component is ready"),
                // Worth a warning only if it had been ready: at the start everything has to catch up.
                Some(why) if before == Some(None) => {
                    tracing::warn!(component = %self.name, why, "component is not ready any more");
                }
                Some(why) => tracing::info!(component = %self.name, why, "component is not ready yet"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_are() {
        let health = Health::new();
        let (bus, store) = (health.component("bus"), health.component("store"));
        bus.ready();
        store.not_ready("catching up: 12 records behind");
        let told = health.readiness();
        assert!(!told.ready);
        assert_eq!(told.components["store"], "catching up: 12 records behind");
        store.ready();
        assert!(health.readiness().ready);
        health.stopping();
        assert!(!health.readiness().ready);
    }
}
