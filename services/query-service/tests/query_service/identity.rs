//! Everybody sees what is his, and wrong credentials are never taken for none.

use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};

use crate::rig::{Rig, Told, get, query_request};

const COUNT: &str = "SELECT (COUNT(DISTINCT ?g) AS ?n) { GRAPH ?g {} }";

fn with(
    mut request: Request<axum::body::Body>,
    headers: &[(&'static str, &str)],
) -> Request<axum::body::Body> {
    for (name, value) in headers {
        request.headers_mut().append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    request
}

async fn graphs(rig: &Rig, headers: &[(&'static str, &str)]) -> Told {
    rig.ask(with(query_request(COUNT, "text/csv"), headers)).await
}

#[tokio::test]
async fn everybody_sees_what_is_his() {
    let mut rig = Rig::new();
    rig.set_members(3, 2, &[7]);
    for (headers, seen) in [
        (&[][..], 1),
        (&[("private-token", "token-of-7")], 3),
        (&[("authorization", "Bearer token-of-7")], 3),
        (&[("private-token", "token-of-8")], 2),
        (&[("private-token", "token-of-external-7")], 2),
        (&[("private-token", "token-of-external-8")], 1),
        (&[("authorization", "Bearer a-service-token")], 2),
    ] {
        let told = graphs(&rig, headers).await;
        assert_eq!(told.text(), format!("n\r\n{seen}\r\n"), "{headers:?}");
        let vary: Vec<_> = told.headers.get_all(header::VARY).iter().collect();
        assert_eq!(
            vary,
            ["Accept", "Authorization, Private-Token, Renku-Internal-Token"]
        );
        let cached = told
            .headers
            .get(header::CACHE_CONTROL)
            .map(|value| value.to_str().unwrap());
        let wanted = match headers {
            [] => "no-cache",
            _ => "private, no-store",
        };
        assert_eq!(cached, Some(wanted));
    }
    let path = "/knowledge-graph/projects/g/sub/private";
    let seen = rig.ask(with(get(path), &[("private-token", "token-of-7")])).await;
    assert_eq!(seen.status, StatusCode::OK);
    let hidden = rig.ask(with(get(path), &[("private-token", "token-of-8")])).await;
    let absent = rig
        .ask(with(
            get("/knowledge-graph/projects/g/sub/prevote"),
            &[("private-token", "token-of-8")],
        ))
        .await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(hidden.headers, absent.headers);
    assert_eq!(hidden.text().replace("private", "prevote"), absent.text());
    let status = rig
        .ask(with(
            get("/projects/3/events/status"),
            &[("private-token", "token-of-7")],
        ))
        .await;
    assert_eq!(status.status, StatusCode::OK);
    let status = rig.get("/projects/3/events/status").await;
    assert_eq!(status.status, StatusCode::NOT_FOUND);
    // With the record that says so, he is a member no more.
    rig.set_members(3, 3, &[]);
    let told = graphs(&rig, &[("private-token", "token-of-7")]).await;
    assert_eq!(told.text(), "n\r\n2\r\n");
}

#[tokio::test]
async fn wrong_credentials_are_refused_on_every_path() {
    let rig = Rig::new();
    for path in [
        "/sparql",
        "/sparql?query=ASK%20%7B%7D",
        "/sparql?query=nonsense",
        "/knowledge-graph/projects/g/public",
        "/knowledge-graph/projects/no/where",
        "/knowledge-graph/version",
        "/projects/1/events/status",
        "/projects/x/events/status",
        "/version",
        "/ping",
        "/no/such/path",
    ] {
        for headers in [
            &[("private-token", "not-a-token")][..],
            &[("private-token", "")],
            &[("authorization", "Bearer not-a-token")],
            &[("authorization", "Basic dXNlcjp0b2tlbi1vZi03")],
            &[("authorization", "")],
            &[
                ("private-token", "token-of-7"),
                ("authorization", "Bearer token-of-7"),
            ],
            &[("private-token", "token-of-7"), ("private-token", "token-of-7")],
            &[("renku-internal-token", "token-of-7")],
            &[(
                "authorization",
                "Bearer eyJhbGciOiJub25lIn0.eyJnaXRsYWJfdXNlcl9pZCI6N30.",
            )],
        ] {
            let told = rig.ask(with(get(path), headers)).await;
            assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{path} {headers:?}");
            assert_eq!(
                told.text(),
                "{\"severity\":\"error\",\"message\":\"User authentication failure\"}"
            );
            assert_eq!(told.headers[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(told.headers[header::CACHE_CONTROL], "private, no-store");
        }
        let headers = [("private-token", "token-of-nobody-who-can-be-asked")];
        let told = rig.ask(with(get(path), &headers)).await;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(told.headers[header::RETRY_AFTER], "5");
    }
    let posted = rig
        .ask(with(
            query_request(COUNT, "text/csv"),
            &[("private-token", "not-a-token")],
        ))
        .await;
    assert_eq!(posted.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.get("/no/such/path").await.status, StatusCode::NOT_FOUND);
    let text = rig.edges.metrics.exposition().unwrap();
    assert!(
        text.contains("renku_auth_requests_total{kind=\"gitlab\",outcome=\"wrong\"}"),
        "{text}"
    );
    assert!(!text.contains("not-a-token"));
}
