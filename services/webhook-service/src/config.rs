use std::time::Duration;

use model::Secret;
use serde::{Deserialize, Serialize};

/// Section `[hooks]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Secrets of hook tokens. The first signs; all are accepted, so that a secret can be changed without a gap.
    pub secrets: Vec<Secret>,
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Nobody could send a hook.
    #[error(
        "at least one secret is needed: a list of texts of {} characters or more",
        Config::SHORTEST_SECRET
    )]
    NoSecret,
    /// It could be guessed.
    #[error("secret number {0} is too short: at least {least} characters are needed", least = Config::SHORTEST_SECRET)]
    ShortSecret(usize),
}

impl Config {
    /// Shortest secret, in bytes.
    pub const SHORTEST_SECRET: usize = gitlab::HookTokens::SHORTEST_SECRET;

    /// Largest body of a hook. GitLab's own limit for a push with 20 commits is far below.
    pub const LARGEST_BODY: usize = 1 << 20;

    /// How long the log may take before the sender is asked to try again.
    pub const APPEND_WITHIN: Duration = Duration::from_secs(5);

    /// Can the secrets be used?
    pub fn check(&self) -> Result<(), ConfigFault> {
        if self.secrets.is_empty() {
            return Err(ConfigFault::NoSecret);
        }
        let short = |secret: &Secret| secret.expose().len() < Self::SHORTEST_SECRET;
        match self.secrets.iter().position(short) {
            Some(at) => Err(ConfigFault::ShortSecret(at + 1)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_must_be_long() {
        let with = |secrets: &[&str]| {
            Config {
                secrets: secrets.iter().map(|s| Secret::new(*s)).collect(),
            }
            .check()
        };
        let long = "0123456789abcdef";
        assert_eq!(with(&[long]), Ok(()));
        assert_eq!(with(&[]), Err(ConfigFault::NoSecret));
        assert_eq!(with(&[long, "short"]), Err(ConfigFault::ShortSecret(2)));
    }
}
