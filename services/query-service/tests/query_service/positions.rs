use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use events::Covers;
use model::{Generation, Offset, Partition, StateVersion};
use query_service::Config;
use store::{Needs, ProjectNotes};

use crate::rig::*;

fn waiting(path: &str, receipt: &str) -> Request<Body> {
    let mut request = get(path);
    request
        .headers_mut()
        .append("renku-position", receipt.parse().unwrap());
    request
}

fn answered(offset: u64) -> ProjectNotes {
    let mut notes = ProjectNotes::default();
    let needs = Needs {
        facts: StateVersion::new(1),
        graph: Generation::new(5),
    };
    notes.answered.add(
        &Covers::record(&events::PUSH_EVENTS, Partition::new(3), Offset::new(offset)),
        needs,
    );
    notes.answered.facts(StateVersion::new(1), false);
    notes.answered.graph(Generation::new(5));
    notes
}

const ASK: &str = "/sparql?query=ASK%7B%7D";

#[tokio::test]
async fn a_read_waits_until_the_views_have_it() {
    let mut rig = Rig::new();
    rig.note(1, &answered(41));
    let request = waiting(ASK, "renku.push-events.v1/3@42;project=1");
    assert_eq!(rig.ask(request).await.status, StatusCode::OK);

    let asked = ask(
        rig.service.router(),
        waiting("/projects/1/events/status", "renku.push-events.v1/3@43;project=1"),
    );
    tokio::pin!(asked);
    assert!(
        tokio::time::timeout(Duration::from_millis(60), &mut asked)
            .await
            .is_err()
    );
    rig.note(1, &answered(42));
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .unwrap()
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn hidden_and_absent_projects_end_alike_at_the_deadline() {
    let mut rig = Rig::with(Config {
        position_seconds: 1,
        ..Config::default()
    });
    rig.note(3, &answered(41));
    let request = waiting(ASK, "renku.push-events.v1/3@42;project=3");
    assert_eq!(rig.ask_admin(request, TOKEN).await.status, StatusCode::OK);
    let mut told = Vec::new();
    for project in [3, 99] {
        let answer = rig
            .ask(waiting(
                ASK,
                &format!("renku.push-events.v1/3@42;project={project}"),
            ))
            .await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        told.push(answer.text().replace(&format!("project={project}"), "project=N"));
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("not in the views after 1 s"), "{}", told[0]);
}

/// Which of two positions is missing would tell: a hidden project's is covered, an absent one's is not.
#[tokio::test]
async fn beside_another_position_hidden_and_absent_projects_end_alike_as_well() {
    let mut rig = Rig::with(Config {
        position_seconds: 1,
        ..Config::default()
    });
    rig.note(1, &answered(41));
    rig.note(3, &answered(41));
    for order in [["42;project=N", "99;project=1"], ["99;project=1", "42;project=N"]] {
        let mut told = Vec::new();
        for project in [3, 99] {
            let receipts = order
                .map(|rest| {
                    format!(
                        "renku.push-events.v1/3@{}",
                        rest.replace('N', &project.to_string())
                    )
                })
                .join(",");
            let answer = rig.ask(waiting(ASK, &receipts)).await;
            assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
            let headers: Vec<_> = answer.headers.keys().cloned().collect();
            let text = answer.text().replace(&format!("project={project}"), "project=N");
            told.push((text, headers));
        }
        assert_eq!(told[0], told[1]);
    }
}

#[tokio::test]
async fn own_topics_are_waited_for_without_a_project() {
    let mut rig = Rig::with(Config {
        position_seconds: 1,
        ..Config::default()
    });
    let receipt = "renku.projects.v1/2@7";
    assert_eq!(
        rig.ask(waiting(ASK, receipt)).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    let position: model::Position = receipt.parse().unwrap();
    let mut txn = rig.writer.begin().unwrap();
    txn.set_position(&position).unwrap();
    txn.commit().unwrap();
    assert_eq!(rig.ask(waiting(ASK, receipt)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_position_is_refused() {
    let rig = Rig::new();
    let many = vec!["renku.projects.v1/2@0"; 33].join(",");
    for receipt in ["nonsense", "renku.push-events.v1/3@42", "a/1@1;project=0", &many] {
        let told = rig.ask(waiting(ASK, receipt)).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{receipt}");
    }
}
