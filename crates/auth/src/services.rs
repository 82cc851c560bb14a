use std::sync::Arc;

use access::{Caller, ServiceScope};
use model::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::{Config, digest};

/// Tokens of programs, by their digests.
#[derive(Debug, Default)]
pub(crate) struct Services(Vec<([u8; 32], Arc<ServiceScope>)>);

impl Services {
    pub(crate) fn new(config: &Config) -> Self {
        let known = config.service_tokens.iter().filter_map(|token| {
            let scope = ServiceScope {
                name: token.name.clone(),
                grant: token.grant.grant(),
            };
            Some((digest(&token.sha256)?, Arc::new(scope)))
        });
        Self(known.collect())
    }

    /// Whose token it is. All are compared, whichever it is.
    pub(crate) fn find(&self, token: &Secret) -> Option<Caller> {
        let given: [u8; 32] = Sha256::digest(token.expose().as_bytes()).into();
        let mut found = None;
        for (known, scope) in &self.0 {
            if bool::from(known.ct_eq(&given)) {
                found = Some(Caller::Service(scope.clone()));
            }
        }
        found
    }
}
