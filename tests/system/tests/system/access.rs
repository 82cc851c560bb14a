//! Who sees what, from GitLab's hooks to answers: members, what is taken away at once, and what comes back.

use gitlab_sim::{Change, Fault, NewProject, NewUser, Surface};
use model::{ProjectId, Visibility};
use testkit::{eventually, fixtures};

use crate::main_path::wait_until_queryable;
use crate::stack::{LONG, Stack};

const GRAPHS: &str = "SELECT ?g { GRAPH ?g {} } ORDER BY ?g";
const TOKEN: &str = "glpat-of-ada";

/// The last parts of the graphs' names that somebody sees.
fn seen(stack: &Stack, token: Option<&str>, position: Option<&str>) -> Vec<String> {
    let (status, text) = stack.query_as(token, GRAPHS, position);
    assert_eq!(status, 200, "{text}\n{}", stack.log());
    let names = text
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().rsplit('/').next());
    names.map(str::to_owned).collect()
}

fn eventually_seen(stack: &Stack, token: Option<&str>, wanted: &[&str]) {
    eventually("what may be seen", LONG, || match seen(stack, token, None) {
        names if names == wanted => Ok(()),
        names => Err(format!("{names:?}, not {wanted:?}\n{}", stack.log())),
    });
}

#[test]
fn what_is_taken_away_is_gone_at_once_and_what_stays_comes_back() {
    let mut stack = Stack::new();
    stack.start_node(None);
    stack.wait_until_ready();
    let ada = stack
        .sim
        .create_user(NewUser {
            username: "ada".into(),
            name: None,
            token: Some(TOKEN.into()),
            admin: false,
            external: false,
        })
        .unwrap();
    let fixture = fixtures()
        .into_iter()
        .find(|fixture| fixture.name == "empty-init")
        .unwrap();
    let git = fixture.clone_into(stack.scratch.path());
    let push = |slug: &str, visibility| -> ProjectId {
        let project = stack.create_project(NewProject {
            visibility: Some(visibility),
            ..NewProject::new(slug)
        });
        if visibility == Visibility::Private {
            stack.sim.set_member(project, ada, Some(20)).unwrap();
        }
        let output = stack.push(&git, slug, &fixture.head, &fixture.branch);
        assert!(output.status.success());
        wait_until_queryable(&stack, project, &fixture.head);
        project
    };
    push("open/public", Visibility::Public);
    push("open/internal", Visibility::Internal);
    let direct = push("team/direct", Visibility::Private);
    let by_group = push("team/sub/by-group", Visibility::Private);
    push("elsewhere/other", Visibility::Private);

    eventually_seen(&stack, None, &["public"]);
    let all = ["other", "internal", "public", "direct", "by-group"];
    eventually_seen(&stack, Some(TOKEN), &all);
    let visitor = stack.sim.create_user(NewUser {
        username: "visitor".into(),
        name: None,
        token: Some("glpat-of-a-visitor".into()),
        admin: false,
        external: true,
    });
    visitor.unwrap();
    eventually_seen(&stack, Some("glpat-of-a-visitor"), &["public"]);
    // A token that may tell who she is, but that GitLab would show no project.
    stack.sim.set_token("glpat-that-reads-the-user", Some(ada));
    stack.sim.narrow_token("glpat-that-reads-the-user");
    for token in ["glpat-of-nobody", "glpat-that-reads-the-user"] {
        let (status, text) = stack.query_as(Some(token), GRAPHS, None);
        assert_eq!(status, 401, "{token}: {text}");
    }

    // GitLab does not answer about projects while she leaves the group; the hook alone takes away.
    stack.send_system_hooks(false);
    stack.sim.set_faults(vec![Fault {
        path: Some("/projects/".into()),
        status: Some(503),
        ..Fault::on(Surface::Api)
    }]);
    stack.sim.set_member(by_group, ada, None).unwrap();
    let removed = format!(
        r#"{{"event_name":"user_remove_from_group","group_id":5,"group_path":"team","group_name":"Team",
            "user_id":{ada},"user_username":"ada","group_access":"Reporter"}}"#
    );
    let position = stack.system_hook(&removed);
    assert!(position.starts_with("renku.access-denials.v1/"), "{position}");
    assert_eq!(
        seen(&stack, Some(TOKEN), Some(&position)),
        ["other", "internal", "public"]
    );
    let explain = format!("/admin/access/explain?project={direct}&user={ada}");
    let (status, text) = stack.get(stack.ports.admin, &explain, None);
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains("\"why\":\"denied\"") && text.contains("group/5/user/"),
        "{text}"
    );

    // It answers again: she still is a member of one by herself.
    stack.sim.set_faults(Vec::new());
    eventually_seen(&stack, Some(TOKEN), &["other", "internal", "public", "direct"]);
    let (_, text) = stack.get(stack.ports.admin, &explain, None);
    assert!(
        text.contains("\"why\":\"member\"") && text.contains("renku.projects.v1/"),
        "{text}"
    );

    // Made private, and taken out by the project: with the records that say so.
    stack.send_system_hooks(true);
    stack.sim.set_member(direct, ada, None).unwrap();
    eventually_seen(&stack, Some(TOKEN), &["other", "internal", "public"]);
    stack.change_project(
        by_group,
        Change {
            visibility: Some(Visibility::Public),
            ..Change::default()
        },
    );
    eventually_seen(&stack, None, &["public", "by-group"]);
    stack.change_project(
        by_group,
        Change {
            visibility: Some(Visibility::Private),
            ..Change::default()
        },
    );
    eventually_seen(&stack, None, &["public"]);

    // Deleted at GitLab, she sees nothing but what everybody sees. Her token is remembered a moment longer.
    let position = stack.system_hook(&format!(
        r#"{{"event_name":"user_destroy","user_id":{ada},"username":"ada"}}"#
    ));
    assert_eq!(seen(&stack, Some(TOKEN), Some(&position)), ["public"]);
    stack.node.take().unwrap().stop();
}
