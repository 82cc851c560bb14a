//! Over real connections: broken answers look broken, and clients that leave stop their queries.

use std::net::SocketAddr;
use std::time::Duration;

use query_service::Config;
use runtime::Tasks;
use runtime::http::{ServeLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::*;

async fn start(rig: &Rig) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    let stop = tasks.stop().clone();
    tasks.spawn_service(
        "http",
        serve(listener, rig.service.router(), None, ServeLimits::default(), stop),
    );
    (address, tasks)
}

async fn send(address: SocketAddr, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /sparql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/csv\r\n\
         Content-Type: application/sparql-query\r\nContent-Length: {}\r\n\r\n{query}",
        query.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn running(rig: &Rig) -> bool {
    rig.edges
        .metrics
        .exposition()
        .unwrap()
        .contains("renku_query_running 1")
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_whole_answer_ends_and_a_broken_one_does_not() {
    let mut rig = Rig::with(Config {
        query_rows: 3_000,
        ..Config::default()
    });
    rig.fill(10, 5_000);
    let (address, tasks) = start(&rig).await;
    for (limit, whole) in [(2_999, true), (5_000, false)] {
        let query = format!("SELECT * {{ ?s <http://schema.org/value> ?o }} LIMIT {limit}");
        let mut bytes = Vec::new();
        let _ = send(address, &query).await.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200"), "{}", &text[..100]);
        // The last chunk of a chunked body has no length; a body that lacks it was broken off.
        assert_eq!(text.ends_with("\r\n0\r\n\r\n"), whole, "{limit}");
    }
    tasks.stop_and_drain(Duration::from_secs(20)).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    let mut rig = Rig::with(Config {
        query_seconds: 600,
        ..Config::default()
    });
    rig.fill(10, 3_000);
    let (address, tasks) = start(&rig).await;
    // One that has nothing to say for hours, and one that says a lot.
    for query in [
        "SELECT (COUNT(*) AS ?n) { ?a <http://schema.org/value> ?b . ?c <http://schema.org/value> ?d . ?e <http://schema.org/value> ?f }",
        "SELECT * { ?a <http://schema.org/value> ?b . ?c <http://schema.org/value> ?d . ?e <http://schema.org/value> ?f }",
    ] {
        let stream = send(address, query).await;
        eventually("running", || running(&rig)).await;
        drop(stream);
        eventually("stopped", || !running(&rig)).await;
    }
    tasks.stop_and_drain(Duration::from_secs(20)).await.unwrap();
}

/// Everything that is no HTTP, or no request of ours, ends the connection and nothing else.
#[tokio::test]
async fn garbage_on_the_wire() {
    let rig = Rig::new();
    let (address, tasks) = start(&rig).await;
    let long = format!(
        "GET /sparql?query={} HTTP/1.1\r\nHost: x\r\n\r\n",
        "a".repeat(100_000)
    );
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "POST /sparql HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        &long,
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut told = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut told)).await;
        assert!(read.is_ok(), "hangs");
        let told = String::from_utf8_lossy(&told);
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");
    }
    assert_eq!(rig.query("ASK {}").await.text(), "true");
    tasks.stop_and_drain(Duration::from_secs(20)).await.unwrap();
}
