//! JSON web tokens of the identity provider. What is checked, and how, is decided here and by the settings; nothing that the
//! token says of itself (`alg`, `jku`, `jwk`, `x5u`) chooses it.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use model::{Timestamp, UserId};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Config, algorithm};
use crate::person::Person;

/// Why a token is not good. For logs; callers are told nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Not three parts, or not JSON in them.
    #[error("the token is not well formed")]
    Malformed,
    /// Another algorithm than the settings name, or than its key is for.
    #[error("the token's algorithm is not taken")]
    Algorithm,
    /// It wants something that is not understood (`crit`).
    #[error("the token has a critical header that is not understood")]
    Critical,
    /// No such key.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Not signed by that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Of a client that is not taken.
    #[error("the token is of a client that is not taken")]
    Client,
    /// No more, or without an end.
    #[error("the token has expired, or never does")]
    Expired,
    /// Not yet.
    #[error("the token is not good yet")]
    NotYet,
    /// It says that it is for something else than access: to tell who somebody is, to refresh, to log out.
    #[error("the token is not for access")]
    Purpose,
    /// Good only together with a proof that is not looked at here.
    #[error("the token is bound to a key of its client")]
    Bound,
    /// It does not say who the user is in GitLab.
    #[error("the token has no GitLab user")]
    NoUser,
}

/// What makes a token good.
#[derive(Clone, Debug)]
pub struct Rules {
    issuer: String,
    audiences: Vec<String>,
    clients: Vec<String>,
    algorithms: Vec<Algorithm>,
    user_claim: String,
    external_claim: String,
    leeway: Duration,
}

/// Public keys by their ids.
#[derive(Default)]
pub(crate) struct Keys(HashMap<Option<String>, Vec<Key>>);

struct Key {
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// More keys than any provider has.
const MOST_KEYS: usize = 100;

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a JSON web key set. Keys that are not understood, or that are for something else than signatures, are passed over.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let list: KeyList = serde_json::from_slice(bytes).ok()?;
        let mut keys: HashMap<Option<String>, Vec<Key>> = HashMap::new();
        for value in list.keys.into_iter().take(MOST_KEYS) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            // A shared secret proves nothing here.
            if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
                continue;
            }
            if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
                continue;
            }
            let algorithm = match jwk.common.key_algorithm {
                None => None,
                Some(named) => match of_key(named) {
                    Some(algorithm) => Some(algorithm),
                    None => continue,
                },
            };
            let Ok(key) = DecodingKey::from_jwk(&jwk) else {
                continue;
            };
            keys.entry(jwk.common.key_id)
                .or_default()
                .push(Key { algorithm, key });
        }
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub(crate) fn has(&self, id: Option<&str>) -> bool {
        !self.find(id).is_empty()
    }

    fn find(&self, id: Option<&str>) -> &[Key] {
        match id {
            Some(_) => self.0.get(&id.map(str::to_owned)).map_or(&[], Vec::as_slice),
            // A token without an id can be meant for one key only.
            None if self.0.len() == 1 => self.0.values().next().map_or(&[], Vec::as_slice),
            None => &[],
        }
    }
}

