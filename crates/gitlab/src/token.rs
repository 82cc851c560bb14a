use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use model::{ProjectId, Secret};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What a hook token is good for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HookScope {
    /// Hooks of one project.
    Project(ProjectId),
    /// The instance's system hook, which speaks of any project.
    System,
}

/// Makes and checks hook tokens: base64url without padding of HMAC-SHA256(secret, `project:<id>` or `system`).
///
/// The first secret signs, all of them verify: to change a secret, put the new one in front, renew the hooks' tokens, and
/// take the old one out.
#[derive(Clone, Debug)]
pub struct HookTokens(Vec<Secret>);

/// Nothing to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "hook tokens need secrets: set hooks.secrets to a list of texts of at least {} characters",
    HookTokens::SHORTEST_SECRET
)]
pub struct NoHookSecret;

impl HookTokens {
    /// Shortest secret, in bytes.
    pub const SHORTEST_SECRET: usize = 16;

    /// Takes `hooks.secrets`. At least one is needed, and none may be short.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, NoHookSecret> {
        if secrets.is_empty()
            || secrets
                .iter()
                .any(|secret| secret.expose().len() < Self::SHORTEST_SECRET)
        {
            return Err(NoHookSecret);
        }
        Ok(Self(secrets))
    }

    /// The token to give to GitLab.
    pub fn token(&self, scope: HookScope) -> Secret {
        // `new` lets no empty list in.
        Secret::new(
            self.0
                .first()
                .map(|secret| sign(secret, scope))
                .unwrap_or_default(),
        )
    }

    /// Is `given` (the header `X-Gitlab-Token`) a token of that scope? Takes the same time for every wrong token.
    pub fn verify(&self, scope: HookScope, given: &str) -> bool {
        let mut good = subtle::Choice::from(0);
        for secret in &self.0 {
            good |= sign(secret, scope).as_bytes().ct_eq(given.as_bytes());
        }
        good.into()
    }
}

fn sign(secret: &Secret, scope: HookScope) -> String {
    let message = match scope {
        HookScope::Project(id) => format!("project:{id}"),
        HookScope::System => "system".to_owned(),
    };
    // HMAC takes keys of any length; the error of the general constructor cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(message.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secrets: &[&str]) -> HookTokens {
        HookTokens::new(secrets.iter().map(|secret| Secret::new(*secret)).collect()).unwrap()
    }

    fn project(id: i64) -> HookScope {
        HookScope::Project(ProjectId::new(id).unwrap())
    }

    #[test]
    fn known_answers() {
        // printf 'project:7' | openssl dgst -sha256 -hmac 0123456789abcdef -binary | basenc --base64url
        let tokens = tokens(&["0123456789abcdef"]);
        assert_eq!(
            tokens.token(project(7)).expose(),
            "HsqSMHYvIzQOPwcDZGxGbEcpyBNogaA-hXO6qRT1Kds"
        );
        assert_eq!(
            tokens.token(HookScope::System).expose(),
            "ZGgtLsL2CKrcABDhlSwMeynhv1qsZjuIy5QrSkiak_U"
        );
    }

    #[test]
    fn scopes_do_not_mix() {
        let tokens = tokens(&["0123456789abcdef"]);
        let seven = tokens.token(project(7));
        assert!(tokens.verify(project(7), seven.expose()));
        assert!(!tokens.verify(project(77), seven.expose()));
        assert!(!tokens.verify(HookScope::System, seven.expose()));
        assert!(!tokens.verify(project(7), ""));
        assert!(!tokens.verify(project(7), &format!("{}=", seven.expose())));
    }

    #[test]
    fn old_secrets_verify_and_new_ones_sign() {
        let old = tokens(&["an old secret 00"]);
        let both = tokens(&["a new secret 000", "an old secret 00"]);
        assert!(both.verify(project(7), old.token(project(7)).expose()));
        assert!(!old.verify(project(7), both.token(project(7)).expose()));
    }

    #[test]
    fn secrets_must_be_there_and_long() {
        assert!(HookTokens::new(vec![]).is_err());
        assert!(HookTokens::new(vec![Secret::new("short")]).is_err());
        assert!(!format!("{:?}", tokens(&["0123456789abcdef"])).contains("0123"));
    }
}
