use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};

use crate::rig::*;

const NAMES: &str = "SELECT ?n { ?s <http://schema.org/name> ?n }";
const ENCODED: &str = "SELECT%20%3Fn%20%7B%20%3Fs%20%3Chttp%3A%2F%2Fschema.org%2Fname%3E%20%3Fn%20%7D";

#[tokio::test]
async fn three_ways_to_ask() {
    let rig = Rig::new();
    let csv = "n\r\n\"plan of g/public, \"\"quoted\"\"\"\r\n";
    let mut request = get(&format!("/sparql?query={ENCODED}"));
    request
        .headers_mut()
        .insert(header::ACCEPT, "text/csv".parse().unwrap());
    for request in [
        request,
        post(
            "application/x-www-form-urlencoded",
            format!("query={ENCODED}"),
            "/sparql",
            "text/csv",
        ),
        post(
            "application/sparql-query; charset=utf-8",
            NAMES.into(),
            "/sparql?x=y",
            "text/csv",
        ),
    ] {
        let told = rig.ask(request).await;
        assert_eq!((told.status, told.text()), (StatusCode::OK, csv));
        assert_eq!(told.content_type(), "text/csv; charset=utf-8");
    }
}

#[tokio::test]
async fn graphs_of_the_protocol_only_narrow() {
    let rig = Rig::new();
    let count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }";
    let named = "SELECT ?g { GRAPH ?g { ?s <http://schema.org/name> ?o } }";
    let (public, private) = (
        "https://renku.example.org/projects/g/public",
        "https://renku.example.org/projects/g/sub/private",
    );
    for (query, graphs, wanted) in [
        (count, String::new(), "n\r\n5\r\n".to_owned()),
        (
            count,
            format!("?default-graph-uri={public}"),
            "n\r\n5\r\n".to_owned(),
        ),
        (
            count,
            format!("?default-graph-uri={private}"),
            "n\r\n0\r\n".to_owned(),
        ),
        (
            count,
            "?default-graph-uri=http://absent".to_owned(),
            "n\r\n0\r\n".to_owned(),
        ),
        (named, String::new(), format!("g\r\n{public}\r\n")),
        (
            named,
            format!("?named-graph-uri={public}&named-graph-uri={private}"),
            format!("g\r\n{public}\r\n"),
        ),
        (named, format!("?named-graph-uri={private}"), "g\r\n".to_owned()),
    ] {
        let request = post(
            "application/sparql-query",
            query.into(),
            &format!("/sparql{graphs}"),
            "text/csv",
        );
        let told = rig.ask(request).await;
        assert_eq!(told.text(), wanted, "{query} {graphs}");
    }
}

