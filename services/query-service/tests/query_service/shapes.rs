use axum::http::{StatusCode, header};
use events::{Envelope, EventStatus, Stage, StageOutcome};
use model::{Generation, Timestamp, Visibility};
use serde_json::json;
use store::ProjectNotes;

use crate::rig::*;

#[tokio::test]
async fn a_project() {
    let rig = Rig::new();
    let told = rig.get("/knowledge-graph/projects/g/public").await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(
        told.json(),
        json!({
            "identifier": 1, "path": "g/public", "slug": "g/public", "name": "public", "description": "own g/public",
            "visibility": "public",
            "created": { "dateCreated": "2024-01-02T00:00:00.000Z" },
            "dateModified": "2024-01-02T00:00:00.000Z",
            "urls": { "ssh": "git@gitlab.example.org:g/public.git", "http": "https://gitlab.example.org/g/public.git",
                      "web": "https://gitlab.example.org/g/public" },
            "forking": { "forksCount": 0 }, "keywords": ["a", "z"], "starsCount": 1, "images": [], "version": "10",
            "_links": [
                { "rel": "self", "href": "https://renku.example.org/knowledge-graph/projects/g/public" },
                { "rel": "datasets", "href": "https://renku.example.org/knowledge-graph/projects/g/public/datasets" }
            ]
        })
    );
}

#[tokio::test]
async fn a_fork_names_its_parent_to_those_who_see_it() {
    let mut rig = Rig::new();
    let mut fork = state("g/fork", Visibility::Public);
    fork.fork_parent = Some(project(3));
    rig.put(4, fork, "");
    let path = "/knowledge-graph/projects/g/fork";
    assert_eq!(rig.get(path).await.json()["forking"], json!({ "forksCount": 0 }));
    let seen = rig.ask_admin(get(path), TOKEN).await.json();
    assert_eq!(seen["forking"]["parent"]["slug"], "g/sub/private");
}

/// Same bytes, same headers, whether the thing is hidden or absent.
#[tokio::test]
async fn hidden_is_absent() {
    let rig = Rig::new();
    for (hidden, absent, name) in [
        (
            "/knowledge-graph/projects/g/sub/private",
            "/knowledge-graph/projects/g/sub/prevate",
            ("private", "prevate"),
        ),
        (
            "/knowledge-graph/projects/g/internal",
            "/knowledge-graph/projects/g/enternal",
            ("internal", "enternal"),
        ),
        ("/projects/3/events/status", "/projects/9/events/status", ("", "")),
        ("/projects/2/events/status", "/projects/9/events/status", ("", "")),
    ] {
        let (first, second) = (rig.get(hidden).await, rig.get(absent).await);
        assert_eq!(
            (first.status, second.status),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
        );
        assert_eq!(first.headers, second.headers);
        let text = if name.0.is_empty() {
            first.text().to_owned()
        } else {
            first.text().replace(name.0, name.1)
        };
        assert_eq!(text, second.text());
        assert_eq!(rig.ask_admin(get(hidden), TOKEN).await.status, StatusCode::OK);
    }
    assert_eq!(
        rig.get("/knowledge-graph/projects/g/sub/private").await.json(),
        json!({ "severity": "info", "message": "No 'g/sub/private' project found" })
    );
}

#[tokio::test]
async fn what_is_no_project() {
    let rig = Rig::new();
    for path in [
        "/knowledge-graph/projects/noslash",
        "/knowledge-graph/projects/a//b",
        "/knowledge-graph/projects/a/%2e%2e",
        "/knowledge-graph/projects/a/b%20c",
        "/projects/0/events/status",
        "/projects/x/events/status",
        "/projects/99999999999999999999/events/status",
    ] {
        let told = rig.get(path).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(told.json()["severity"], "info");
    }
    let mut request = get("/knowledge-graph/projects/g/public");
    request
        .headers_mut()
        .insert(header::ACCEPT, "image/png".parse().unwrap());
    let told = rig.ask(request).await;
    assert_eq!(told.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        told.json(),
        json!({ "severity": "error", "message": "Accept: image/png not supported" })
    );
}

#[tokio::test]
async fn how_far_events_came() {
    let mut rig = Rig::new();
    let path = "/projects/1/events/status";
    assert_eq!(
        rig.get(path).await.json(),
        json!({ "activated": true, "progress": { "done": 0, "total": 5, "percentage": 0.0 } })
    );
    let mut envelope = Envelope::unlooked(Timestamp::default());
    envelope.generation = Generation::new(6);
    let newest = EventStatus {
        envelope,
        project_id: project(1),
        sha: None,
        stage: Stage::Generated,
        outcome: StageOutcome::Rejected,
        awaits_generation: Generation::default(),
        code: Some("migration-needed".into()),
        message: Some("run renku migrate".into()),
    };
    rig.note(
        1,
        &ProjectNotes {
            newest: Some(newest),
            ..ProjectNotes::default()
        },
    );
    assert_eq!(
        rig.get(path).await.json(),
        json!({
            "activated": true, "progress": { "done": 5, "total": 5, "percentage": 100.0 },
            "details": { "status": "failure", "message": "generation non recoverable failure", "stacktrace": "run renku migrate" }
        })
    );
}

#[tokio::test]
async fn who_we_are() {
    let rig = Rig::new();
    assert_eq!(rig.get("/ping").await.text(), "pong");
    let version = rig.get("/version").await.json();
    assert_eq!(version["name"], "query-service");
    assert_eq!(rig.get("/knowledge-graph/version").await.json(), version);
    assert_eq!(rig.ask_admin(get("/ping"), TOKEN).await.text(), "pong");
}
