//! Single looks, told step by step.

use events::{Covers, StageOutcome};
use model::{Generation, Offset, Outcome, Partition, ProjectId, Timestamp, Visibility};

use crate::edges::Trouble;
use crate::facts::KnownFacts;
use crate::look::{Command, Look, Patience, Step};
use crate::memory::ProjectMemory;
use crate::request::Request;
use crate::samples;

fn project() -> ProjectId {
    ProjectId::new(7).unwrap()
}

fn begin(known: ProjectMemory, attempt: u32, oldest: i64) -> Step {
    let request = Request {
        covers: Covers::record(&events::PUSH_EVENTS, Partition::new(0), Offset::new(0)),
        regenerate: false,
        floor: Generation::default(),
        doubted: false,
        campaign: None,
        oldest: Timestamp::from_micros(oldest),
        causes: Vec::new(),
        events: 1,
        unreadable: 0,
    };
    Look::begin(
        project(),
        Generation::new(9),
        known,
        request,
        attempt,
        Patience::default(),
    )
}

fn asked(step: Step) -> Look {
    match step {
        Step::AskFacts(look) => look,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_token_waits_longer_each_time_and_is_given_up_in_the_end() {
    let day = 24 * 3600 * 1_000_000i64;
    let waits: Vec<_> = [1, 2, 5, 9, 1_000]
        .into_iter()
        .map(|attempt| {
            let look = asked(begin(ProjectMemory::default(), attempt, 0));
            match look
                .facts(Err(Trouble::Refused.into()), Timestamp::from_micros(day))
                .unwrap()
            {
                Step::End(ending) => match ending.outcome {
                    Outcome::Retry { after, owner, .. } => {
                        assert_eq!(owner, model::Owner::Upstream);
                        after.unwrap().as_secs()
                    }
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(waits, [15, 30, 240, 300, 300]);
    let look = asked(begin(ProjectMemory::default(), 3, 0));
    match look
        .facts(Err(Trouble::Refused.into()), Timestamp::from_micros(3 * day))
        .unwrap()
    {
        Step::End(ending) => {
            assert!(matches!(&ending.outcome, Outcome::Reject(reason) if reason.code == "gitlab-refused"));
            assert!(matches!(ending.commands.as_slice(), [Command::Status(status)]
                if status.outcome == StageOutcome::Rejected && !status.envelope.covers.is_empty()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn facts_are_written_although_the_content_cannot_be_read() {
    let mut known = ProjectMemory::default();
    let record = samples::facts(7, "a/b", Some("main"));
    known.wrote_facts(&record, KnownFacts::of(&record).unwrap());
    let Step::Fetch(look, aim) = begin(known, 1, 0) else {
        panic!("the aim is known")
    };
    let look = asked(look.fetched(aim, Err(Trouble::down("git is down").into())));
    let mut state = record.state.unwrap();
    state.visibility = Visibility::Private;
    match look.facts(Ok(state), Timestamp::from_micros(1)).unwrap() {
        Step::End(ending) => {
            assert!(matches!(
                ending.commands.as_slice(),
                [Command::Facts(_), Command::Status(_)]
            ));
            assert!(matches!(ending.outcome, Outcome::Retry { .. }));
        }
        other => panic!("{other:?}"),
    }
}
