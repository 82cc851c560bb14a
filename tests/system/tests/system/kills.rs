//! Kills at random and at every failpoint, during pushes. What was accepted is never lost, and nothing is applied twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gitlab_sim::NewProject;
use model::{Digest, ProjectId, Slug};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testkit::{Commit, Fixture, Git, eventually};

use crate::node::{HOST, Node};
use crate::stack::{LONG, Stack, assert_same_graph};

#[allow(
    clippy::disallowed_methods,
    reason = "how much is said by whoever runs the test"
)]
pub fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A project, and the commits that will be pushed to it.
struct Pushed {
    slug: Slug,
    id: ProjectId,
    git: Git,
    branch: String,
    commits: Vec<String>,
}

const PROJECTS: usize = 10;
const FIXTURES: [&str; 3] = ["datasets-basic", "workflows-run", "composite-iterate"];

fn projects(stack: &Stack, pushes: usize) -> Vec<Pushed> {
    let clones: Vec<(Fixture, Git)> = FIXTURES
        .iter()
        .map(|name| {
            let fixture = Fixture::named(name);
            let git = fixture.clone_into(stack.scratch.path());
            (fixture, git)
        })
        .collect();
    let project = |n: usize| {
        let (fixture, git) = &clones[n % clones.len()];
        let slug: Slug = format!("group/project-{n}").parse().unwrap();
        let id = stack.create_project(NewProject::new(slug.as_str()));
        let line = git.line_of(&fixture.branch);
        // Back and forth along the history: a branch may be rewritten at any time. The last one is the newest.
        let there_and_back: Vec<String> = line.iter().rev().chain(line.iter().skip(1)).cloned().collect();
        let count = pushes / PROJECTS;
        let mut commits: Vec<String> = there_and_back
            .iter()
            .cycle()
            .take(count.max(1) - 1)
            .cloned()
            .collect();
        commits.push(fixture.head.clone());
        Pushed {
            slug,
            id,
            git: git.clone(),
            branch: fixture.branch.clone(),
            commits,
        }
    };
    (0..PROJECTS).map(project).collect()
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let kills = number("RENKU_SOAK_KILLS").unwrap_or(15);
    let pushes = number("RENKU_SOAK_PUSHES").unwrap_or(500);
    let seed = number("RENKU_SOAK_SEED").unwrap_or(1);
    push_under_kills(Stack::new(), pushes, |stack, progress| {
        kill_again_and_again(stack, kills, seed as u64, progress)
    });
}

