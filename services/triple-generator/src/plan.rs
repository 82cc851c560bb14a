//! What one turn comes to, decided from what is known; no clock, no bus.

use events::{CommitFetched, Covers, Envelope, ProjectRecord, Sha256};
use model::{Digest, Generation};

/// The newest record of a project in our own output: of two with one generation the larger digest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Newest {
    /// The look it came from.
    pub(crate) generation: Generation,
    /// Of its graph; see [`events::ProjectGraph::digest`].
    pub(crate) digest: Option<Digest>,
}

impl Newest {
    /// Whether the project's graph was taken away.
    fn is_gone(&self) -> bool {
        self.digest == Some(Sha256::ZERO.0)
    }
}

/// What to do with the records that waited for one project.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// All of them are older than what was written.
    Nothing,
    /// The project is gone or has no content, by these facts. That answers for these push events: those of commits that are
    /// older than the facts.
    Bury(Box<ProjectRecord>, Covers),
    /// Make the graph of this commit, which answers for these push events.
    Generate(Box<CommitFetched>, Covers),
}

/// Of everything that waits only the newest counts; it answers for all commits of the turn.
///
/// A commit whose generation was written already is made again: the process may have died between its graph and its
/// status record, and making it twice gives the same graph.
pub(crate) fn plan(newest: Option<Newest>, commits: Vec<CommitFetched>, facts: Vec<ProjectRecord>) -> Step {
    let written = newest.map_or(Generation::default(), |newest| newest.generation);
    let mut covers = Covers::default();
    for commit in &commits {
        covers.merge(&commit.envelope.covers);
    }
    let commit = commits
        .into_iter()
        .max_by_key(|commit| commit.envelope.generation);
    let gone = facts
        .into_iter()
        .filter(ProjectRecord::leaves_no_content)
        .max_by_key(|f| f.envelope.generation);
    match (commit, gone) {
        (Some(commit), gone)
            if commit.envelope.generation >= written
                && gone
                    .as_ref()
                    .is_none_or(|g| g.envelope.generation < commit.envelope.generation) =>
        {
            Step::Generate(Box::new(commit), covers)
        }
        (_, Some(gone)) if gone.envelope.generation > written => Step::Bury(Box::new(gone), covers),
        _ => Step::Nothing,
    }
}

/// Whether records came after newer ones, so that the log's last word is not the newest look: the largest generation of
/// all if so. Either a process that had lost its partition wrote late, or the clock of the one that has it now is behind
/// the clock of the one before. Which of them is right only another look tells, and it must be newer than all.
///
/// Commits and facts are in the order of their topics. A restart reads some records again and may ask in vain.
pub(crate) fn out_of_order(
    newest: Option<Newest>,
    commits: &[CommitFetched],
    facts: &[ProjectRecord],
) -> Option<Generation> {
    let written = newest.map_or(Generation::default(), |newest| newest.generation);
    let (mut known, mut fell) = (written, false);
    for generation in commits.iter().map(|commit| commit.envelope.generation) {
        fell |= generation < known;
        known = known.max(generation);
    }
    let gone = facts.iter().filter(|record| record.leaves_no_content());
    let gone: Vec<Generation> = gone.map(|record| record.envelope.generation).collect();
    fell |= gone.iter().any(|gone| *gone < written);
    let buried = newest.filter(Newest::is_gone).map(|newest| newest.generation);
    for gone in gone.into_iter().chain(buried) {
        fell |= commits.iter().any(|commit| knows_not(&commit.envelope, gone));
        known = known.max(gone);
    }
    fell.then_some(known)
}

/// Whether a look had the higher number but did not know of these facts, which left nothing to read: then its writer's clock
/// is ahead, and what it read is older than they are.
fn knows_not(look: &Envelope, gone: Generation) -> bool {
    look.state_version < gone && gone < look.generation
}

