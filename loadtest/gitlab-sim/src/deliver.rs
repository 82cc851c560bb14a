use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use crate::payload::{self, RefChange};
use crate::repository::ZERO;
use crate::world::{HookTarget, Project, User, World};

/// Which of GitLab's hooks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A project's own.
    Project,
    /// The instance's.
    System,
}

/// A hook that was sent, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Counts up from 1.
    pub number: u64,
    /// See [`Via`].
    pub via: Via,
    /// `push`, `project_rename`, …
    pub kind: String,
    /// What it is about.
    pub project: Option<u32>,
    /// The ref that moved, and where it is now.
    pub r#ref: Option<String>,
    /// See above.
    pub after: Option<String>,
    /// `Idempotency-Key`.
    pub key: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When the answer had come.
    pub answered_at: Timestamp,
    /// The answer's status; None: no answer.
    pub status: Option<u16>,
    /// The answer's `Renku-Position`.
    pub position: Option<String>,
}

/// A hook to send.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub via: Via,
    pub project: Option<u32>,
    pub target: HookTarget,
    pub body: Value,
}

/// Deliveries remembered.
const REMEMBERED: usize = 100_000;
/// Hooks on their way at one time.
const AT_ONCE: usize = 16;
/// Newest commits told in a hook.
const COMMITS: usize = 20;

impl World {
    /// Queues the hooks of a push, after it is done.
    pub(crate) fn pushed(&self, project: &Project, user: &User, changes: &[RefChange]) {
        if changes.is_empty() {
            return;
        }
        let (targets, system) = {
            let mut state = self.state();
            state.counters.pushes += 1;
            if let Some(known) = state.projects.get_mut(&project.id) {
                known.updated_at = self.clock.now();
                if known.default_branch.is_none() {
                    known.default_branch = changes
                        .iter()
                        .filter(|change| change.after != ZERO)
                        .find_map(|change| change.name.strip_prefix("refs/heads/").map(str::to_owned));
                }
            }
            let hooks = state
                .projects
                .get(&project.id)
                .map(|project| project.hooks.clone())
                .unwrap_or_default();
            (hooks, state.system_hook.clone())
        };
        for change in changes {
            let wanted: Vec<&HookTarget> = targets
                .values()
                .filter(|hook| {
                    if change.is_tag() {
                        hook.tag_push_events
                    } else {
                        hook.push_events
                    }
                })
                .map(|hook| &hook.target)
                .collect();
            if wanted.is_empty() && system.is_none() {
                continue;
            }
            let (commits, total) = if change.is_tag() || change.after == ZERO || wanted.is_empty() {
                (vec![], 0)
            } else {
                // A hook without its list of commits is better than none.
                project
                    .repository
                    .commits(&change.before, &change.after, COMMITS)
                    .unwrap_or_default()
            };
            let body = payload::push(&self.url, project, user, change, &commits, total);
            for target in wanted {
                self.send(Via::Project, Some(project.id), target.clone(), body.clone());
            }
            if let Some(target) = &system {
                self.send(
                    Via::System,
                    Some(project.id),
                    target.clone(),
                    payload::without_commits(body),
                );
            }
        }
    }

    /// Queues a system hook, if there is one.
    pub(crate) fn announce(&self, project: Option<u32>, body: Value) {
        let target = self.state().system_hook.clone();
        if let Some(target) = target {
            self.send(Via::System, project, target, body);
        }
    }

    fn send(&self, via: Via, project: Option<u32>, target: HookTarget, body: Value) {
        // The receiver ends with the process only.
        let _ = self.due.send(Due {
            via,
            project,
            target,
            body,
        });
    }
}

/// Sends what is due until the world ends. Like GitLab, it does not try again.
pub(crate) async fn deliver(
    world: Arc<World>,
    client: reqwest::Client,
    mut due: mpsc::UnboundedReceiver<Due>,
) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let stop = world.tasks.stop().clone();
    let mut held: Option<Due> = None;
    let mut number = 0_u64;
    while let Some(Some(next)) = stop.or(due.recv()).await {
        number += 1;
        let faults = world.state().hook_faults.clone();
        let hits = |every: Option<u32>| {
            every.is_some_and(|every| every > 0 && number.is_multiple_of(u64::from(every)))
        };
        if hits(faults.drop_every) {
            world.state().counters.hooks_dropped += 1;
            continue;
        }
        if hits(faults.swap_every) && held.is_none() {
            held = Some(next);
            continue;
        }
        let mut batch = vec![next];
        if hits(faults.double_every) {
            batch.extend(batch.first().cloned());
        }
        batch.extend(held.take());
        let key = world.uuid();
        for (nth, due) in batch.into_iter().enumerate() {
            let Some(Ok(slot)) = stop.or(slots.clone().acquire_owned()).await else {
                return;
            };
            // A double keeps its key, what was held back has its own.
            let key = if nth == 0 || hits(faults.double_every) && nth == 1 {
                key.clone()
            } else {
                world.uuid()
            };
            let (world, client) = (world.clone(), client.clone());
            let delay = Duration::from_millis(faults.delay_ms);
            let tasks = world.tasks.clone();
            tasks.spawn("hook", async move {
                if !delay.is_zero() {
                    world.clock.sleep(delay).await;
                }
                post(&world, &client, due, key).await;
                drop(slot);
                Ok::<(), std::io::Error>(())
            });
        }
    }
}

async fn post(world: &World, client: &reqwest::Client, due: Due, key: String) {
    let text = |name: &str| due.body.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = text("event_name").unwrap_or_default();
    let event = match (due.via, kind.as_str()) {
        (Via::System, _) => "System Hook",
        (Via::Project, "tag_push") => "Tag Push Hook",
        (Via::Project, _) => "Push Hook",
    };
    let mut request = client
        .post(&due.target.url)
        .header("content-type", "application/json")
        .header("user-agent", "GitLab/17.5.1")
        .header("x-gitlab-event", event)
        .header("x-gitlab-event-uuid", world.uuid())
        .header("x-gitlab-webhook-uuid", world.uuid())
        .header("x-gitlab-instance", &world.url)
        .header("idempotency-key", &key);
    if let Some(token) = &due.target.token {
        request = request.header("x-gitlab-token", token);
    }
    let sent_at = world.clock.now();
    let answer = request.body(due.body.to_string()).send().await;
    let answered_at = world.clock.now();
    let status = answer.as_ref().ok().map(|response| response.status().as_u16());
    let position = answer.ok().and_then(|response| {
        response
            .headers()
            .get("renku-position")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    });
    if status.is_none_or(|status| !(200..300).contains(&status)) {
        tracing::warn!(kind, project = due.project, status, "a hook was not taken");
    }
    let mut state = world.state();
    state.counters.hooks += 1;
    if status.is_none_or(|status| !(200..300).contains(&status)) {
        state.counters.hooks_failed += 1;
    }
    let delivery = Delivery {
        number: state.counters.hooks,
        via: due.via,
        r#ref: text("ref"),
        after: text("after"),
        kind,
        project: due.project,
        key,
        sent_at,
        answered_at,
        status,
        position,
    };
    if state.deliveries.len() >= REMEMBERED {
        state.deliveries.pop_front();
    }
    state.deliveries.push_back(delivery);
}
