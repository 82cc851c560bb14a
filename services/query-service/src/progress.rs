//! How far a project's newest push came, in the words of Renku's event log
//! (`renku-graph`, `graph-commons/src/main/scala/io/renku/graph/model/events.scala`): front-ends show these.

use events::{EventStatus, Stage, StageOutcome};
use model::Generation;
use serde::Serialize;

/// Stages of a whole event.
const TOTAL: u8 = 5;

/// The answer of `GET /projects/:id/events/status`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Progress {
    activated: bool,
    progress: Share,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Share {
    done: u8,
    total: u8,
    percentage: f32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Details {
    status: &'static str,
    message: &'static str,
    /// Only of failures: what was wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<String>,
}

/// What the views know of a project's looks.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Looks<'a> {
    /// The status of the highest rank.
    pub newest: Option<&'a EventStatus>,
    /// The graph that answers queries.
    pub applied: Generation,
    /// Why a newer graph could not be taken into the view.
    pub left_out: Option<(Generation, &'a str)>,
}

impl Progress {
    /// Of a project that the caller may see.
    pub(crate) fn of(looks: Looks<'_>) -> Self {
        let Some(newest) = looks.newest else {
            // Known by its facts alone: no push of it has been looked at.
            return Self {
                activated: looks.applied > Generation::default(),
                ..Self::at(0, None)
            };
        };
        let generation = newest.envelope.generation;
        if let Some((at, why)) = looks
            .left_out
            .filter(|(at, _)| *at >= generation.max(looks.applied))
        {
            tracing::debug!(generation = %at, "graph was left out");
            return Self::failed("transformation non recoverable failure", Some(why.to_owned()));
        }
        if newest.outcome == StageOutcome::Rejected {
            return Self::failed("generation non recoverable failure", newest.message.clone());
        }
        let awaited = match newest.outcome {
            StageOutcome::NothingNew => newest.awaits_generation,
            _ => generation,
        };
        if looks.applied >= awaited
            && (newest.outcome == StageOutcome::NothingNew || looks.applied > Generation::default())
        {
            return Self::at(TOTAL, Some(("success", "triples store")));
        }
        let (done, message) = match (newest.stage, newest.outcome) {
            (Stage::Generated, StageOutcome::Done) | (_, StageOutcome::NothingNew) => {
                (4, "transforming triples")
            }
            (Stage::Generated, _) => (2, "generation recoverable failure"),
            (Stage::Fetched, StageOutcome::Done) => (2, "generating triples"),
            _ => (1, "new"),
        };
        Self::at(done, Some(("in-progress", message)))
    }

    fn at(done: u8, details: Option<(&'static str, &'static str)>) -> Self {
        let percentage = f32::from(done) * 100.0 / f32::from(TOTAL);
        Self {
            activated: true,
            progress: Share {
                done,
                total: TOTAL,
                percentage,
            },
            details: details.map(|(status, message)| Details {
                status,
                message,
                stacktrace: None,
            }),
        }
    }

    fn failed(message: &'static str, why: Option<String>) -> Self {
        let details = Some(Details {
            status: "failure",
            message,
            stacktrace: why,
        });
        Self {
            details,
            ..Self::at(TOTAL, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Envelope;
    use model::{ProjectId, Timestamp};

    fn status(generation: u64, stage: Stage, outcome: StageOutcome) -> EventStatus {
        let mut envelope = Envelope::unlooked(Timestamp::default());
        envelope.generation = Generation::new(generation);
        EventStatus {
            envelope,
            project_id: ProjectId::new(1).unwrap(),
            sha: None,
            stage,
            outcome,
            awaits_generation: Generation::default(),
            code: None,
            message: Some("run renku migrate".into()),
        }
    }

    fn told(status: &EventStatus, applied: u64, left_out: Option<(Generation, &str)>) -> String {
        let looks = Looks {
            newest: Some(status),
            applied: Generation::new(applied),
            left_out,
        };
        serde_json::to_string(&Progress::of(looks)).unwrap()
    }

    #[test]
    fn every_stage_has_its_words() {
        use {Stage::*, StageOutcome::*};
        for (stage, outcome, applied, wanted) in [
            (Looked, Retrying, 0, (1, "in-progress", "new")),
            (Looked, Done, 3, (1, "in-progress", "new")),
            (Fetched, Retrying, 0, (1, "in-progress", "new")),
            (Fetched, Done, 0, (2, "in-progress", "generating triples")),
            (
                Generated,
                Retrying,
                0,
                (2, "in-progress", "generation recoverable failure"),
            ),
            (Generated, Done, 4, (4, "in-progress", "transforming triples")),
            (Generated, Done, 5, (5, "success", "triples store")),
            (Fetched, Done, 6, (5, "success", "triples store")),
            (Looked, NothingNew, 0, (5, "success", "triples store")),
        ] {
            let (done, status_word, message) = wanted;
            let percentage = format!("{:?}", f32::from(done as u8) * 20.0);
            assert_eq!(
                told(&status(5, stage, outcome), applied, None),
                format!(
                    r#"{{"activated":true,"progress":{{"done":{done},"total":5,"percentage":{percentage}}},"details":{{"status":"{status_word}","message":"{message}"}}}}"#
                ),
            );
        }
    }

    #[test]
    fn failures_say_why() {
        let rejected = told(&status(5, Stage::Generated, StageOutcome::Rejected), 4, None);
        assert!(rejected.ends_with(
            r#""details":{"status":"failure","message":"generation non recoverable failure","stacktrace":"run renku migrate"}}"#
        ));
        let left_out = Some((Generation::new(5), "a blob is missing"));
        let missing = told(&status(5, Stage::Generated, StageOutcome::Done), 4, left_out);
        assert!(
            missing.contains(r#""stacktrace":"a blob is missing""#),
            "{missing}"
        );
        let healed = told(&status(6, Stage::Generated, StageOutcome::Done), 6, left_out);
        assert!(healed.contains("success"), "{healed}");
    }

    #[test]
    fn what_is_on_its_way_is_waited_for() {
        let mut nothing_new = status(7, Stage::Looked, StageOutcome::NothingNew);
        nothing_new.awaits_generation = Generation::new(5);
        assert!(told(&nothing_new, 4, None).contains("transforming triples"));
        assert!(told(&nothing_new, 5, None).contains("success"));
    }

    #[test]
    fn a_project_without_looks() {
        let told = serde_json::to_string(&Progress::of(Looks::default())).unwrap();
        assert_eq!(
            told,
            r#"{"activated":false,"progress":{"done":0,"total":5,"percentage":0.0}}"#
        );
    }
}
