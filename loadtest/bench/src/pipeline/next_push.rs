//! One more push of a small and of a large project: what it costs must follow what changed, not what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::project::Project;
use super::stack::Stack;
use super::{Settings, load};
use crate::measure::service::running_seconds;
use crate::stats::Pair;

/// Pushes before the first that is measured: caches are as warm as for a project that is worked on.
const WARM: usize = 3;

/// What one more push of a project took, seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct NextPush {
    /// CPU of the whole process from the push to the answer.
    pub(super) cpu: f64,
    /// Wall time of each step, by the histograms.
    pub(super) steps: BTreeMap<String, f64>,
}

impl NextPush {
    /// The steps from the commit record to the transaction that shows it.
    pub(super) fn record_to_applied(&self) -> f64 {
        let late = |what: &str| {
            what.starts_with("renku_generator_step_seconds") || what.starts_with("renku_view_commit_seconds")
        };
        let steps = self.steps.iter().filter(|(what, _)| late(what));
        steps.map(|(_, seconds)| seconds).sum()
    }
}

/// Pushes of both, each pair of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct NextPushes {
    pub(super) small: Vec<NextPush>,
    pub(super) large: Vec<NextPush>,
}

impl NextPushes {
    pub(super) fn pairs(&self, of: impl Fn(&NextPush) -> f64) -> Vec<Pair> {
        let both = self.large.iter().zip(&self.small);
        both.map(|(large, small)| Pair {
            peer: of(large),
            ours: of(small),
        })
        .collect()
    }

    /// All steps that either took.
    pub(super) fn steps(&self) -> Vec<&str> {
        let all = self.small.iter().chain(&self.large);
        let mut names: Vec<&str> = all
            .flat_map(|push| push.steps.keys().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Pushes to both projects in turns.
pub(super) fn pairs(stack: &Stack, folder: &Path, settings: &Settings) -> anyhow::Result<NextPushes> {
    let (small, large) = settings.next_push;
    let commits = WARM + settings.pairs - 1;
    let small = Project::make(stack, folder, "next/small", small, commits)?;
    let large = Project::make(stack, folder, "next/large", large, commits)?;
    for project in [&small, &large] {
        for number in 0..WARM {
            load::push_and_wait(stack, project, number)?;
        }
    }
    let mut pushes = NextPushes::default();
    for pair in 0..settings.pairs {
        let number = pair + WARM;
        let mut turns = [(&small, &mut pushes.small), (&large, &mut pushes.large)];
        if pair % 2 == 1 {
            turns.swap(0, 1);
        }
        for (project, pushes) in turns {
            pushes.push(next_push(stack, project, number)?);
        }
    }
    Ok(pushes)
}

fn next_push(stack: &Stack, project: &Project, number: usize) -> anyhow::Result<NextPush> {
    // What still runs of the push before must not be counted here.
    thread::sleep(Duration::from_millis(500));
    let pid = stack.renkud_pid();
    let (before, cpu) = (stack.scrape()?, running_seconds(pid)?);
    load::push_and_wait(stack, project, number)?;
    let cpu = running_seconds(pid)? - cpu;
    let spent = stack.scrape()?.spent(&before);
    Ok(NextPush {
        cpu,
        steps: spent
            .into_iter()
            .map(|spent| (spent.what, spent.seconds))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_after_the_commit_record() {
        let steps = [
            ("renku_fetcher_step_seconds step=\"fetch\"", 8.0),
            ("renku_generator_step_seconds step=\"make\"", 2.0),
            ("renku_view_commit_seconds", 1.0),
            ("renku_view_push_to_queryable_seconds", 16.0),
        ];
        let push = NextPush {
            cpu: 0.0,
            steps: steps.map(|(what, seconds)| (what.to_owned(), seconds)).into(),
        };
        assert_eq!(push.record_to_applied(), 3.0);
        let pushes = NextPushes {
            small: vec![NextPush::default()],
            large: vec![push],
        };
        assert_eq!(pushes.steps().len(), 4);
        assert_eq!(pushes.pairs(NextPush::record_to_applied)[0].peer, 3.0);
    }
}
