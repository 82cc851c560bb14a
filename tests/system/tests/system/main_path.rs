//! Every fixture, pushed by git over HTTP, becomes the graph that the exporter makes of it.

use gitlab_sim::NewProject;
use model::{ProjectId, Slug};
use testkit::{Commit, Git, eventually, fixtures};

use crate::node::HOST;
use crate::stack::{LONG, Stack, assert_same_graph};

/// Waits for the hook of a push, and then for what it told.
pub fn wait_until_queryable(stack: &Stack, project: ProjectId, sha: &str) {
    let position = eventually("an accepted hook", LONG, || {
        stack
            .deliveries()
            .into_iter()
            .filter(|d| d.project == Some(project.get()) && d.after.as_deref() == Some(sha))
            .find_map(|d| d.position.filter(|_| d.status == Some(202)))
            .ok_or(stack.log())
    });
    stack.wait_until_covered(&position);
}

fn expected(git: &Git, sha: &str, slug: &Slug) -> Vec<String> {
    Commit::read(git, sha).graph(HOST).unwrap().lines(slug)
}

#[test]
fn every_fixture_becomes_its_graph() {
    push_every_fixture(Stack::new());
}

/// Pushes them all, another one, and starts the node again.
pub fn push_every_fixture(mut stack: Stack) {
    stack.start_node(None);
    stack.wait_until_ready();
    let mut pushed = Vec::new();
    for fixture in fixtures() {
        let slug: Slug = format!("group/sub/{}", fixture.name).parse().unwrap();
        let project = stack.create_project(NewProject::new(slug.as_str()));
        let git = fixture.clone_into(stack.scratch.path());
        let output = stack.push(&git, slug.as_str(), &fixture.head, &fixture.branch);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        pushed.push((fixture, slug, project, git));
    }
    for (fixture, slug, project, git) in &pushed {
        wait_until_queryable(&stack, *project, &fixture.head);
        let found = stack.graph(slug.as_str());
        if fixture.is_exported() {
            assert_same_graph(&fixture.name, &found, &expected(git, &fixture.head, slug));
        } else {
            assert!(
                found.is_empty(),
                "{} has a graph, and the CLI refuses it",
                fixture.name
            );
            let path = format!("/projects/{project}/events/status");
            let (status, text) = stack.get(stack.ports.admin, &path, None);
            assert_eq!(status, 200, "{text}");
        }
    }
    // Another push of one of them, and nothing is left of the graph before.
    let (fixture, slug, project, git) = pushed.iter().find(|(f, ..)| f.name == "long-history").unwrap();
    let line = git.line_of(&fixture.branch);
    let earlier = &line[line.len() / 2];
    assert!(
        stack
            .push(git, slug.as_str(), earlier, &fixture.branch)
            .status
            .success()
    );
    wait_until_queryable(&stack, *project, earlier);
    assert_same_graph(
        "an earlier commit",
        &stack.graph(slug.as_str()),
        &expected(git, earlier, slug),
    );
    // Stopped and started, it is all there.
    stack.node.take().unwrap().stop();
    stack.start_node(None);
    stack.wait_until_ready();
    assert_same_graph(
        "the restarted",
        &stack.graph(slug.as_str()),
        &expected(git, earlier, slug),
    );
    stack.node.take().unwrap().stop();
}
