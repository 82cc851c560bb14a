use gitlab::{Hook, ProjectChange};
use gitlab_sim::{Change, Commit, HookFaults, NewProject, NewUser};
use model::Visibility;

use crate::stage::{git, stage, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_by_git_fires_hooks() {
    let stage = stage().await;
    let project = stage
        .sim
        .create_project(NewProject::new("group/sub/project"))
        .await
        .unwrap();
    let folder = stage.folder.path();
    git(folder, &["init", "-q", "-b", "main", "."]).await.unwrap();
    std::fs::write(folder.join("README.md"), "x".repeat(3 << 20)).unwrap();
    git(folder, &["add", "."]).await.unwrap();
    git(folder, &["commit", "-q", "-m", "First\n\nbody"])
        .await
        .unwrap();
    let url = stage.sim.git_url("group/sub/project");
    git(folder, &["push", "-q", &url, "main"]).await.unwrap();
    let head = git(folder, &["rev-parse", "HEAD"]).await.unwrap();

    let hooks = stage.hooks("push", 1).await;
    let (headers, body) = &hooks[0];
    assert_eq!(headers["x-gitlab-event"], "System Hook");
    assert_eq!(headers["x-gitlab-token"], "system-token");
    assert_eq!(headers["content-type"], "application/json");
    for header in [
        "x-gitlab-event-uuid",
        "x-gitlab-webhook-uuid",
        "x-gitlab-instance",
        "idempotency-key",
    ] {
        assert!(headers.contains_key(header), "{header}");
    }
    assert_eq!(body["after"], head.trim());
    assert_eq!(body["before"], "0".repeat(40));
    let Ok(Hook::Push(push)) = Hook::parse(body.to_string().as_bytes()) else {
        panic!("{body}")
    };
    assert_eq!(push.project_id, project);
    assert_eq!(push.slug.as_deref(), Some("group/sub/project"));
    until(|| {
        !stage
            .sim
            .deliveries(0)
            .iter()
            .all(|delivery| delivery.kind != "push")
    })
    .await;
    let deliveries = stage.sim.deliveries(0);
    let delivery = deliveries
        .iter()
        .find(|delivery| delivery.kind == "push")
        .unwrap();
    assert_eq!(
        (delivery.status, delivery.after.as_deref()),
        (Some(202), Some(head.trim()))
    );
    assert_eq!(
        delivery.position.as_deref(),
        Some("renku.push-events.v1/3@42;project=7")
    );

    // Forced, deleted, tagged: each fires with what moved.
    git(folder, &["commit", "-q", "--amend", "-m", "Other"])
        .await
        .unwrap();
    git(folder, &["tag", "v1"]).await.unwrap();
    git(
        folder,
        &["push", "-q", "-f", &url, "main", "v1", "HEAD:refs/heads/side"],
    )
    .await
    .unwrap();
    git(folder, &["push", "-q", &url, ":side"]).await.unwrap();
    let pushes = stage.hooks("push", 4).await;
    assert!(
        pushes
            .iter()
            .any(|(_, body)| body["before"] == head.trim() && body["ref"] == "refs/heads/main")
    );
    assert!(
        pushes
            .iter()
            .any(|(_, body)| body["after"] == "0".repeat(40) && body["checkout_sha"].is_null())
    );
    assert_eq!(stage.hooks("tag_push", 1).await[0].1["ref"], "refs/tags/v1");

    // What was pushed can be cloned, with protocol version 2 and partially.
    let clone = stage.folder.path().join("clone");
    let clone = clone.to_str().unwrap();
    git(
        folder,
        &[
            "clone",
            "-q",
            "--depth=1",
            "--filter=blob:none",
            "--bare",
            &url,
            clone,
        ],
    )
    .await
    .unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_checked() {
    let stage = stage().await;
    let sim = &stage.sim;
    let reader = sim.create_user(NewUser {
        username: "rea".into(),
        name: None,
        token: Some("t-rea".into()),
        admin: false,
        external: false,
    });
    let reader = reader.unwrap();
    let project = sim
        .create_project(NewProject::new("a/private").visibility(Visibility::Private))
        .await
        .unwrap();
    sim.commit(project, Commit::file("a", "b")).await.unwrap();
    let as_user = |token: &str| sim.git_url("a/private").replace(sim.token(), token);
    let folder = stage.folder.path();
    git(folder, &["init", "-q", "-b", "main", "."]).await.unwrap();
    git(folder, &["commit", "-q", "--allow-empty", "-m", "x"])
        .await
        .unwrap();
    let anonymous = format!("{}/a/private.git", sim.url());
    assert!(git(folder, &["ls-remote", &anonymous]).await.is_err());
    assert!(git(folder, &["ls-remote", &as_user("wrong")]).await.is_err());
    assert!(git(folder, &["ls-remote", &as_user("t-rea")]).await.is_err());
    sim.set_member(project, reader, Some(20)).unwrap();
    git(folder, &["ls-remote", &as_user("t-rea")]).await.unwrap();
    assert!(
        git(folder, &["push", "-q", &as_user("t-rea"), "main:x"])
            .await
            .is_err()
    );
    sim.set_member(project, reader, Some(30)).unwrap();
    git(folder, &["push", "-q", &as_user("t-rea"), "main:x"])
        .await
        .unwrap();
    sim.set_member(project, reader, None).unwrap();
    for kind in [
        "user_add_to_team",
        "user_update_for_team",
        "user_remove_from_team",
    ] {
        let hooks = stage.hooks(kind, 1).await;
        let hook = Hook::parse(hooks[0].1.to_string().as_bytes()).unwrap();
        assert!(
            matches!(&hook, Hook::ProjectMember(member) if member.user_id.get() == reader),
            "{hook:?}"
        );
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_renamed_moved_and_deleted() {
    let stage = stage().await;
    let sim = &stage.sim;
    let project = sim.create_project(NewProject::new("a/one")).await.unwrap();
    let slug = |slug: &str| Change {
        slug: Some(slug.into()),
        ..Change::default()
    };
    sim.change_project(project, slug("a/two")).await.unwrap();
    sim.change_project(project, slug("b/two")).await.unwrap();
    sim.change_project(
        project,
        Change {
            visibility: Some(Visibility::Private),
            ..Change::default()
        },
    )
    .await
    .unwrap();
    sim.delete_project(project).await.unwrap();
    for (kind, change) in [
        ("project_create", ProjectChange::Created),
        ("project_rename", ProjectChange::Renamed),
        ("project_transfer", ProjectChange::Transferred),
        ("project_update", ProjectChange::Updated),
        ("project_destroy", ProjectChange::Destroyed),
    ] {
        let hooks = stage.hooks(kind, 1).await;
        let hook = Hook::parse(hooks[0].1.to_string().as_bytes()).unwrap();
        assert!(
            matches!(&hook, Hook::Project(it) if it.change == change && it.project_id == project),
            "{hook:?}"
        );
    }
    assert!(
        git(stage.folder.path(), &["ls-remote", &sim.git_url("b/two")])
            .await
            .is_err()
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_lost_doubled_and_swapped() {
    let stage = stage().await;
    let sim = &stage.sim;
    let project = sim.create_project(NewProject::new("a/one")).await.unwrap();
    stage.hooks("project_create", 1).await;
    sim.set_hook_faults(HookFaults {
        double_every: Some(1),
        ..HookFaults::default()
    });
    sim.commit(project, Commit::file("a", "1")).await.unwrap();
    let hooks = stage.hooks("push", 2).await;
    assert_eq!(hooks[0].0["idempotency-key"], hooks[1].0["idempotency-key"]);
    sim.set_hook_faults(HookFaults {
        drop_every: Some(1),
        ..HookFaults::default()
    });
    sim.commit(project, Commit::file("a", "2")).await.unwrap();
    until(|| sim.counters().hooks_dropped == 1).await;
    // The fourth hook is held back until the fifth was sent.
    sim.set_hook_faults(HookFaults {
        swap_every: Some(4),
        ..HookFaults::default()
    });
    sim.commit(project, Commit::file("a", "3")).await.unwrap();
    sim.commit(project, Commit::file("a", "4")).await.unwrap();
    assert_eq!(stage.hooks("push", 4).await.len(), 4);
    stage.end().await;
}