/// Pushes while `kills` kills, which is told how far the pushes are, and says how often it did. Then everything that was
/// accepted is there, and once.
pub fn push_under_kills(
    mut stack: Stack,
    pushes: usize,
    kills: impl FnOnce(&mut Stack, &dyn Fn() -> f64) -> (usize, usize),
) {
    stack.start_node(None);
    stack.wait_until_ready();
    let projects = projects(&stack, pushes);
    let began = Instant::now();
    // All but the last push of each project go on while the node is killed.
    let done = Arc::new(AtomicUsize::new(0));
    let most = projects
        .iter()
        .map(|project| project.commits.len())
        .max()
        .unwrap();
    let jobs: Vec<(Git, String, String)> = (0..most)
        .flat_map(|round| {
            projects
                .iter()
                .filter(move |project| round + 1 < project.commits.len())
                .map(move |project| {
                    let spec = format!("{}:refs/heads/{}", project.commits[round], project.branch);
                    (project.git.clone(), project.slug.to_string(), spec)
                })
        })
        .map(|(git, slug, spec)| (git, stack.sim.git_url(&slug), spec))
        .collect();
    let jobs = Arc::new(jobs);
    let (count, told) = (jobs.len(), done.clone());
    let pusher = std::thread::spawn(move || {
        for (git, url, spec) in jobs.iter() {
            let output = git.run(&["push", "-q", "--force", url, spec]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            told.fetch_add(1, Ordering::SeqCst);
        }
    });
    let killed = kills(&mut stack, &|| {
        done.load(Ordering::SeqCst) as f64 / count.max(1) as f64
    });
    pusher.join().unwrap();
    // The last pushes meet a node that lives.
    for project in &projects {
        let head = project.commits.last().unwrap();
        let output = stack.push(&project.git, project.slug.as_str(), head, &project.branch);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let accepted = wait_for_all_accepted(&stack, &projects);
    println!(
        "{} pushes in {:?}, {accepted} hooks accepted, {} kills, {} of them at failpoints",
        count + projects.len(),
        began.elapsed(),
        killed.0,
        killed.1
    );
    for project in &projects {
        let head = project.commits.last().unwrap();
        let expected = Commit::read(&project.git, head)
            .graph(HOST)
            .unwrap()
            .lines(&project.slug);
        assert_same_graph(
            project.slug.as_str(),
            &stack.graph(project.slug.as_str()),
            &expected,
        );
    }
    stack.node.take().unwrap().stop();
    let live = look_at_view(&stack, &projects);
    // A view that is lost comes back from the log, the same.
    std::fs::rename(stack.views(), stack.scratch.path().join("views-before")).unwrap();
    stack.start_node(None);
    stack.wait_until_ready();
    stack.node.take().unwrap().stop();
    assert_eq!(
        live,
        look_at_view(&stack, &projects),
        "the rebuilt view is another one"
    );
}

/// Kills by signal and by failpoint in turn, spread over the pushes. How many, and how many by failpoint.
fn kill_again_and_again(
    stack: &mut Stack,
    kills: usize,
    seed: u64,
    progress: impl Fn() -> f64,
) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let points: Vec<String> = Node::failpoints()
        .into_iter()
        .filter(|name| !name.starts_with("runtime."))
        .collect();
    assert!(points.len() >= 8, "{points:?}");
    let mut by_failpoint = 0;
    for kill in 0..kills {
        // Not faster than the pushes.
        let due = kill as f64 / kills as f64;
        let deadline = Instant::now() + LONG;
        while progress() < due && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Every second one at the next failpoint.
        let point = (kill % 2 == 1).then(|| &points[kill / 2 % points.len()]);
        if let Some(point) = point {
            // The process has to be started with the plan.
            stack.node.as_mut().unwrap().kill();
            let plan = format!("{point}=kill@{}", random.random_range(1..4));
            stack.start_node(Some(&plan));
            let deadline = Instant::now() + Duration::from_secs(6);
            while Instant::now() < deadline && stack.node.as_mut().unwrap().ended().is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            by_failpoint += usize::from(stack.node.as_mut().unwrap().ended().is_some());
        } else {
            std::thread::sleep(Duration::from_millis(random.random_range(0..1_500)));
        }
        stack.node.as_mut().unwrap().kill();
        stack.start_node(None);
        // Often it is killed again before it is ready.
        if random.random_bool(0.6) {
            stack.wait_until_ready();
        }
    }
    stack.wait_until_ready();
    (kills, by_failpoint)
}

fn wait_for_all_accepted(stack: &Stack, projects: &[Pushed]) -> usize {
    for project in projects {
        let head = project.commits.last().unwrap();
        eventually("the hook of the last push", LONG, || {
            let deliveries = stack.deliveries();
            let of_last = deliveries
                .iter()
                .rev()
                .find(|d| d.project == Some(project.id.get()));
            match of_last {
                Some(d) if d.after.as_ref() == Some(head) && d.status == Some(202) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let accepted: Vec<String> = stack
        .deliveries()
        .into_iter()
        .filter(|d| d.status == Some(202))
        .filter_map(|d| d.position)
        .collect();
    for position in &accepted {
        stack.wait_until_covered(position);
    }
    accepted.len()
}

/// The view's digest, after a look at every project: each generation was applied once.
fn look_at_view(stack: &Stack, projects: &[Pushed]) -> Digest {
    let reader = stack.open_view();
    let snapshot = reader.snapshot().unwrap();
    for project in projects {
        let log = snapshot.applied_log(project.id).unwrap();
        assert!(!log.is_empty());
        let doubled: Vec<_> = log.iter().filter(|(_, times)| *times != 1).collect();
        assert!(
            doubled.is_empty(),
            "{}: applied more than once: {doubled:?}",
            project.slug
        );
    }
    assert_eq!(snapshot.rejects().unwrap(), []);
    snapshot.digest().unwrap()
}
