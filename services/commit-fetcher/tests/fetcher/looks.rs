use events::{Decoder, MetadataSection, PUSH_EVENTS, Stage, StageOutcome};
use model::{BlobName, Visibility};

use crate::fake::{Commit, FakeGitLab};
use crate::stack::{Stack, project};

#[tokio::test]
async fn a_push_becomes_facts_and_a_commit_with_its_content() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 5, 100));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;

    let facts = stack.facts().await;
    let commits = stack.commits().await;
    assert_eq!((facts.len(), commits.len()), (1, 1));
    let (facts, commit) = (&facts[0], &commits[0]);
    assert_eq!(facts.state.as_ref().unwrap().slug.as_str(), "g/p");
    assert_eq!(facts.state_version(), facts.envelope.generation);
    assert_eq!(commit.envelope.generation, facts.envelope.generation, "one look");
    assert_eq!(commit.envelope.state_version, facts.state_version());
    assert!(commit.envelope.covers.covers(&event));
    assert_eq!(commit.r#ref, "refs/heads/main");

    // Small content travels with the record: five files in five sections.
    assert_eq!(commit.sections.len(), 5);
    assert_eq!(commit.attached.len(), 10);
    let attached: std::collections::HashMap<_, _> =
        commit.attached.iter().map(|a| a.blob().unwrap()).collect();
    for section in &commit.sections {
        let bytes = &attached[&BlobName::Digest(section.digest.0)];
        let list: MetadataSection = Decoder::default()
            .decode("renku.metadata-section", bytes)
            .unwrap();
        for entry in list.entries {
            assert_eq!(attached[&BlobName::Git(entry.blob)].len() as i64, entry.size);
        }
    }

    let statuses = stack.statuses().await;
    assert_eq!(statuses.len(), 1);
    assert_eq!(
        (statuses[0].stage, statuses[0].outcome),
        (Stage::Fetched, StageOutcome::Done)
    );
    assert!(statuses[0].envelope.covers.is_empty());
    stack.settled().await;
}

#[tokio::test]
async fn large_content_goes_to_the_blob_store_and_only_what_is_new_is_read() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 100, 1_000));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    assert_eq!(gitlab.reads(), 100);
    let first = stack.commits().await.remove(0);
    assert!(first.attached.is_empty());

    gitlab.push(project(7), Commit::of(2, 101, 1_000));
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    assert_eq!(gitlab.reads(), 101);
    let second = stack.commits().await.remove(1);
    let changed = second
        .sections
        .iter()
        .filter(|s| !first.sections.contains(s))
        .count();
    assert_eq!((second.sections.len(), changed), (7, 1));

    for section in &second.sections {
        let bytes = stack
            .sources
            .blobs
            .get_many(&[BlobName::Digest(section.digest.0)])
            .await
            .unwrap();
        let bytes = bytes[0].as_ref().expect("the section is stored");
        let list: MetadataSection = Decoder::default()
            .decode("renku.metadata-section", bytes)
            .unwrap();
        let names: Vec<_> = list
            .entries
            .iter()
            .map(|entry| BlobName::Git(entry.blob))
            .collect();
        let there = stack.sources.blobs.contains_many(&names).await.unwrap();
        assert!(there.iter().all(|there| *there));
    }
}

#[tokio::test]
async fn nothing_new_says_what_it_waits_for() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let first = stack.event(project(7)).await;
    stack.answered(&first, project(7)).await;
    let again = stack.event(project(7)).await;
    stack.answered(&again, project(7)).await;
    let commits = stack.commits().await;
    let endings = stack.endings().await;
    assert_eq!(
        (commits.len(), endings.len(), stack.facts().await.len()),
        (1, 1, 1)
    );
    assert_eq!(endings[0].outcome, StageOutcome::NothingNew);
    assert_eq!(endings[0].awaits_generation, commits[0].envelope.generation);
    assert!(endings[0].envelope.generation > commits[0].envelope.generation);
    assert!(
        endings[0].envelope.covers.covers(&first),
        "later records say it again"
    );

    // A rebuild makes the content again.
    let rebuild = stack.regenerate(project(7), "autumn").await;
    stack.answered(&rebuild, project(7)).await;
    let commits = stack.commits().await;
    assert_eq!(commits.len(), 2);
    assert_eq!(commits[1].sha, commits[0].sha);
    assert_eq!(commits[1].envelope.campaign.as_deref(), Some("autumn"));
}