fn of_key(named: KeyAlgorithm) -> Option<Algorithm> {
    algorithm(&format!("{named:?}"))
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// The key that a token names.
pub(crate) fn key_id(token: &str) -> Result<Option<String>, Fault> {
    Ok(head(token)?.kid)
}

fn head(token: &str) -> Result<Head, Fault> {
    let (head, _) = token.split_once('.').ok_or(Fault::Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(head).map_err(|_| Fault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::Malformed)
}

/// Checks the signature alone and gives the claims.
pub(crate) fn claims(token: &str, algorithms: &[Algorithm], keys: &Keys) -> Result<Value, Fault> {
    let head = head(token)?;
    if head.crit.is_some() {
        return Err(Fault::Critical);
    }
    let named = algorithm(&head.alg)
        .filter(|named| algorithms.contains(named))
        .ok_or(Fault::Algorithm)?;
    let found = keys.find(head.kid.as_deref());
    if found.is_empty() {
        return Err(Fault::UnknownKey);
    }
    let mut validation = Validation::new(named);
    // All of it is checked below, by the clock that is handed in.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let mut fault = Fault::Algorithm;
    for key in found {
        if key.algorithm.is_some_and(|only| only != named) {
            continue;
        }
        match jsonwebtoken::decode::<Value>(token, &key.key, &validation) {
            Ok(data) => return Ok(data.claims),
            Err(_) => fault = Fault::Signature,
        }
    }
    Err(fault)
}

impl Rules {
    /// None: no issuer is configured.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        (!config.issuer.is_empty()).then(|| Self {
            issuer: config.issuer.clone(),
            audiences: config.audiences.clone(),
            clients: config.clients.clone(),
            algorithms: config
                .algorithms
                .iter()
                .filter_map(|name| algorithm(name))
                .collect(),
            user_claim: config.user_claim.clone(),
            external_claim: config.external_claim.clone(),
            leeway: Config::seconds(config.leeway_seconds),
        })
    }

    /// Whose token it is.
    pub(crate) fn person(&self, token: &str, keys: &Keys, now: Timestamp) -> Result<Person, Fault> {
        for_access(head(token)?.typ.as_deref(), ACCESS_TYPES)?;
        let claims = claims(token, &self.algorithms, keys)?;
        // Keycloak says in a claim what it says in no header: `Bearer`, `ID`, `Logout`, `Refresh`.
        match claims.get("typ") {
            None => {}
            Some(typ) => for_access(Some(typ.as_str().unwrap_or_default()), &["Bearer"])?,
        }
        if claims.get("cnf").is_some() {
            return Err(Fault::Bound);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Fault::Issuer);
        }
        let named = |audience: &Value| {
            audience
                .as_str()
                .is_some_and(|name| self.audiences.iter().any(|known| known == name))
        };
        match claims.get("aud") {
            Some(Value::Array(all)) if all.iter().any(named) => {}
            Some(one) if named(one) => {}
            _ => return Err(Fault::Audience),
        }
        let client = claims.get("azp").and_then(Value::as_str).unwrap_or_default();
        if !self.clients.is_empty() && !self.clients.iter().any(|known| known == client) {
            return Err(Fault::Client);
        }
        in_time(&claims, now, self.leeway)?;
        let user = user(claims.get(&self.user_claim)).ok_or(Fault::NoUser)?;
        let external = claims.get(&self.external_claim);
        Ok(Person {
            user,
            // What is not a plain no is a yes: it shows less.
            external: external.is_some_and(|said| *said != Value::Bool(false)),
        })
    }
}

/// RFC 9068, and what providers wrote before it.
const ACCESS_TYPES: &[&str] = &["JWT", "at+jwt", "application/at+jwt"];

fn for_access(typ: Option<&str>, known: &[&str]) -> Result<(), Fault> {
    let fits = |typ: &str| known.iter().any(|known| known.eq_ignore_ascii_case(typ));
    match typ.is_none_or(fits) {
        true => Ok(()),
        false => Err(Fault::Purpose),
    }
}

/// `exp` must be there and lie ahead, `nbf` must not.
pub(crate) fn in_time(claims: &Value, now: Timestamp, leeway: Duration) -> Result<(), Fault> {
    let (now, leeway) = (now.micros_since_epoch() / 1_000_000, leeway.as_secs());
    let seconds = |name: &str| {
        claims
            .get(name)
            .map(|value| value.as_f64().map(|seconds| seconds.floor() as u64))
    };
    match seconds("exp") {
        Some(Some(end)) if end.saturating_add(leeway) > now => {}
        _ => return Err(Fault::Expired),
    }
    match seconds("nbf") {
        None => Ok(()),
        Some(Some(begin)) if begin <= now.saturating_add(leeway) => Ok(()),
        Some(_) => Err(Fault::NotYet),
    }
}

/// A number, or one in a text.
pub(crate) fn user(claim: Option<&Value>) -> Option<UserId> {
    let number = match claim? {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    UserId::new(number).ok()
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
