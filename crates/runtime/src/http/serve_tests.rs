use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::tasks::Tasks;

async fn start(router: Router, limits: ServeLimits) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    tasks.spawn_service(
        "http",
        serve(listener, router, None, limits, tasks.stop().clone()),
    );
    (address, tasks)
}

async fn ask(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_stop_finishes_what_was_begun() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        move || async move {
            begun.notify_one();
            go_on.notified().await;
            "done"
        }
    };
    let (address, tasks) = start(Router::new().route("/", get(handler)), ServeLimits::default()).await;
    let answer = tokio::task::JoinSet::from_iter([ask(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]);
    begun.notified().await;
    tasks.stop().request();
    go_on.notify_one();
    tasks.drain(Duration::from_secs(10)).await.unwrap();
    let answer = answer.join_all().await.remove(0);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"),
        "{answer}"
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_slow_client_is_cut_off() {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(50),
        ..ServeLimits::default()
    };
    let (address, tasks) = start(Router::new(), limits).await;
    let answer = ask(address, "GET / HT").await;
    assert!(!answer.contains("200"), "{answer}");
    tasks.stop_and_drain(Duration::from_secs(10)).await.unwrap();
}