#[tokio::test]
async fn a_backlog_is_one_look() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    gitlab.hold();
    stack.event(project(7)).await;
    stack
        .until("the first look has begun", async || gitlab.fetches() == 1)
        .await;
    let mut last = stack.event(project(7)).await;
    for n in 2..50 {
        gitlab.push(project(7), Commit::of(n, usize::from(n), 10));
        last = stack.event(project(7)).await;
    }
    gitlab.let_go();
    stack.answered(&last, project(7)).await;
    stack.settled().await;
    // The first one saw the newest commit already, so the second one found nothing new.
    assert_eq!(gitlab.fetches(), 2);
    let commits = stack.commits().await;
    assert_eq!((commits.len(), stack.endings().await.len()), (1, 1));
    assert_eq!(commits[0].sha.as_bytes()[0], 49);
}

#[tokio::test]
async fn facts_change_without_a_push() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    gitlab.change(project(7), |project| {
        project.state.visibility = Visibility::Private
    });
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    let facts = stack.facts().await;
    let endings = stack.endings().await;
    assert_eq!((facts.len(), stack.commits().await.len()), (2, 1));
    assert_eq!(facts[1].state.as_ref().unwrap().visibility, Visibility::Private);
    assert_eq!(endings[0].envelope.state_version, facts[1].state_version());
}

#[tokio::test]
async fn a_renamed_project_and_branch_are_followed_within_one_look() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    gitlab.change(project(7), |project| {
        project.state.slug = "g/q".parse().unwrap();
        project.state.default_branch = Some("trunk".into());
        project.branches.insert("trunk".into(), Commit::of(9, 2, 10));
    });
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    let commits = stack.commits().await;
    assert_eq!(commits.len(), 2);
    assert_eq!(commits[1].r#ref, "refs/heads/trunk");
    assert_eq!(
        stack.facts().await[1].state.as_ref().unwrap().slug.as_str(),
        "g/q"
    );
    assert!(
        stack
            .statuses()
            .await
            .iter()
            .all(|status| status.outcome == StageOutcome::Done)
    );
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;

    // The default branch is deleted, and no other takes its place.
    gitlab.change(project(7), |project| project.branches.clear());
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    let facts = stack.facts().await;
    assert_eq!(facts[1].state.as_ref().unwrap().default_branch, None);
    let ending = stack.endings().await.remove(0);
    assert_eq!(
        (ending.outcome, ending.code.as_deref()),
        (StageOutcome::Done, Some("nothing-to-read"))
    );
    assert_eq!(ending.awaits_generation, facts[1].envelope.generation);

    // The project is deleted: said once as a fact, answered each time.
    gitlab.delete(project(7));
    for _ in 0..2 {
        let event = stack.event(project(7)).await;
        stack.answered(&event, project(7)).await;
    }
    let facts = stack.facts().await;
    assert_eq!(facts.len(), 3);
    assert_eq!(facts[2].state, None);
    let endings = stack.endings().await;
    assert_eq!(endings.len(), 3);
    assert_eq!(endings[2].code.as_deref(), Some("project-gone"));

    // And comes back.
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    assert_eq!(
        stack.commits().await.len(),
        2,
        "what was known before it went is forgotten"
    );
}

#[tokio::test]
async fn a_project_without_metadata_has_a_commit_without_sections() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 0, 0));
    let stack = Stack::start(&gitlab).await;
    let event = stack.event(project(7)).await;
    stack.answered(&event, project(7)).await;
    let commit = stack.commits().await.remove(0);
    assert!(commit.sections.is_empty() && commit.attached.is_empty());
}

#[tokio::test]
async fn one_cause_goes_on_and_several_are_linked() {
    let gitlab = FakeGitLab::new();
    gitlab.add(project(7), "g/p", Commit::of(1, 1, 10));
    let stack = Stack::start(&gitlab).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let event = events::PushEvent::new(project(7), events::LookReason::Push, stack.edges.clock.now());
    let event = stack.append(&PUSH_EVENTS, &event, Some(trace)).await;
    stack.answered(&event, project(7)).await;
    let record = stack.records(&events::COMMITS).await.remove(0);
    let said = record.headers.text("traceparent").unwrap();
    assert_eq!(&said[..35], &trace[..35]);
    assert_ne!(said, trace);
    assert_eq!(record.headers.text("ce_source"), Some("/renku/commit-fetcher"));
}
