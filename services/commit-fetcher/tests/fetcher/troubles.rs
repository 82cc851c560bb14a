use std::time::Duration;

use commit_fetcher::edges::Trouble;
use events::{Member, PUSH_EVENTS, PUSH_EVENTS_BACKFILL, StageOutcome, parked};
use model::{AccessLevel, Timestamp, UserId};

use crate::fake::{Commit, FakeGitLab};
use crate::stack::{Stack, project};
use bus::{Bus, NewRecord};

#[tokio::test]
async fn a_gitlab_that_fails_is_asked_again() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    gitlab.trouble([
        Trouble::down("status 502"),
        Trouble::Busy {
            after: Some(Duration::from_millis(20)),
        },
        Trouble::Garbage("not JSON".into()),
    ]);
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    let statuses = stack.statuses().await;
    let told: Vec<_> = statuses
        .iter()
        .filter(|status| status.outcome == StageOutcome::Retrying)
        .map(|status| status.code.as_deref().unwrap())
        .collect();
    assert_eq!(
        told,
        ["gitlab-down", "gitlab-busy"],
        "the first, the second, then less and less often"
    );
    let generations: Vec<_> = statuses.iter().map(|status| status.envelope.generation).collect();
    assert!(generations.is_sorted());
    assert_eq!(stack.commits().await.len(), 1);
    stack.settled().await;
    let metrics = stack.edges.metrics.exposition().unwrap();
    assert!(!metrics.contains("g/p"), "no slug in metrics");
}

#[tokio::test]
async fn one_project_in_trouble_holds_up_no_other() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    gitlab.trouble([Trouble::Refused]);
    let refused = stack.event(project(7)).await;
    stack
        .until("the refusal is told", async || {
            stack
                .statuses()
                .await
                .iter()
                .any(|s| s.code.as_deref() == Some("gitlab-refused"))
        })
        .await;
    for n in 100..140 {
        gitlab.add(project(n), &format!("g/p{n}"), Commit::of(1, 1, 10));
        let event = stack.event(project(n)).await;
        stack.answered(&event, project(n)).await;
    }
    let answered = async |stack: &Stack| {
        stack
            .commits()
            .await
            .iter()
            .any(|c| c.project_id == project(7) && c.envelope.covers.covers(&refused))
    };
    assert!(!answered(&stack).await, "the refused one still waits");
}

#[tokio::test]
async fn what_cannot_be_read_still_asks_for_a_look_and_what_names_no_project_is_parked() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let bad = NewRecord::new(PUSH_EVENTS, "7", "no Avro", now);
    let position = stack.bus.append(vec![bad]).await.unwrap().remove(0);
    stack.answered(&position, project(7)).await;

    for topic in [PUSH_EVENTS, PUSH_EVENTS_BACKFILL] {
        let nobody = NewRecord::new(topic, "not a project", "x", now);
        stack.bus.append(vec![nobody]).await.unwrap();
    }
    stack.settled().await;
    for topic in [PUSH_EVENTS, PUSH_EVENTS_BACKFILL] {
        let parked = stack.records(&parked(&topic)).await;
        assert_eq!(parked.len(), 1);
        assert_eq!(parked[0].headers.text("renku-parked-code"), Some("no-project"));
    }
}

#[tokio::test]
async fn old_events_are_given_up_with_a_word() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    gitlab.trouble([Trouble::down("no connection")]);
    let old = Timestamp::from_micros(1_700_000_000_000_000);
    let event = NewRecord::new(PUSH_EVENTS, "7", "?", old);
    let position = stack.bus.append(vec![event]).await.unwrap().remove(0);
    stack.answered(&position, project(7)).await;
    let ending = stack.endings().await.remove(0);
    assert_eq!(
        (ending.outcome, ending.code.as_deref()),
        (StageOutcome::Rejected, Some("gitlab-down"))
    );
    stack.settled().await;
    assert_eq!(stack.records(&parked(&PUSH_EVENTS)).await.len(), 1);
}

#[tokio::test]
async fn facts_too_large_for_a_record_are_refused_with_a_word() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    gitlab.change(project(7), |project| {
        project.state.members = (1..=30_000)
            .map(|n| Member {
                user_id: UserId::new(n).unwrap(),
                username: format!("user-{n}"),
                name: "Somebody with a name of some length".into(),
                access_level: AccessLevel(30),
                expires_at: None,
            })
            .collect();
    });
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    stack.settled().await;
    let ending = stack.endings().await.remove(0);
    assert_eq!(
        (ending.outcome, ending.code.as_deref()),
        (StageOutcome::Rejected, Some("record-too-large"))
    );
    assert!(stack.facts().await.is_empty() && stack.commits().await.is_empty());
    assert_eq!(stack.records(&parked(&PUSH_EVENTS)).await.len(), 1);
}

#[tokio::test]
async fn content_that_went_between_listing_and_reading_is_fetched_again() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 100, 1_000));
    let stack = Stack::start(&gitlab).await;
    gitlab.lose_reads(2);
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    assert_eq!((gitlab.fetches(), stack.facts().await.len()), (3, 1));
    assert_eq!(stack.commits().await.len(), 1);
}
