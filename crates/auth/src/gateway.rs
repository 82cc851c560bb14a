//! The gateway's word for who somebody is: a token of its own for one request, good for a minute at most.

use std::time::Duration;

use access::Caller;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Secret, Timestamp, UserId};
use serde_json::{Value, json};

use crate::config::Config;
use crate::jwt::{Fault, Keys, claims, in_time, user};
use crate::person::Person;

const ISSUER: &str = "renku-gateway";
/// Longest life of a token.
const LONGEST: Duration = Duration::from_secs(60);
/// By which clocks may differ.
const LEEWAY: Duration = Duration::from_secs(5);

/// On whose behalf the gateway asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatewayCaller {
    /// Somebody who is not signed in.
    Anonymous,
    /// A user.
    User(Person),
    /// An administrator who asked to see everything.
    Administrator(UserId),
}

impl GatewayCaller {
    fn caller(self) -> Caller {
        match self {
            Self::Anonymous => Caller::Anonymous,
            Self::User(person) => person.caller(),
            Self::Administrator(_) => Caller::Administrator,
        }
    }
}

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the gateway's key is no Ed25519 key in PKCS#8, PEM")]
pub struct SignerFault(#[source] jsonwebtoken::errors::Error);

/// Signs tokens: the gateway's end.
pub struct GatewaySigner {
    id: String,
    key: EncodingKey,
}

impl GatewaySigner {
    /// `id`: of the public key in `auth.gateway_keys`. `pem`: the private key, PKCS#8.
    pub fn new(id: impl Into<String>, pem: &Secret) -> Result<Self, SignerFault> {
        let key = EncodingKey::from_ed_pem(pem.expose().as_bytes()).map_err(SignerFault)?;
        Ok(Self { id: id.into(), key })
    }

    /// A token for one request: its method, and its path with the query as it is sent.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign(
        &self,
        caller: GatewayCaller,
        (method, path): (&str, &str),
        now: Timestamp,
    ) -> Result<Secret, SignerFault> {
        let seconds = now.micros_since_epoch() / 1_000_000;
        let (subject, external, administrator) = match caller {
            GatewayCaller::Anonymous => (Value::Null, false, false),
            GatewayCaller::User(Person { user, external }) => (json!(user), external, false),
            GatewayCaller::Administrator(user) => (json!(user), false, true),
        };
        let claims = json!({
            "iss": ISSUER, "user": subject, "external": external, "administrator": administrator,
            "htm": method, "htu": path, "iat": seconds, "exp": seconds + LONGEST.as_secs() / 2,
        });
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.key).map_err(SignerFault)?;
        Ok(Secret::new(token))
    }
}

/// Checks tokens: our end.
pub(crate) struct Gateway(Keys);

impl Gateway {
    /// None: there are no keys.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let keys: Vec<Value> = config
            .gateway_keys
            .iter()
            .map(|key| json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": key.id, "x": key.x}))
            .collect();
        Keys::read(json!({ "keys": keys }).to_string().as_bytes()).map(Self)
    }

    pub(crate) fn caller(
        &self,
        token: &Secret,
        (method, path): (&str, &str),
        now: Timestamp,
    ) -> Result<Caller, Fault> {
        let claims = claims(token.expose(), &[Algorithm::EdDSA], &self.0)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(ISSUER) {
            return Err(Fault::Issuer);
        }
        if text("htm") != Some(method) || text("htu") != Some(path) {
            return Err(Fault::Audience);
        }
        in_time(&claims, now, LEEWAY)?;
        let number = |name: &str| claims.get(name).and_then(Value::as_u64);
        let (Some(issued), Some(end)) = (number("iat"), number("exp")) else {
            return Err(Fault::Expired);
        };
        if end.saturating_sub(issued) > LONGEST.as_secs() {
            return Err(Fault::Expired);
        }
        if issued > now.micros_since_epoch() / 1_000_000 + LEEWAY.as_secs() {
            return Err(Fault::NotYet);
        }
        let says = |name: &str| claims.get(name).and_then(Value::as_bool) == Some(true);
        let caller = match (claims.get("user"), says("administrator")) {
            (Some(Value::Null), false) => GatewayCaller::Anonymous,
            (known, administrator) => match (user(known).ok_or(Fault::NoUser)?, administrator) {
                (user, false) => GatewayCaller::User(Person {
                    user,
                    external: says("external"),
                }),
                (user, true) => GatewayCaller::Administrator(user),
            },
        };
        Ok(caller.caller())
    }
}
