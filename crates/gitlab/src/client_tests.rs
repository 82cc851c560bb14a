use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::*;

/// Answers each connection with the next of `answers`, and gives back what was asked.
fn server(answers: Vec<String>) -> (Url, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/gitlab", listener.local_addr().unwrap())).unwrap();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    read => request.extend_from_slice(&buffer[..read]),
                }
            }
            asked.push(String::from_utf8(request).unwrap());
            // The client may have gone away on purpose.
            let _ = stream.write_all(answer.as_bytes());
        }
        asked
    });
    (url, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn client(url: Url) -> RestClient {
    let mut settings = ClientSettings::new(url, Some(Secret::new("glpat-very-secret")));
    settings.timeout = Duration::from_millis(2_000);
    settings.body_limit = 1_000;
    RestClient::new(settings).unwrap()
}

fn seven() -> ProjectId {
    ProjectId::new(7).unwrap()
}

const PROJECT: &str = r#"{"id":7,"path_with_namespace":"a/b","name":"B","visibility":"private","created_at":"2020-01-01T00:00:00Z",
    "default_branch":"main","empty_repo":false}"#;

#[tokio::test]
async fn a_project() {
    let (url, asked) = server(vec![answer("200 OK", "", PROJECT)]);
    let project = client(url).project(seven(), None).await.unwrap();
    assert_eq!(project.slug.as_str(), "a/b");
    assert_eq!(project.default_branch.as_deref(), Some("main"));
    let asked = asked.join().unwrap();
    assert!(
        asked[0].starts_with("GET /gitlab/api/v4/projects/7 HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(
        asked[0]
            .to_lowercase()
            .contains("private-token: glpat-very-secret")
    );
}

#[tokio::test]
async fn a_token_handed_in_is_used() {
    let (url, asked) = server(vec![answer("200 OK", "", PROJECT)]);
    client(url)
        .project(seven(), Some(&Secret::new("its-own")))
        .await
        .unwrap();
    assert!(
        asked.join().unwrap()[0]
            .to_lowercase()
            .contains("private-token: its-own")
    );
}

#[tokio::test]
async fn members_are_paged() {
    let one = r#"[{"id":2,"username":"b","name":"B","state":"active","access_level":30}]"#;
    let two = r#"[{"id":1,"username":"a","name":"A","state":"active","access_level":50}]"#;
    let (url, asked) = server(vec![
        answer("200 OK", "X-Next-Page: 2\r\n", one),
        answer("200 OK", "X-Next-Page: \r\n", two),
    ]);
    let members = client(url).members(seven(), None).await.unwrap();
    assert_eq!(
        members
            .iter()
            .map(|member| member.username.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(asked.join().unwrap()[1].contains("members/all?per_page=100&page=2 "));
}

#[tokio::test]
async fn pages_that_go_round_are_garbage() {
    let one = r#"[{"id":2,"username":"b","name":"B","access_level":30}]"#;
    let (url, asked) = server(vec![answer("200 OK", "X-Next-Page: 1\r\n", one)]);
    let error = client(url).members(seven(), None).await.unwrap_err();
    assert!(matches!(error, GitLabError::Garbage(_)), "{error}");
    asked.join().unwrap();
}

#[tokio::test]
async fn failures_are_sorted_and_keep_the_token() {
    let long = format!("\"{}\"", "x".repeat(2_000));
    for (answer, wanted) in [
        (answer("404 Not Found", "", "{}"), "NotFound"),
        (answer("401 Unauthorized", "", "{}"), "Refused"),
        (answer("403 Forbidden", "", "{}"), "Refused"),
        (
            answer("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            "Busy { retry_after: Some(7s)",
        ),
        (answer("502 Bad Gateway", "", "<html>"), "Down"),
        (
            answer("503 Service Unavailable", "Retry-After: 9\r\n", ""),
            "retry_after: Some(9s)",
        ),
        (
            answer("302 Found", "Location: https://elsewhere.example\r\n", ""),
            "Garbage",
        ),
        (answer("418 Teapot", "", ""), "Garbage"),
        (answer("200 OK", "", "<html>sign in</html>"), "Garbage"),
        (
            answer("200 OK", "", &PROJECT.replace("\"id\":7", "\"id\":8")),
            "Garbage",
        ),
        (answer("200 OK", "", &long), "Garbage"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_owned(),
            "Down",
        ),
        ("garbage\r\n\r\n".to_owned(), "Down"),
    ] {
        let (url, asked) = server(vec![answer]);
        let error = client(url).project(seven(), None).await.unwrap_err();
        let shown = format!("{error:?} {error}");
        assert!(shown.contains(wanted), "{wanted}: {shown}");
        assert!(!shown.contains("secret"), "{shown}");
        asked.join().unwrap();
    }
}

#[tokio::test]
async fn nobody_there_and_too_slow() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(Url::parse(&format!("http://{closed}")).unwrap())
        .project(seven(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, GitLabError::Down { .. }), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = ClientSettings::new(
        Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap(),
        None,
    );
    settings.timeout = Duration::from_millis(100);
    let error = RestClient::new(settings).unwrap().version().await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn only_http() {
    assert!(RestClient::new(ClientSettings::new(Url::parse("file:///etc").unwrap(), None)).is_err());
}
