use std::time::Duration;

use access::Grant;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use model::ProjectId;
use serde::{Deserialize, Serialize};

/// Section `[auth]`: whose word is taken for who somebody is. Without any of it every caller is anonymous, and GitLab's tokens
/// are asked of GitLab if its address is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Of the identity provider, as it stands in its tokens, e.g. `https://renku.example.org/auth/realms/Renku`. Empty: no
    /// JSON web token is good.
    pub issuer: String,
    /// One of them must be in a token's `aud`.
    pub audiences: Vec<String>,
    /// Clients (`azp`) whose tokens are taken. Empty: all.
    pub clients: Vec<String>,
    /// Signatures that are taken: `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`.
    pub algorithms: Vec<String>,
    /// Where the provider's keys are. Empty: as the issuer's `/.well-known/openid-configuration` says.
    pub jwks_url: String,
    /// The claim with the user's number in GitLab.
    pub user_claim: String,
    /// The claim that is `true` if GitLab knows the user as external. A token without it is of one who is not.
    pub external_claim: String,
    /// Seconds by which clocks may differ.
    pub leeway_seconds: u64,
    /// A token with an unknown key makes the keys be fetched again, once in so many seconds at most.
    pub keys_min_refresh_seconds: u64,
    /// Keys are fetched again after so many seconds, so that one that was taken back is good no more.
    pub keys_max_age_seconds: u64,
    /// Whether tokens of GitLab (personal, project, group, OAuth2) are asked of GitLab.
    pub gitlab_tokens: bool,
    /// Seconds that GitLab's answer about a token holds. While GitLab is down it holds 60 seconds more.
    pub token_cache_seconds: u64,
    /// Tokens whose answers are remembered.
    pub token_cache_entries: usize,
    /// Tokens of programs.
    pub service_tokens: Vec<ServiceToken>,
    /// Public keys of the gateway. Two while they are rotated.
    pub gateway_keys: Vec<GatewayKey>,
}

/// A program's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceToken {
    /// For logs.
    pub name: String,
    /// SHA-256 of the token, in hex: `printf %s "$TOKEN" | sha256sum`.
    pub sha256: String,
    /// What it may see.
    pub grant: GrantOf,
}

/// What a program may see: `"public"`, `"internal"`, or `{ projects = [1, 2] }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantOf {
    /// What everybody sees.
    Public,
    /// And what is for everybody who is signed in.
    Internal,
    /// What everybody sees, and these.
    Projects(Vec<ProjectId>),
}

impl GrantOf {
    pub(crate) fn grant(&self) -> Grant {
        match self {
            Self::Public => Grant::Public,
            Self::Internal => Grant::Internal,
            Self::Projects(projects) => {
                let mut projects = projects.clone();
                projects.sort_unstable();
                projects.dedup();
                Grant::Projects(projects)
            }
        }
    }
}

/// A public key of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayKey {
    /// As it stands in the tokens (`kid`).
    pub id: String,
    /// The Ed25519 key's 32 bytes, base64url without padding (`x` of a JSON web key).
    pub x: String,
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("auth.{key}: {why}")]
pub struct ConfigFault {
    /// The key.
    pub key: &'static str,
    /// What is needed.
    pub why: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audiences: vec!["renku".to_owned()],
            clients: Vec::new(),
            algorithms: vec!["RS256".to_owned()],
            jwks_url: String::new(),
            user_claim: "gitlab_user_id".to_owned(),
            external_claim: "gitlab_external".to_owned(),
            leeway_seconds: 10,
            keys_min_refresh_seconds: 30,
            keys_max_age_seconds: 300,
            gitlab_tokens: true,
            token_cache_seconds: 60,
            token_cache_entries: 10_000,
            service_tokens: Vec::new(),
            gateway_keys: Vec::new(),
        }
    }
}

/// Those that prove something with a public key. Neither `none` nor a shared secret is among them.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

