use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access::Grant;
use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Secret, Timestamp, UserId};
use parking_lot::Mutex;
use runtime::{ManualClock, SeededRandomness};
use serde_json::{Value, json};

use super::*;
use crate::config::{GatewayKey, GrantOf, ServiceToken};
use crate::gateway::{GatewayCaller, GatewaySigner};
use crate::gitlab_tokens::Unreachable;

const RSA: &[u8] = include_bytes!("test_keys/rsa.pem");
const OTHER_RSA: &[u8] = include_bytes!("test_keys/rsa-other.pem");
const ED: &str = include_str!("test_keys/ed25519.pem");
const OTHER_ED: &str = include_str!("test_keys/ed25519-other.pem");
const PUBLIC: &str = include_str!("test_keys/public.json");
const ISSUER: &str = "https://renku.example.org/auth/realms/Renku";
const NOW: u64 = 1_800_000_000;

fn public(name: &str) -> String {
    let all: Value = serde_json::from_str(PUBLIC).unwrap();
    all[name].as_str().unwrap().to_owned()
}

/// A provider whose keys change, and that may be down.
#[derive(Default)]
struct Provider {
    fetched: AtomicUsize,
    keys: Mutex<Option<Vec<(&'static str, &'static str)>>>,
}

#[async_trait]
impl KeySource for Arc<Provider> {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().clone().ok_or("down")?;
        let keys: Vec<_> = keys
            .iter()
            .map(|(kid, of)| json!({"kty": "RSA", "kid": kid, "e": "AQAB", "n": public(of)}))
            .collect();
        Ok(json!({ "keys": keys }).to_string().into_bytes())
    }
}

fn person(user: i64, external: bool) -> Option<Person> {
    let user = UserId::new(user).ok()?;
    Some(Person { user, external })
}

struct Nobody;

#[async_trait]
impl WhoIs for Nobody {
    async fn who_is(&self, token: &Secret, _: TokenHeader) -> Result<Option<Person>, Unreachable> {
        match token.expose() {
            "down" => Err(Unreachable),
            "glpat-42" => Ok(person(42, false)),
            "glpat-external" => Ok(person(42, true)),
            _ => Ok(None),
        }
    }
}

struct Door {
    identities: Identities,
    provider: Arc<Provider>,
    clock: Arc<ManualClock>,
}

fn door() -> Door {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(
        i64::try_from(NOW).unwrap() * 1_000_000,
    )));
    let edges = Edges::with(clock.clone(), Arc::new(SeededRandomness::new(1)));
    let config = Config {
        issuer: ISSUER.into(),
        service_tokens: vec![ServiceToken {
            name: "indexer".into(),
            // Of `service-token`.
            sha256: hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"service-token")),
            grant: GrantOf::Internal,
        }],
        gateway_keys: vec![GatewayKey {
            id: "g1".into(),
            x: public("ed25519"),
        }],
        ..Config::default()
    };
    config.check().unwrap();
    let provider = Arc::new(Provider::default());
    let keys: Box<dyn KeySource> = Box::new(provider.clone());
    Door {
        identities: Identities::with(&config, Some(keys), Some(Arc::new(Nobody)), &edges),
        provider,
        clock,
    }
}

impl Door {
    async fn asks(&self, name: &'static str, value: &str) -> Result<Caller, AuthError> {
        self.asks_at("GET", "/sparql?query=x", name, value).await
    }

    async fn asks_at(
        &self,
        method: &str,
        path: &str,
        name: &'static str,
        value: &str,
    ) -> Result<Caller, AuthError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        let asking = Asking {
            method,
            path,
            headers: &headers,
        };
        self.identities.resolve(asking).await.caller
    }

    async fn bearer(&self, token: &str) -> Result<Caller, AuthError> {
        self.asks("authorization", &format!("Bearer {token}")).await
    }
}

fn jwt(kid: &str, key: &[u8], exp: u64) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(kid.to_owned());
    let claims = json!({"iss": ISSUER, "aud": "renku", "exp": exp, "gitlab_user_id": 42});
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_rsa_pem(key).unwrap()).unwrap()
}

fn user() -> Caller {
    Caller::User(UserId::new(42).unwrap())
}

#[tokio::test]
async fn keys_follow_rotation_and_are_not_asked_for_too_often() {
    let door = door();
    let (old, new) = (jwt("a", RSA, NOW + 100_000), jwt("b", OTHER_RSA, NOW + 100_000));
    assert_eq!(
        door.bearer(&old).await,
        Err(AuthError::Unavailable),
        "no keys were ever had"
    );
    *door.provider.keys.lock() = Some(vec![("a", "rsa")]);
    assert_eq!(
        door.bearer(&old).await,
        Err(AuthError::Unavailable),
        "not asked again at once"
    );
    door.clock.advance(Duration::from_secs(30));
    assert_eq!(door.bearer(&old).await, Ok(user()));
    // Anybody may send unknown keys: that does not make us ask.
    let fetched = door.provider.fetched.load(Ordering::SeqCst);
    for _ in 0..50 {
        assert_eq!(door.bearer(&new).await, Err(AuthError::Wrong));
    }
    assert_eq!(door.provider.fetched.load(Ordering::SeqCst), fetched);
    *door.provider.keys.lock() = Some(vec![("a", "rsa"), ("b", "rsa-other")]);
    door.clock.advance(Duration::from_secs(30));
    assert_eq!(door.bearer(&new).await, Ok(user()));
    assert_eq!(door.bearer(&old).await, Ok(user()));
    // Down: known keys go on. Then the old one is taken back.
    *door.provider.keys.lock() = None;
    door.clock.advance(Duration::from_secs(1_000));
    assert_eq!(door.bearer(&new).await, Ok(user()));
    *door.provider.keys.lock() = Some(vec![("b", "rsa-other")]);
    door.clock.advance(Duration::from_secs(300));
    assert_eq!(door.bearer(&new).await, Ok(user()));
    assert_eq!(door.bearer(&old).await, Err(AuthError::Wrong));
}

