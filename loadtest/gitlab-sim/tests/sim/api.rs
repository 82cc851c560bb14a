use gitlab::{ClientSettings, GitLab, GitLabError, RestClient};
use gitlab_sim::{Commit, Fault, NewProject, NewUser, Sim, SimSettings, Surface};
use model::{ProjectId, Secret, Visibility};
use runtime::Tasks;

use crate::stage::stage;

fn client(sim: &Sim) -> RestClient {
    RestClient::new(ClientSettings::new(
        sim.url().parse().unwrap(),
        Some(Secret::new(sim.token())),
    ))
    .unwrap()
}

#[tokio::test]
async fn facts_of_a_project() {
    let stage = stage().await;
    let client = client(&stage.sim);
    let new = NewProject {
        description: Some("d".into()),
        ..NewProject::new("a/b")
    };
    let id = stage
        .sim
        .create_project(new.visibility(Visibility::Internal))
        .await
        .unwrap();
    let project = client.project(id, None).await.unwrap();
    assert_eq!(
        (project.slug.as_str(), project.visibility),
        ("a/b", Visibility::Internal)
    );
    assert!(project.empty_repository && project.default_branch.is_none());
    stage
        .sim
        .commit(id, Commit::file("x", "y").on("trunk"))
        .await
        .unwrap();
    let project = client.project(id, None).await.unwrap();
    assert_eq!(
        (project.empty_repository, project.default_branch.as_deref()),
        (false, Some("trunk"))
    );
    assert_eq!(client.version().await.unwrap(), "17.5.1-sim");
    assert!(matches!(
        client.project(ProjectId::new(99).unwrap(), None).await,
        Err(GitLabError::NotFound(_))
    ));
    let wrong = Secret::new("wrong");
    assert!(matches!(
        client.project(id, Some(&wrong)).await,
        Err(GitLabError::Refused(401))
    ));
    stage.end().await;
}

#[tokio::test]
async fn many_members() {
    let stage = stage().await;
    let id = stage.sim.create_project(NewProject::new("a/b")).await.unwrap();
    for number in 0..230 {
        let new = NewUser {
            username: format!("u{number}"),
            name: None,
            token: None,
            admin: false,
            external: false,
        };
        let user = stage.sim.create_user(new).unwrap();
        stage.sim.set_member(id, user, Some(30)).unwrap();
    }
    let members = client(&stage.sim).members(id, None).await.unwrap();
    assert_eq!(members.len(), 231);
    assert!(members.is_sorted_by_key(|member| member.user_id));
    stage.end().await;
}

#[tokio::test]
async fn faults_of_the_api() {
    let stage = stage().await;
    let client = client(&stage.sim);
    let id = stage.sim.create_project(NewProject::new("a/b")).await.unwrap();
    let with = |fault: Fault| stage.sim.set_faults(vec![fault]);
    with(Fault {
        retry_after: Some(3),
        ..Fault::on(Surface::Api).status(429)
    });
    let error = client.project(id, None).await.unwrap_err();
    assert!(
        matches!(error, GitLabError::Busy { retry_after: Some(wait) } if wait.as_secs() == 3),
        "{error}"
    );
    with(Fault {
        garbage: true,
        ..Fault::on(Surface::Api)
    });
    assert!(matches!(
        client.project(id, None).await,
        Err(GitLabError::Garbage(_))
    ));
    with(Fault {
        break_after: Some(20),
        ..Fault::on(Surface::Api)
    });
    assert!(matches!(
        client.project(id, None).await,
        Err(GitLabError::Down { .. })
    ));
    with(Fault::on(Surface::Api).status(502).times(1));
    assert!(client.project(id, None).await.is_err());
    assert!(client.project(id, None).await.is_ok());
    assert_eq!(stage.sim.counters().faults, 4);
    stage.end().await;
}

#[tokio::test]
async fn control_over_http() {
    let stage = stage().await;
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}/sim/{path}", stage.sim.url());
    let created: serde_json::Value = http
        .post(url("projects"))
        .json(&serde_json::json!({"slug": "x/y", "visibility": "private"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(created["visibility"], "private");
    let body = serde_json::json!({"files": {"a": "b"}, "message": "m"});
    let commit = http
        .post(url("projects/1/commits"))
        .json(&body)
        .send()
        .await
        .unwrap();
    let commit: serde_json::Value = commit.json().await.unwrap();
    assert_eq!(commit["id"].as_str().map(str::len), Some(40));
    let wrong = http
        .post(url("projects"))
        .json(&serde_json::json!({"slug": "x"}))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
    let changed = http
        .put(url("projects/1"))
        .json(&serde_json::json!({"slug": "x/z"}))
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), 204);
    stage.hooks("project_rename", 1).await;
    let deliveries: Vec<gitlab_sim::Delivery> = http
        .get(url("deliveries?after=0"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(!deliveries.is_empty());
    let token = stage.sim.token().to_owned();
    let hooks = format!("{}/api/v4/projects/x%2Fz/hooks", stage.sim.url());
    let hook = serde_json::json!({"url": "http://127.0.0.1:9/none", "token": "t"});
    let made = http
        .post(&hooks)
        .header("private-token", &token)
        .json(&hook)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(http.get(&hooks).send().await.unwrap().status(), 404);
    let listed = http
        .get(&hooks)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(listed.contains("none"));
    stage.end().await;
}

#[tokio::test]
async fn loopback_only() {
    let settings = SimSettings {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..SimSettings::default()
    };
    assert!(Sim::start(settings, &Tasks::new()).await.is_err());
}
