//! What a collector is told of a push: one trace, from the hook to the view.

use gitlab_sim::NewProject;
use model::{ProjectId, Slug};
use testkit::{eventually, fixtures};

use crate::collector::{Collector, Told};
use crate::stack::{LONG, Stack};

/// Waits until what hooks told of the project so far is in the views; `sha`: among it a push of this commit.
fn wait_until_covered(stack: &Stack, project: ProjectId, sha: Option<&str>) {
    let accepted = eventually("accepted hooks", LONG, || {
        let mut of_project = stack.deliveries();
        of_project.retain(|delivery| delivery.project == Some(project.get()));
        let is_told = sha.is_none_or(|sha| of_project.iter().any(|d| d.after.as_deref() == Some(sha)));
        let accepted: Option<Vec<String>> = of_project
            .into_iter()
            .map(|delivery| delivery.position.filter(|_| delivery.status == Some(202)))
            .collect();
        accepted
            .filter(|accepted| is_told && !accepted.is_empty())
            .ok_or(stack.log())
    });
    for position in accepted {
        stack.wait_until_covered(&position);
    }
}

fn parent_of<'a>(spans: &'a [Told], span: &Told) -> &'a Told {
    spans
        .iter()
        .find(|other| other.id == span.parent)
        .unwrap_or_else(|| panic!("the parent of {span:?} was not told"))
}

#[test]
fn one_trace_holds_a_push_from_the_hook_to_the_view() {
    follow_a_push(Stack::new());
}

/// Every process tells the same lag of its group: that nothing is left.
fn nothing_is_left(stack: &Stack) -> Result<(), String> {
    let told = stack
        .places
        .iter()
        .map(|place| stack.get(place.ports.admin, "/metrics", None).1);
    let told: String = told.collect();
    for (group, topic) in [
        ("commit-fetcher", "renku.push-events.v1"),
        ("commit-fetcher", "renku.push-events.v1.retry"),
        ("commit-fetcher", "renku.projects.v1"),
        ("triple-generator", "renku.commits.v1"),
    ] {
        let line = format!("renku_group_lag_records{{group=\"{group}\",topic=\"{topic}\"}} 0\n");
        if !told.contains(&line) {
            return Err(format!("{line} is not in {told}"));
        }
    }
    for topic in ["projects", "project-graphs", "event-status"] {
        let line = format!("renku_view_lag_records{{topic=\"{topic}\"}} 0\n");
        if !told.contains(&line) {
            return Err(format!("{line} is not in {told}"));
        }
    }
    Ok(())
}

/// Pushes, stops the node, and looks at what a collector was told.
pub fn follow_a_push(mut stack: Stack) {
    let collector = Collector::start();
    for place in &mut stack.places {
        place
            .settings
            .push(("RENKU__TRACES__ENDPOINT", collector.endpoint()));
    }
    stack.start_node(None);
    stack.wait_until_ready();
    let fixture = fixtures()
        .into_iter()
        .find(|f| f.name == "datasets-basic")
        .unwrap();
    let slug: Slug = "group/secret-name".parse().unwrap();
    let project = stack.create_project(NewProject::new(slug.as_str()));
    // A look of its own, so that the push has one as well.
    wait_until_covered(&stack, project, None);
    let git = fixture.clone_into(stack.scratch.path());
    let pushed = stack.push(&git, slug.as_str(), &fixture.head, &fixture.branch);
    assert!(pushed.status.success());
    wait_until_covered(&stack, project, Some(&fixture.head));
    let log = stack.log();
    eventually("lags of 0", LONG, || nothing_is_left(&stack));
    // What is told last is told at the stop.
    stack.node.take().unwrap().stop();

    let spans = collector.spans();
    // The look at the project that was still empty wrote a graph as well: that there is none.
    let applied = spans.iter().filter(|span| span.name == "apply");
    let Some(apply) = applied.max_by_key(|span| span.starts) else {
        panic!("no graph was applied: {spans:?}\n{log}")
    };
    let generate = parent_of(&spans, apply);
    let look = parent_of(&spans, generate);
    let accept = parent_of(&spans, look);
    let path = [accept, look, generate, apply];
    let stages: Vec<(&str, &str)> = path.map(|span| (span.role.as_str(), span.name.as_str())).to_vec();
    assert_eq!(
        stages,
        [
            ("webhook-service", "accept"),
            ("commit-fetcher", "look"),
            ("triple-generator", "generate"),
            ("graph-writer", "apply"),
        ]
    );
    assert_eq!(accept.parent, "", "the hook came without a trace");
    for span in path {
        assert_eq!(span.trace, accept.trace);
        assert_eq!(span.number("project.id"), Some(i64::from(project.get())));
        assert!(span.starts <= span.ends, "{span:?}");
    }
    assert!(path.is_sorted_by_key(|span| span.starts), "{path:?}");
    let generation = look.number("generation");
    assert!(generation.is_some());
    assert_eq!(
        (generate.number("generation"), apply.number("generation")),
        (generation, generation)
    );

    let steps = |of: &Told| -> Vec<&str> {
        let mut names: Vec<&str> = spans
            .iter()
            .filter(|span| span.parent == of.id && span.role == of.role)
            .map(|span| span.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    assert_eq!(steps(accept), ["log"]);
    assert_eq!(steps(look), ["blobs", "facts", "fetch", "log"]);
    assert_eq!(steps(generate), ["blobs", "log", "make"]);

    // Logs name the same trace; spans name nobody's project.
    assert!(log.contains(&accept.trace), "{} is not in\n{log}", accept.trace);
    assert!(!format!("{spans:?}").contains("secret-name"));
}