impl Config {
    /// Can these be used?
    pub fn check(&self) -> Result<(), ConfigFault> {
        let fault = |key, why| Err(ConfigFault { key, why });
        let is_url = |text: &str| {
            text.parse::<reqwest::Url>()
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
        };
        if !self.issuer.is_empty() && !is_url(&self.issuer) {
            return fault(
                "issuer",
                "an http or https URL is needed, as it stands in the tokens' `iss`",
            );
        }
        if !self.jwks_url.is_empty() && !is_url(&self.jwks_url) {
            return fault("jwks_url", "an http or https URL is needed");
        }
        if !self.issuer.is_empty() && self.audiences.is_empty() {
            return fault(
                "audiences",
                "at least one is needed: a token for somebody else must not be good here",
            );
        }
        if !self.issuer.is_empty() && self.algorithms.is_empty() {
            return fault("algorithms", "at least one is needed");
        }
        if self.algorithms.iter().any(|name| algorithm(name).is_none()) {
            return fault(
                "algorithms",
                "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA can be named",
            );
        }
        if self.user_claim.is_empty() {
            return fault("user_claim", "the name of a claim is needed");
        }
        if self.leeway_seconds > 60 {
            return fault("leeway_seconds", "a number up to 60 is needed");
        }
        if !(1..=3_600).contains(&self.keys_min_refresh_seconds) {
            return fault("keys_min_refresh_seconds", "a number from 1 to 3600 is needed");
        }
        if !(1..=86_400).contains(&self.keys_max_age_seconds) {
            return fault("keys_max_age_seconds", "a number from 1 to 86400 is needed");
        }
        if self.token_cache_seconds > 600 {
            return fault("token_cache_seconds", "a number up to 600 is needed");
        }
        if !(1..=1_000_000).contains(&self.token_cache_entries) {
            return fault("token_cache_entries", "a number from 1 to 1000000 is needed");
        }
        for token in &self.service_tokens {
            if token.name.is_empty() {
                return fault("service_tokens", "each needs a name");
            }
            if digest(&token.sha256).is_none() {
                return fault(
                    "service_tokens",
                    "sha256 is the token's digest, 64 hex digits: printf %s \"$TOKEN\" | sha256sum",
                );
            }
        }
        for key in &self.gateway_keys {
            if key.id.is_empty()
                || URL_SAFE_NO_PAD
                    .decode(&key.x)
                    .is_ok_and(|bytes| bytes.len() != 32)
            {
                return fault(
                    "gateway_keys",
                    "each needs an id, and x: 32 bytes in base64url without padding",
                );
            }
            if URL_SAFE_NO_PAD.decode(&key.x).is_err() {
                return fault("gateway_keys", "x is not base64url without padding");
            }
        }
        Ok(())
    }

    pub(crate) fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }
}

/// The 32 bytes that 64 hex digits stand for.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        type Change = fn(&mut Config);
        let wrong: [(&str, Change); 9] = [
            ("issuer", |config| config.issuer = "renku".into()),
            ("jwks_url", |config| config.jwks_url = "file:///etc/passwd".into()),
            ("algorithms", |config| config.algorithms = vec!["HS256".into()]),
            ("algorithms", |config| config.algorithms = vec!["none".into()]),
            ("user_claim", |config| config.user_claim.clear()),
            ("leeway_seconds", |config| config.leeway_seconds = 3_600),
            ("token_cache_seconds", |config| {
                config.token_cache_seconds = 86_400
            }),
            ("service_tokens", |config| {
                config.service_tokens = vec![ServiceToken {
                    name: "indexer".into(),
                    sha256: "the token itself".into(),
                    grant: GrantOf::Public,
                }];
            }),
            ("gateway_keys", |config| {
                config.gateway_keys = vec![GatewayKey {
                    id: "a".into(),
                    x: "AAAA".into(),
                }];
            }),
        ];
        for (key, change) in wrong {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn grants_are_written_in_words() {
        let read = |text: &str| serde_json::from_str::<GrantOf>(text).unwrap().grant();
        assert_eq!(read("\"public\""), Grant::Public);
        assert_eq!(read("\"internal\""), Grant::Internal);
        let id = |number| ProjectId::new(number).unwrap();
        assert_eq!(
            read("{\"projects\": [7, 3, 7]}"),
            Grant::Projects(vec![id(3), id(7)])
        );
    }
}
