use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use events::{COMMITS, EVENT_STATUS, PROJECTS, PUSH_EVENTS};
use model::{Generation, Timestamp, Visibility};
use runtime::failpoint::{Action, on_this_thread};

use crate::fake::{Commit, FakeGitLab};
use crate::stack::{Stack, project};

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    stack.read_back().await;
    let stack = stack.restart().await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    assert_eq!(stack.facts().await.len(), 1, "the facts are remembered");
    let commits = stack.commits().await;
    assert_eq!(commits.len(), 2, "the content is written once more");
    assert_eq!(commits[0].sections, commits[1].sections);
    assert!(commits[1].envelope.generation > commits[0].envelope.generation);
    assert_eq!(
        commits[1].envelope.state_version,
        commits[0].envelope.state_version
    );
}

/// Facts that another process wrote, from a clock that is ahead: older than what is so, and too open.
async fn write_as_another(stack: &Stack, visibility: Visibility) -> Generation {
    let mut facts = stack.facts().await.pop().unwrap();
    facts.state.as_mut().unwrap().visibility = visibility;
    let version = facts
        .state_version()
        .next(stack.edges.clock.now().plus(Duration::from_secs(600)));
    facts.envelope.generation = version;
    facts.envelope.state_version = version;
    stack.write(&PROJECTS, &facts).await;
    version
}

async fn is_written_over(stack: &Stack, version: Generation, visibility: Visibility) {
    stack
        .until("facts are written that are newer", async || {
            let last = stack.facts().await.pop().unwrap();
            last.state_version() > version && last.state.unwrap().visibility == visibility
        })
        .await;
    stack.read_back().await;
    let looks = stack.commits().await;
    assert!(looks.last().unwrap().envelope.generation > version);
    let statuses = stack.records(&EVENT_STATUS).await.len();
    stack.read_back().await;
    assert_eq!(
        stack.records(&EVENT_STATUS).await.len(),
        statuses,
        "once is enough"
    );
}

#[tokio::test]
async fn what_another_process_wrote_is_written_over() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    stack.read_back().await;
    let real = stack.facts().await[0].state.clone().unwrap().visibility;
    let other = if real == Visibility::Internal {
        Visibility::Public
    } else {
        Visibility::Internal
    };
    let version = write_as_another(&stack, other).await;
    is_written_over(&stack, version, real).await;
    // And while nobody was there to see it.
    stack.stop().await;
    let version = write_as_another(&stack, other).await;
    let stack = stack.restart().await;
    is_written_over(&stack, version, real).await;
    // A commit is as good as facts, and what cannot be read is as bad.
    let before = stack.commits().await;
    let mut old = before[0].clone();
    old.envelope.generation = before
        .last()
        .unwrap()
        .envelope
        .generation
        .next(Timestamp::default());
    stack.write(&COMMITS, &old).await;
    stack
        .until("the commit is written again", async || {
            stack.commits().await.last().unwrap().envelope.generation > old.envelope.generation
        })
        .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_looks_in_hand_first() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    gitlab.hold();
    let event = stack.event(project(7)).await;
    stack
        .until("the look has begun", async || gitlab.fetches() == 1)
        .await;
    let (stopped, ()) = tokio::join!(stack.stop(), async {
        tokio::task::yield_now().await;
        gitlab.let_go();
    });
    let () = stopped;
    stack.answered(&event, project(7)).await;
    stack.settled().await;
}

#[tokio::test]
async fn two_members_share_the_projects_and_hand_them_over() {
    let gitlab = FakeGitLab::new();
    for n in 1..=60 {
        gitlab.add(project(n), &format!("g/p{n}"), Commit::of(1, 2, 50));
    }
    let stack = Stack::start(&gitlab).await;
    let mut events = Vec::new();
    for n in 1..=60 {
        events.push((project(n), stack.event(project(n)).await));
    }
    let other = stack.run_another("second");
    for n in 1..=60 {
        gitlab.push(project(n), Commit::of(2, 3, 50));
        events.push((project(n), stack.event(project(n)).await));
    }
    other.stop_and_drain(Duration::from_secs(30)).await.unwrap();
    for n in 1..=60 {
        gitlab.push(project(n), Commit::of(3, 4, 50));
        events.push((project(n), stack.event(project(n)).await));
    }
    for (project, event) in &events {
        stack.answered(event, *project).await;
    }
    stack.settled().await;
    let mut newest: BTreeMap<_, _> = BTreeMap::new();
    for commit in stack.commits().await {
        let before = newest.insert(commit.project_id, (commit.envelope.generation, commit.sha));
        assert!(before.is_none_or(|(generation, _)| generation < commit.envelope.generation));
    }
    assert!(newest.values().all(|(_, sha)| sha.as_bytes()[0] == 3));
}

/// At every point where a process can die: what was begun is begun again, nothing is lost, generations grow.
#[tokio::test]
async fn every_failpoint_once() {
    let points = [
        "commit-fetcher.after-fetch",
        "commit-fetcher.after-facts",
        "commit-fetcher.between-blobs",
        "commit-fetcher.after-blobs",
        "commit-fetcher.before-content",
        "commit-fetcher.before-settle",
    ];
    for point in points {
        assert!(runtime::failpoint::names().contains(&point), "{point}");
        let gitlab = FakeGitLab::new();
        // More than goes to the blob store at once.
        let (files, size) = if point.ends_with("between-blobs") {
            (200, 50_000)
        } else {
            (100, 1_000)
        };
        gitlab.add(project(7), "g/p", Commit::of(1, files, size));
        let stack = Stack::start(&gitlab).await;
        let hits = Rc::new(RefCell::new(0));
        let counted = hits.clone();
        // The runtime of this test has this one thread.
        let hook = on_this_thread(move |name| {
            if name != point {
                return Action::Nothing;
            }
            *counted.borrow_mut() += 1;
            if *counted.borrow() == 1 {
                Action::Error
            } else {
                Action::Nothing
            }
        });
        let event = stack.event(project(7)).await;
        stack.answered(&event, project(7)).await;
        stack.settled().await;
        drop(hook);
        assert!(*hits.borrow() >= 1, "{point} was not met");
        let facts = stack.facts().await;
        let versions: BTreeSet<_> = facts.iter().map(|facts| facts.state_version()).collect();
        assert_eq!(facts.len(), versions.len());
        let mut last = None;
        for commit in stack.commits().await {
            assert!(
                versions.contains(&commit.envelope.state_version),
                "facts before content"
            );
            assert!(last < Some(commit.envelope.generation));
            last = Some(commit.envelope.generation);
        }
        stack.stop().await;
    }
}

#[tokio::test]
async fn doubled_events_are_harmless() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = events::PushEvent::new(project(7), events::LookReason::Push, stack.edges.clock.now());
    let mut last = stack.append(&PUSH_EVENTS, &event, None).await;
    for _ in 0..20 {
        last = stack.append(&PUSH_EVENTS, &event, None).await;
    }
    stack.answered(&last, project(7)).await;
    stack.settled().await;
    assert_eq!((stack.commits().await.len(), stack.facts().await.len()), (1, 1));
}
