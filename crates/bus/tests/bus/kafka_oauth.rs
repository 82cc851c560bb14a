//! OAUTHBEARER: tokens of a small endpoint in this process, on a real broker that takes tokens that nobody signed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bus::{
    Bus, BusError, ClientCredentials, Grant, Granted, GroupOptions, KafkaBus, KafkaOptions, KafkaSasl,
    KafkaTls, Operation, ReadLimits, TokenEndpoint, TokenSource,
};
use model::{CleanUp, Secret, TopicName};
use parking_lot::Mutex;

use crate::harness::*;
use crate::kafka::{Cluster, applied};

const TOPIC: TopicName = TopicName::from_static("renku.projects.v1");

/// An OAuth 2 server of a few lines.
struct Endpoint {
    lifetime: Duration,
    asked: AtomicUsize,
    /// What it answers before it gives tokens.
    first: Mutex<VecDeque<(StatusCode, String)>>,
    seen: Mutex<Vec<(String, String)>>,
}

impl Endpoint {
    #[allow(clippy::disallowed_methods, reason = "a server of this test, gone with it")]
    async fn start(lifetime: Duration) -> (Arc<Self>, SocketAddr) {
        let endpoint = Arc::new(Self {
            lifetime,
            asked: AtomicUsize::new(0),
            first: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/token", post(answer))
            .with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (endpoint, address)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the broker compares the token with the machine's clock"
)]
async fn answer(
    State(endpoint): State<Arc<Endpoint>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    endpoint.asked.fetch_add(1, Ordering::Relaxed);
    let login = headers["authorization"]
        .to_str()
        .unwrap()
        .strip_prefix("Basic ")
        .unwrap();
    let login = String::from_utf8(BASE64_STANDARD.decode(login).unwrap()).unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    endpoint.seen.lock().push((login.clone(), body));
    if let Some(answer) = endpoint.first.lock().pop_front() {
        return answer;
    }
    let (client, secret) = login.split_once(':').unwrap();
    if secret != "s%3Acret" {
        let told = r#"{"error":"invalid_client","error_description":"who are you?"}"#;
        return (StatusCode::UNAUTHORIZED, told.to_owned());
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let claims = serde_json::json!({
        "sub": client,
        "iat": now.as_secs(),
        "exp": (now + endpoint.lifetime).as_secs(),
    });
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let token = format!(
        "{}.{}.",
        part(r#"{"alg":"none"}"#.to_owned()),
        part(claims.to_string())
    );
    let seconds = endpoint.lifetime.as_secs();
    let told = serde_json::json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds});
    (StatusCode::OK, told.to_string())
}

fn source(address: SocketAddr, client: &str, secret: &str) -> ClientCredentials {
    ClientCredentials::new(TokenEndpoint {
        url: format!("http://{address}/token"),
        client_id: client.to_owned(),
        client_secret: Secret::new(secret),
        scope: Some("kafka read".to_owned()),
    })
    .unwrap()
}

async fn ask(source: ClientCredentials) -> Result<bus::AccessToken, BusError> {
    tokio::task::spawn_blocking(move || source.token()).await.unwrap()
}

#[tokio::test]
async fn tokens_are_asked_for_as_oauth_says() {
    let (endpoint, address) = Endpoint::start(Duration::from_secs(90)).await;
    let token = ask(source(address, "commit-fetcher", "s:cret")).await.unwrap();
    assert_eq!(token.good_for, Duration::from_secs(89));
    assert_eq!(token.principal, "commit-fetcher");
    assert!(!format!("{token:?}").contains(token.token.expose()));
    let (login, body) = endpoint.seen.lock().pop().unwrap();
    assert_eq!(login, "commit-fetcher:s%3Acret");
    assert_eq!(body, "grant_type=client_credentials&scope=kafka+read");

    let refused = ask(source(address, "commit-fetcher", "wrong")).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(matches!(refused, BusError::Refused(_)) && !refused.is_transient());
    assert!(why.contains("401: invalid_client who are you?"), "{why}");
}

#[tokio::test]
async fn what_is_no_token_is_told_from_what_may_pass() {
    let (endpoint, address) = Endpoint::start(Duration::from_secs(90)).await;
    for (status, body, passes) in [
        (StatusCode::SERVICE_UNAVAILABLE, "later", true),
        (StatusCode::FOUND, "", false),
        (StatusCode::OK, "<html>", false),
        (
            StatusCode::OK,
            r#"{"access_token":"a","token_type":"mac"}"#,
            false,
        ),
        (StatusCode::NOT_FOUND, "{}", false),
    ] {
        endpoint.first.lock().push_back((status, body.to_owned()));
        let error = ask(source(address, "c", "s:cret")).await.unwrap_err();
        assert_eq!(error.is_transient(), passes, "{body}: {error:?}");
    }
    let nobody = "127.0.0.1:1".parse().unwrap();
    assert!(
        ask(source(nobody, "c", "s:cret"))
            .await
            .unwrap_err()
            .is_transient()
    );
    let endpoint = |url: &str| TokenEndpoint {
        url: url.to_owned(),
        client_id: "c".to_owned(),
        client_secret: Secret::new("s"),
        scope: None,
    };
    for wrong in ["", "kafka:9092", "ftp://a/token", "https://user:hush@a/token"] {
        let error = ClientCredentials::new(endpoint(wrong)).unwrap_err();
        assert!(
            matches!(&error, BusError::Settings(why) if !why.contains("hush")),
            "{wrong}"
        );
    }
}

fn with_tokens(cluster: &Cluster, source: ClientCredentials) -> KafkaOptions {
    let bootstrap = std::fs::read_to_string(cluster.folder.join("bootstrap.secure")).unwrap();
    KafkaOptions {
        tls: Some(KafkaTls {
            authorities: Some(cluster.folder.join("ca.pem")),
            identity: None,
        }),
        sasl: Some(KafkaSasl::OAuthBearer(Arc::new(source))),
        deadline: Duration::from_secs(8),
        make_topics: false,
        ..KafkaOptions::new(bootstrap.trim())
    }
}

/// Brokers drop a session whose token has run out: whoever goes on has renewed it in time, on every connection.
#[tokio::test]
async fn a_bus_outlives_its_tokens() {
    let cluster = tokio::task::spawn_blocking(|| {
        Cluster::start(&["--tls-oauth", "--set", "connections.max.reauth.ms=9000"])
    })
    .await
    .unwrap();
    let (endpoint, address) = Endpoint::start(Duration::from_secs(8)).await;
    let wrong = KafkaBus::connect(with_tokens(&cluster, source(address, "admin", "wrong")))
        .await
        .unwrap_err();
    assert!(matches!(wrong, BusError::Refused(_)), "{wrong:?}");

    let admin = KafkaBus::connect(with_tokens(&cluster, source(address, "admin", "s:cret")))
        .await
        .unwrap();
    let topics = [spec(TOPIC, 2, CleanUp::Compact)];
    let grant = |role: &str, on, operation| Grant {
        role: role.to_owned(),
        on,
        operation,
    };
    let rules = admin.access_rules(&[
        grant("fetcher", Granted::Topic(TOPIC), Operation::Read),
        grant("fetcher", Granted::Topic(TOPIC), Operation::Write),
        grant("fetcher", Granted::Group("fetcher".to_owned()), Operation::Read),
        grant("fetcher", Granted::Readers, Operation::Describe),
    ]);
    let changes = admin.plan(&topics, rules.clone(), &[], &[]).await.unwrap();
    applied(&admin, &topics, &rules, changes).await;

    let bus = KafkaBus::connect(with_tokens(&cluster, source(address, "fetcher", "s:cret")))
        .await
        .unwrap();
    let mut member = bus
        .join("fetcher", "m", &[TOPIC], GroupOptions::default())
        .await
        .unwrap();
    let mut reader = bus
        .read(starts(&bus, &TOPIC).await, ReadLimits::default())
        .await
        .unwrap();
    let asked = endpoint.asked.load(Ordering::Relaxed);
    let mut round = 0;
    // More than two lives of a token, whatever the machine is busy with.
    while endpoint.asked.load(Ordering::Relaxed) < asked + 6 {
        let text = format!("round {round}");
        soon(bus.append(vec![record(TOPIC, "1", &text)])).await.unwrap();
        assert_eq!(value(&soon(reader.next()).await.unwrap()[0]), text);
        assert_eq!(take(&mut *member, 1).await.len(), 1);
        soon(bus.extents(&TOPIC)).await.unwrap();
        round += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(round > 10, "{round} rounds");
    let stranger = KafkaBus::connect(with_tokens(&cluster, source(address, "stranger", "s:cret")))
        .await
        .unwrap();
    let refused = stranger.extents(&TOPIC).await.unwrap_err();
    assert!(
        matches!(refused, BusError::Refused(_)),
        "the token says who it is: {refused:?}"
    );
}
