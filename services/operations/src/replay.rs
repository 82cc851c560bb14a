use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::TopicName;
use serde::{Deserialize, Serialize};

use crate::desk::Operations;
use crate::positions::VIEWED;
use crate::refusal::Refusal;

type Asking = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A way to the writer of the graph view, which is another role.
#[derive(Clone)]
pub struct AskReplay(Arc<dyn Fn(bool) -> Asking + Send + Sync>);

impl fmt::Debug for AskReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskReplay")
    }
}

impl AskReplay {
    /// `ask` is told whether to begin from empty, and returns when reading has begun.
    pub fn new<F>(ask: impl Fn(bool) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |from_empty| Box::pin(ask(from_empty))))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    from_empty: bool,
}

/// The answer: reading has begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplayStarted {
    /// Is the view empty now?
    pub from_empty: bool,
    /// When the view stands there, it has read all that was in the log.
    pub goal: Vec<ReplayGoal>,
}

/// The end of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplayGoal {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The offset after its last record.
    pub end: u64,
}

pub(crate) async fn replay(
    State(desk): State<Operations>,
    Json(asked): Json<Asked>,
) -> Result<Json<ReplayStarted>, Refusal> {
    let inner = desk.inner();
    let Asked { from_empty } = asked;
    let ask = inner.replay.as_ref().ok_or(Refusal::NoWriter)?;
    (ask.0)(from_empty).await.map_err(Refusal::NotReplayed)?;
    let mut goal = Vec::new();
    for topic in VIEWED {
        for extent in inner.bus.extents(&topic).await? {
            goal.push(ReplayGoal {
                topic: topic.clone(),
                partition: extent.partition.get(),
                end: extent.end.get(),
            });
        }
    }
    Ok(Json(ReplayStarted { from_empty, goal }))
}
