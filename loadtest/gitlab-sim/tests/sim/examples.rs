//! What the stand-in sends has every field of the examples on GitLab's pages, with values of the same kind. The keys are
//! those of the pages "Webhook events" and "System hooks" (GitLab 17).

use gitlab_sim::{Change, Commit, NewProject, NewUser};
use serde_json::{Value, json};

use crate::stage::stage;

/// Keys and kinds of a body, nested ones by their path. Kinds of what may be null are not compared.
fn check(example: &Value, sent: &Value, path: &str) {
    let Value::Object(example) = example else { return };
    for (key, wanted) in example {
        let found = sent
            .get(key)
            .unwrap_or_else(|| panic!("{path}{key} is missing in {sent}"));
        let same_kind = std::mem::discriminant(wanted) == std::mem::discriminant(found);
        assert!(
            same_kind || wanted.is_null() || found.is_null(),
            "{path}{key}: {wanted} and {found}"
        );
        check(wanted, found, &format!("{path}{key}."));
        if let (Value::Array(wanted), Value::Array(found)) = (wanted, found)
            && let (Some(wanted), Some(found)) = (wanted.first(), found.first())
        {
            check(wanted, found, &format!("{path}{key}[]."));
        }
    }
}

fn push_example(kind: &str) -> Value {
    json!({
        "object_kind": kind, "event_name": kind, "before": "", "after": "", "ref": "", "ref_protected": true,
        "checkout_sha": "", "user_id": 4, "user_name": "", "user_username": "", "user_email": "", "user_avatar": "",
        "project_id": 15,
        "project": {
            "id": 15, "name": "", "description": "", "web_url": "", "avatar_url": null, "git_ssh_url": "", "git_http_url": "",
            "namespace": "", "visibility_level": 0, "path_with_namespace": "", "default_branch": "", "homepage": "",
            "url": "", "ssh_url": "", "http_url": ""
        },
        "repository": {
            "name": "", "url": "", "description": "", "homepage": "", "git_http_url": "", "git_ssh_url": "",
            "visibility_level": 0
        },
        "commits": [{
            "id": "", "message": "", "title": "", "timestamp": "", "url": "", "author": {"name": "", "email": ""},
            "added": [""], "modified": [""], "removed": [""]
        }],
        "total_commits_count": 4
    })
}

fn project_example() -> Value {
    json!({
        "created_at": "", "updated_at": "", "event_name": "", "name": "", "owner_email": "", "owner_name": "",
        "owners": [{"name": "", "email": ""}], "path": "", "path_with_namespace": "", "project_id": 74,
        "project_namespace_id": 23, "project_visibility": ""
    })
}

fn member_example() -> Value {
    json!({
        "created_at": "", "updated_at": "", "event_name": "", "access_level": "Maintainer", "project_id": 74,
        "project_name": "", "project_path": "", "project_path_with_namespace": "", "user_email": "", "user_name": "",
        "user_username": "", "user_id": 41, "project_visibility": ""
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_the_fields_of_the_examples() {
    let stage = stage().await;
    let sim = &stage.sim;
    let project = sim.create_project(NewProject::new("a/b")).await.unwrap();
    let http = reqwest::Client::new();
    // A project's own hook beside the system hook: it shows the commits.
    let receiver = stage.receiver.clone();
    let hook = json!({"url": receiver, "token": "own", "push_events": true, "tag_push_events": true});
    let hooks = format!("{}/api/v4/projects/{project}/hooks", sim.url());
    let made = http
        .post(hooks)
        .bearer_auth(sim.token())
        .json(&hook)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    sim.commit(project, Commit::file("a", "1")).await.unwrap();
    sim.commit(
        project,
        Commit {
            message: "Second\n\nbody".into(),
            ..Commit::file("a", "2")
        },
    )
    .await
    .unwrap();
    let pushes = stage.hooks("push", 4).await;
    for (_, body) in &pushes {
        check(&push_example("push"), body, "");
    }
    let own: Vec<_> = pushes
        .iter()
        .filter(|(headers, _)| headers["x-gitlab-event"] == "Push Hook")
        .collect();
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|(headers, _)| headers["x-gitlab-token"] == "own"));
    let second = own
        .iter()
        .find(|(_, body)| body["before"] != "0".repeat(40))
        .map(|(_, body)| body)
        .unwrap();
    assert_eq!(
        (&second["total_commits_count"], &second["commits"][0]["title"]),
        (&json!(1), &json!("Second"))
    );
    assert_eq!(second["commits"][0]["modified"], json!(["a"]));

    let user = sim
        .create_user(NewUser {
            username: "u".into(),
            name: None,
            token: None,
            admin: false,
            external: false,
        })
        .unwrap();
    sim.set_member(project, user, Some(40)).unwrap();
    check(
        &member_example(),
        &stage.hooks("user_add_to_team", 1).await[0].1,
        "",
    );
    sim.change_project(
        project,
        Change {
            slug: Some("c/b".into()),
            ..Change::default()
        },
    )
    .await
    .unwrap();
    let moved = &stage.hooks("project_transfer", 1).await[0].1;
    check(&project_example(), moved, "");
    assert_eq!(
        (&moved["old_path_with_namespace"], &moved["path_with_namespace"]),
        (&json!("a/b"), &json!("c/b"))
    );
    stage.end().await;
}