#[tokio::test]
async fn every_kind_of_credentials_has_its_caller() {
    let door = door();
    *door.provider.keys.lock() = Some(vec![("a", "rsa")]);
    assert_eq!(door.asks("cookie", "a=b").await, Ok(Caller::Anonymous));
    assert_eq!(door.bearer(&jwt("a", RSA, NOW + 60)).await, Ok(user()));
    assert_eq!(door.bearer(&jwt("a", RSA, NOW - 60)).await, Err(AuthError::Wrong));
    assert_eq!(door.bearer("glpat-42").await, Ok(user()));
    assert_eq!(door.asks("private-token", "glpat-42").await, Ok(user()));
    let external = Caller::External(UserId::new(42).unwrap());
    assert_eq!(door.bearer("glpat-external").await, Ok(external));
    assert_eq!(door.bearer("glpat-43").await, Err(AuthError::Wrong));
    let Ok(Caller::Service(scope)) = door.bearer("service-token").await else {
        panic!("the service is not known");
    };
    assert_eq!((scope.name.as_str(), &scope.grant), ("indexer", &Grant::Internal));
    // A service's token is no token of GitLab.
    assert_eq!(
        door.asks("private-token", "service-token").await,
        Err(AuthError::Wrong)
    );
    assert_eq!(
        door.asks("authorization", "Basic YTpi").await,
        Err(AuthError::Wrong)
    );
    assert_eq!(door.bearer("down").await, Err(AuthError::Unavailable));
}

#[tokio::test]
async fn the_gateway_speaks_for_one_request() {
    let door = door();
    *door.provider.keys.lock() = Some(vec![("a", "rsa")]);
    let now = door.clock.now();
    let gateway = GatewaySigner::new("g1", &Secret::new(ED)).unwrap();
    let path = "/sparql?query=x";
    let sign = |caller| {
        gateway
            .sign(caller, ("GET", path), now)
            .unwrap()
            .expose()
            .to_owned()
    };
    let ask = async |token: &str| door.asks("renku-internal-token", token).await;
    let seven = UserId::new(7).unwrap();
    assert_eq!(ask(&sign(GatewayCaller::Anonymous)).await, Ok(Caller::Anonymous));
    assert_eq!(
        ask(&sign(GatewayCaller::User(person(7, false).unwrap()))).await,
        Ok(Caller::User(seven))
    );
    assert_eq!(
        ask(&sign(GatewayCaller::User(person(7, true).unwrap()))).await,
        Ok(Caller::External(seven))
    );
    assert_eq!(
        ask(&sign(GatewayCaller::Administrator(seven))).await,
        Ok(Caller::Administrator)
    );
    let token = sign(GatewayCaller::User(person(7, false).unwrap()));
    for (method, other) in [
        ("POST", path),
        ("GET", "/sparql?query=y"),
        ("GET", "/sparql"),
        ("get", path),
    ] {
        let told = door.asks_at(method, other, "renku-internal-token", &token).await;
        assert_eq!(told, Err(AuthError::Wrong), "{method} {other}");
    }
    // Neither as a bearer, nor of another key, nor of the provider's.
    assert_eq!(door.bearer(&token).await, Err(AuthError::Wrong));
    for id in ["g1", "g2"] {
        let other = GatewaySigner::new(id, &Secret::new(OTHER_ED)).unwrap();
        let token = other
            .sign(GatewayCaller::User(person(7, false).unwrap()), ("GET", path), now)
            .unwrap();
        assert_eq!(ask(token.expose()).await, Err(AuthError::Wrong), "{id}");
    }
    assert_eq!(ask(&jwt("a", RSA, NOW + 60)).await, Err(AuthError::Wrong));
    // One that lives longer than it may.
    let seconds = now.micros_since_epoch() / 1_000_000;
    let long = json!({"iss": "renku-gateway", "user": 7, "administrator": true, "htm": "GET", "htu": path,
        "iat": seconds, "exp": seconds + 3_600});
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("g1".into());
    let long =
        jsonwebtoken::encode(&header, &long, &EncodingKey::from_ed_pem(ED.as_bytes()).unwrap()).unwrap();
    assert_eq!(ask(&long).await, Err(AuthError::Wrong));
    door.clock.advance(Duration::from_secs(36));
    assert_eq!(ask(&token).await, Err(AuthError::Wrong), "its time is over");
}