#[tokio::test]
async fn what_is_no_query_is_refused_in_words() {
    let rig = Rig::new();
    let form = "application/x-www-form-urlencoded";
    for (request, status, words) in [
        (get("/sparql?default-graph-uri=http://a"), 400, "no query"),
        (get("/sparql?query=a&query=b"), 400, "more than one query"),
        (get("/sparql?query=%ff"), 400, "UTF-8"),
        (get("/sparql?update=DROP%20ALL"), 400, "read-only"),
        (
            post(form, "update=DROP+ALL".into(), "/sparql", "*/*"),
            400,
            "read-only",
        ),
        (
            post("application/sparql-update", "DROP ALL".into(), "/sparql", "*/*"),
            400,
            "read-only",
        ),
        (post(form, String::new(), "/sparql", "*/*"), 400, "no query"),
        (
            post("text/plain", NAMES.into(), "/sparql", "*/*"),
            415,
            "content type",
        ),
        (
            post("application/sparql-query", "DROP ALL".into(), "/sparql", "*/*"),
            400,
            "error at 1:",
        ),
        (
            post(
                "application/sparql-query",
                "SELECT ?s {\n  ?s ?p".into(),
                "/sparql",
                "*/*",
            ),
            400,
            "2:",
        ),
        (
            post("application/sparql-query", String::new(), "/sparql", "*/*"),
            400,
            "error at 1:",
        ),
        (
            post("application/sparql-query", " ".repeat(65_537), "/sparql", "*/*"),
            413,
            "65,536 bytes",
        ),
        (
            post(form, format!("query={}", "%20".repeat(65_537)), "/sparql", "*/*"),
            413,
            "65,536 bytes",
        ),
        (
            post(form, format!("query={}", "a".repeat(1 << 20)), "/sparql", "*/*"),
            413,
            "65,536 bytes",
        ),
        (
            post(
                "application/sparql-query",
                format!("SELECT * {}{}", "{".repeat(200), "}".repeat(200)),
                "/sparql",
                "*/*",
            ),
            400,
            "nested",
        ),
        (
            post(
                "application/sparql-query",
                "SELECT * { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }".into(),
                "/sparql",
                "*/*",
            ),
            400,
            "cannot be evaluated",
        ),
    ] {
        let told = rig.ask(request).await;
        assert_eq!(told.status.as_u16(), status, "{told:?}");
        assert!(told.text().contains(words), "{words}: {}", told.text());
        assert!(told.content_type().starts_with("text/plain"), "{told:?}");
    }
    let told = rig
        .ask(
            Request::builder()
                .method(Method::DELETE)
                .uri("/sparql")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(told.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_longest_query_is_taken() {
    let rig = Rig::new();
    let query = format!("ASK {{}} #{}", "x".repeat(65_536 - 9));
    assert_eq!(query.len(), 65_536 - 1);
    assert_eq!(rig.query(&query).await.text(), "true");
    let escaped: String = format!("ASK {{}} #{}", "é".repeat(30_000))
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let told = rig
        .ask(post(
            "application/x-www-form-urlencoded",
            format!("query={escaped}"),
            "/sparql",
            "text/csv",
        ))
        .await;
    assert_eq!(told.text(), "true");
}

#[tokio::test]
async fn the_service_describes_itself() {
    let rig = Rig::new();
    let told = rig.get("/sparql").await;
    assert_eq!(
        (told.status, told.content_type()),
        (StatusCode::OK, "text/turtle; charset=utf-8")
    );
    assert!(told.text().contains("<https://renku.example.org/sparql>"));
    let head = Request::builder()
        .method(Method::HEAD)
        .uri(format!("/sparql?query={ENCODED}"))
        .body(Body::empty())
        .unwrap();
    let told = rig.ask(head).await;
    assert_eq!((told.status, told.text()), (StatusCode::OK, ""));
    assert_eq!(told.content_type(), "application/sparql-results+json");
}

#[tokio::test]
async fn each_caller_sees_his_own() {
    let rig = Rig::new();
    let query = "SELECT (COUNT(?s) AS ?n) { ?s <http://schema.org/name> ?o }";
    assert_eq!(rig.query(query).await.text(), "n\r\n1\r\n");
    let admin = rig.ask_admin(query_request(query, "text/csv"), TOKEN).await;
    assert_eq!(admin.text(), "n\r\n3\r\n");
    let wrong = rig
        .ask_admin(query_request(query, "text/csv"), "another-token-here")
        .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    // The token means nothing on the public listener.
    let mut request = query_request(query, "text/csv");
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    assert_eq!(rig.ask(request).await.status, StatusCode::UNAUTHORIZED);
    // Without a configured token nobody is the administrator.
    let service = query_service::QueryService::build(
        &query_service::Config::default(),
        rig.reader.clone(),
        "https://renku.example.org",
        None,
        crate::rig::identities(&rig.edges),
        &rig.edges,
    )
    .unwrap();
    let mut request = query_request(query, "text/csv");
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, "Bearer ".parse().unwrap());
    let told = ask(service.admin_router(), request).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let told = ask(service.admin_router(), query_request(query, "text/csv")).await;
    assert_eq!(told.text(), "n\r\n1\r\n");
}
