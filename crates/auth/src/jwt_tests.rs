use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const RSA: &[u8] = include_bytes!("test_keys/rsa.pem");
const OTHER_RSA: &[u8] = include_bytes!("test_keys/rsa-other.pem");
const ED: &[u8] = include_bytes!("test_keys/ed25519.pem");
const PUBLIC: &str = include_str!("test_keys/public.json");
const ISSUER: &str = "https://renku.example.org/auth/realms/Renku";
/// Seconds.
const NOW: u64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

fn public(name: &str) -> String {
    let all: Value = serde_json::from_str(PUBLIC).unwrap();
    all[name].as_str().unwrap().to_owned()
}

fn config() -> Config {
    Config {
        issuer: ISSUER.into(),
        algorithms: vec!["RS256".into(), "EdDSA".into()],
        clients: vec!["renku".into(), "renku-cli".into()],
        ..Config::default()
    }
}

fn keys() -> Keys {
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "a", "alg": "RS256", "use": "sig", "e": "AQAB", "n": public("rsa")},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": public("ed25519")},
        {"kty": "RSA", "kid": "enc", "use": "enc", "e": "AQAB", "n": public("rsa-other")},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "nonsense"},
    ]});
    Keys::read(set.to_string().as_bytes()).unwrap()
}

fn good() -> Value {
    json!({"iss": ISSUER, "aud": ["account", "renku"], "azp": "renku", "exp": NOW + 60, "nbf": NOW - 5, "iat": NOW - 5,
        "sub": "0b6a…", "gitlab_user_id": 42})
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn rsa(claims: &Value) -> String {
    sign(
        Algorithm::RS256,
        Some("a"),
        &EncodingKey::from_rsa_pem(RSA).unwrap(),
        claims,
    )
}

fn check(token: &str) -> Result<u32, Fault> {
    let rules = Rules::new(&config()).unwrap();
    let person = rules.person(token, &keys(), now());
    person.map(|person| person.user.get())
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    match value.is_null() {
        true => drop(claims.as_object_mut().unwrap().remove(name)),
        false => claims[name] = value,
    }
    claims
}

#[test]
fn a_good_token_is_its_users() {
    assert_eq!(check(&rsa(&good())), Ok(42));
    assert_eq!(check(&rsa(&with("gitlab_user_id", json!("43")))), Ok(43));
    assert_eq!(check(&rsa(&with("aud", json!("renku")))), Ok(42));
    assert_eq!(check(&rsa(&with("nbf", Value::Null))), Ok(42));
    assert_eq!(
        check(&rsa(&with("exp", json!(NOW - 5)))),
        Ok(42),
        "clocks may differ a little"
    );
    let ed = sign(
        Algorithm::EdDSA,
        Some("e"),
        &EncodingKey::from_ed_pem(ED).unwrap(),
        &good(),
    );
    assert_eq!(check(&ed), Ok(42));
}

#[test]
fn claims_that_are_not_good_are_refused() {
    for (name, value, fault) in [
        (
            "iss",
            json!("https://evil.example/auth/realms/Renku"),
            Fault::Issuer,
        ),
        ("iss", json!(format!("{ISSUER}/")), Fault::Issuer),
        ("iss", Value::Null, Fault::Issuer),
        ("iss", json!([ISSUER]), Fault::Issuer),
        ("aud", json!("other"), Fault::Audience),
        ("aud", json!(["other"]), Fault::Audience),
        ("aud", json!([]), Fault::Audience),
        ("aud", Value::Null, Fault::Audience),
        ("aud", json!({"renku": "renku"}), Fault::Audience),
        ("azp", json!("evil-client"), Fault::Client),
        ("azp", Value::Null, Fault::Client),
        ("exp", json!(NOW - 11), Fault::Expired),
        ("exp", json!(0), Fault::Expired),
        ("exp", json!(-1), Fault::Expired),
        ("exp", json!("tomorrow"), Fault::Expired),
        ("exp", Value::Null, Fault::Expired),
        ("nbf", json!(NOW + 11), Fault::NotYet),
        ("nbf", json!("now"), Fault::NotYet),
        ("gitlab_user_id", Value::Null, Fault::NoUser),
        ("gitlab_user_id", json!(0), Fault::NoUser),
        ("gitlab_user_id", json!(-7), Fault::NoUser),
        ("gitlab_user_id", json!(1.5), Fault::NoUser),
        ("gitlab_user_id", json!("root"), Fault::NoUser),
        ("gitlab_user_id", json!([42]), Fault::NoUser),
    ] {
        assert_eq!(
            check(&rsa(&with(name, value.clone()))),
            Err(fault),
            "{name}: {value}"
        );
    }
}

/// A token with any head, signed or not.
fn forged(head: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(head),
        part(claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

#[test]
fn a_token_does_not_choose_how_it_is_checked() {
    let key = EncodingKey::from_rsa_pem(RSA).unwrap();
    // The public key as a shared secret.
    let modulus = public("rsa");
    let shared = EncodingKey::from_secret(modulus.as_bytes());
    let of = |algorithm| sign(algorithm, Some("a"), &shared, &good());
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(check(&of(algorithm)), Err(Fault::Algorithm));
    }
    for none in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        let token = forged(&json!({"alg": none, "kid": "a"}), &good(), b"");
        assert_eq!(check(&token), Err(Fault::Algorithm), "{none:?}");
    }
    // Another algorithm than the settings name, and than the key is for.
    for algorithm in [Algorithm::RS384, Algorithm::PS256] {
        assert_eq!(
            check(&sign(algorithm, Some("a"), &key, &good())),
            Err(Fault::Algorithm)
        );
    }
    let ed = EncodingKey::from_ed_pem(ED).unwrap();
    assert_eq!(
        check(&sign(Algorithm::EdDSA, Some("a"), &ed, &good())),
        Err(Fault::Algorithm)
    );
    // Keys of its own.
    let head = json!({"alg": "RS256", "kid": "mine", "jku": "https://evil.example/keys",
        "jwk": {"kty": "RSA", "e": "AQAB", "n": public("rsa-other")}, "x5u": "https://evil.example/cert"});
    assert_eq!(check(&forged(&head, &good(), b"x")), Err(Fault::UnknownKey));
    for kid in ["../../etc/passwd", "' OR 1=1 --", "enc", "shared", "A"] {
        let other = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
        let told = check(&sign(Algorithm::RS256, Some(kid), &other, &good()));
        assert_eq!(told, Err(Fault::UnknownKey), "{kid}");
    }
    assert_eq!(
        check(&sign(Algorithm::RS256, None, &key, &good())),
        Err(Fault::UnknownKey)
    );
    let other = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
    assert_eq!(
        check(&sign(Algorithm::RS256, Some("a"), &other, &good())),
        Err(Fault::Signature)
    );
    let critical = forged(
        &json!({"alg": "RS256", "kid": "a", "crit": ["b64"], "b64": false}),
        &good(),
        b"x",
    );
    assert_eq!(check(&critical), Err(Fault::Critical));
}

#[test]
fn what_is_no_token_is_refused() {
    let token = rsa(&good());
    let (front, signature) = token.rsplit_once('.').unwrap();
    let other = rsa(&with("gitlab_user_id", json!(1)));
    let (other_front, _) = other.rsplit_once('.').unwrap();
    for (token, fault) in [
        (format!("{other_front}.{signature}"), Fault::Signature),
        (format!("{front}."), Fault::Signature),
        (front.to_owned(), Fault::Signature),
        (format!("{token}.{signature}"), Fault::Signature),
        (String::new(), Fault::Malformed),
        ("...".to_owned(), Fault::Malformed),
        (format!("{}.e30.", URL_SAFE_NO_PAD.encode("[]")), Fault::Malformed),
        (
            format!("{}.e30.", URL_SAFE_NO_PAD.encode("{\"alg\":1}")),
            Fault::Malformed,
        ),
    ] {
        assert_eq!(check(&token), Err(fault), "{token}");
    }
    // Text in place of claims, well signed.
    let nested = sign(
        Algorithm::RS256,
        Some("a"),
        &EncodingKey::from_rsa_pem(RSA).unwrap(),
        &json!(token),
    );
    assert_eq!(check(&nested), Err(Fault::Signature));
}

#[test]
fn key_sets_are_read_with_care() {
    for nothing in [
        "",
        "{}",
        "{\"keys\": []}",
        "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\", \"kid\": \"s\", \"alg\": \"HS256\"}]}",
        "[]",
    ] {
        assert!(Keys::read(nothing.as_bytes()).is_none(), "{nothing}");
    }
    assert!(keys().has(Some("a")) && keys().has(Some("e")));
    assert!(!keys().has(Some("enc")) && !keys().has(None));
}

#[test]
fn tokens_for_something_else_are_refused() {
    // As Keycloak writes them: access tokens `Bearer`; those that tell who somebody is `ID`; of a logout `Logout`.
    assert_eq!(check(&rsa(&with("typ", json!("Bearer")))), Ok(42));
    for typ in [
        json!("ID"),
        json!("Logout"),
        json!("Refresh"),
        json!(""),
        json!(7),
        json!(["Bearer"]),
    ] {
        assert_eq!(
            check(&rsa(&with("typ", typ.clone()))),
            Err(Fault::Purpose),
            "{typ}"
        );
    }
    let headed = |typ: &str| {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some("a".into());
        header.typ = Some(typ.into());
        jsonwebtoken::encode(&header, &good(), &EncodingKey::from_rsa_pem(RSA).unwrap()).unwrap()
    };
    assert_eq!(check(&headed("at+jwt")), Ok(42));
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", ""] {
        assert_eq!(check(&headed(typ)), Err(Fault::Purpose), "{typ}");
    }
    let bound = with(
        "cnf",
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
    );
    assert_eq!(check(&rsa(&bound)), Err(Fault::Bound));
}

#[test]
fn external_users_are_told() {
    let rules = Rules::new(&config()).unwrap();
    let external = |claims: &Value| rules.person(&rsa(claims), &keys(), now()).unwrap().external;
    assert!(!external(&good()));
    assert!(!external(&with("gitlab_external", json!(false))));
    for said in [json!(true), json!("true"), json!("false"), json!(0)] {
        assert!(external(&with("gitlab_external", said.clone())), "{said}");
    }
}