/// Whether a record of our own output must not be the last of its project: something larger was there before it, so
/// its writer had lost the partition without knowing.
pub(crate) fn falls(before: Option<Newest>, seen: Newest) -> bool {
    before.is_some_and(|before| seen < before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{PUSH_EVENTS, Signature};
    use model::{Offset, Partition, ProjectId, Sha, Timestamp};

    fn envelope(generation: u64) -> Envelope {
        Envelope {
            generation: Generation::new(generation),
            state_version: Generation::new(generation),
            covers: Covers::record(&PUSH_EVENTS, Partition::new(0), Offset::new(generation)),
            ..Envelope::unlooked(Timestamp::from_micros(0))
        }
    }

    fn commit(generation: u64) -> CommitFetched {
        let signature = Signature {
            name: String::new(),
            email: String::new(),
            at: Timestamp::from_micros(0),
        };
        CommitFetched {
            envelope: envelope(generation),
            project_id: ProjectId::MAX,
            sha: Sha::new([1; 20]),
            parents: vec![],
            author: signature.clone(),
            committer: signature,
            title: String::new(),
            r#ref: "refs/heads/main".into(),
            sections: vec![],
            linked: vec![],
            attached: vec![],
        }
    }

    fn gone(generation: u64) -> ProjectRecord {
        ProjectRecord {
            envelope: envelope(generation),
            project_id: ProjectId::MAX,
            state: None,
        }
    }

    fn written(generation: u64) -> Option<Newest> {
        Some(Newest {
            generation: Generation::new(generation),
            digest: None,
        })
    }

    fn generates(step: &Step) -> Option<u64> {
        match step {
            Step::Generate(commit, _) => Some(commit.envelope.generation.get()),
            _ => None,
        }
    }

    #[test]
    fn the_newest_commit_answers_for_all() {
        let Step::Generate(commit, covers) = plan(None, vec![commit(2), commit(5), commit(3)], vec![]) else {
            panic!("nothing to generate");
        };
        assert_eq!(commit.envelope.generation.get(), 5);
        assert_eq!(covers.iter().next().unwrap().next, Offset::new(6));
    }

    #[test]
    fn a_fall_asks_for_a_look_that_is_newer_than_all() {
        let generation = |n| Some(Generation::new(n));
        assert_eq!(out_of_order(None, &[commit(2), commit(5)], &[gone(1)]), None);
        assert_eq!(out_of_order(written(5), &[commit(5), commit(6)], &[]), None);
        assert_eq!(
            out_of_order(written(1), &[commit(5), commit(4)], &[]),
            generation(5)
        );
        assert_eq!(out_of_order(written(6), &[commit(5)], &[]), generation(6));
        assert_eq!(out_of_order(written(6), &[], &[gone(5)]), generation(6));
    }

    #[test]
    fn a_look_that_did_not_know_of_the_end_is_doubted() {
        let buried = Some(Newest {
            generation: Generation::new(6),
            digest: Some(Sha256::ZERO.0),
        });
        let mut ahead = commit(9);
        ahead.envelope.state_version = Generation::new(5);
        let nine = Some(Generation::new(9));
        assert_eq!(out_of_order(buried, &[ahead.clone()], &[]), nine);
        assert_eq!(out_of_order(None, &[ahead.clone()], &[gone(6)]), nine);
        // Back again: its facts are newer.
        ahead.envelope.state_version = Generation::new(9);
        assert_eq!(out_of_order(buried, &[ahead], &[gone(6)]), None);
    }

    #[test]
    fn the_end_answers_for_commits_before_it() {
        let Step::Bury(_, covers) = plan(None, vec![commit(5)], vec![gone(6)]) else {
            panic!("not buried");
        };
        assert_eq!(covers, envelope(5).covers);
    }

    #[test]
    fn older_than_written_is_passed_over() {
        assert_eq!(plan(written(6), vec![commit(5)], vec![]), Step::Nothing);
        assert_eq!(plan(written(6), vec![], vec![gone(6)]), Step::Nothing);
        assert_eq!(generates(&plan(written(5), vec![commit(5)], vec![])), Some(5));
    }

    #[test]
    fn gone_and_back() {
        assert!(matches!(
            plan(written(4), vec![commit(5)], vec![gone(6)]),
            Step::Bury(..)
        ));
        assert_eq!(
            generates(&plan(written(4), vec![commit(7)], vec![gone(6)])),
            Some(7)
        );
        assert!(matches!(plan(None, vec![], vec![gone(6)]), Step::Bury(..)));
    }

    #[test]
    fn facts_without_content_take_the_graph_away() {
        let mut empty = gone(6);
        empty.state = Some(facts("main"));
        assert_eq!(plan(written(4), vec![], vec![empty.clone()]), Step::Nothing);
        let state = empty.state.as_mut().unwrap();
        state.default_branch = None;
        assert!(matches!(plan(written(4), vec![], vec![empty]), Step::Bury(..)));
    }

    fn facts(branch: &str) -> events::ProjectState {
        events::ProjectState {
            slug: "g/p".parse().unwrap(),
            name: "p".into(),
            description: None,
            visibility: model::Visibility::Public,
            members: vec![],
            default_branch: Some(branch.into()),
            created_at: Timestamp::from_micros(0),
            updated_at: None,
            creator_id: None,
            topics: vec![],
            images: vec![],
            fork_parent: None,
            empty_repository: false,
            archived: false,
            http_url: String::new(),
            ssh_url: String::new(),
            web_url: String::new(),
            readme_url: None,
            forks_count: 0,
            stars_count: 0,
        }
    }

    #[test]
    fn a_fall_is_seen() {
        let small = Newest {
            generation: Generation::new(5),
            digest: Some(Digest::new([1; 32])),
        };
        let large = Newest {
            generation: Generation::new(5),
            digest: Some(Digest::new([2; 32])),
        };
        assert!(falls(Some(large), small));
        assert!(!falls(Some(small), large));
        assert!(!falls(Some(small), small));
        assert!(!falls(None, small));
        assert!(falls(written(6), large));
    }
}
