//! Who is asking. Credentials of a request become a [`Caller`](access::Caller), or an error: wrong credentials are never
//! taken for none.
//!
//! * JSON web tokens of the identity provider: fixed algorithms, issuer, audience, time; keys that follow rotation;
//! * GitLab's tokens: asked of GitLab, the answer remembered for a moment by the token's hash;
//! * services' tokens of the configuration, of which it has the digests;
//! * the gateway's own tokens, for one request each.

mod config;
mod credentials;
mod gateway;
mod gitlab_tokens;
mod identities;
mod jwt;
mod keys;
mod person;
mod services;

pub use config::{Config, ConfigFault, GatewayKey, GrantOf, ServiceToken};
pub use credentials::{Credentials, GATEWAY_HEADER, PRIVATE_TOKEN_HEADER};
pub use gateway::{GatewayCaller, GatewaySigner, SignerFault};
pub use gitlab_tokens::{GitLabTokens, Unreachable, WhoIs};
pub use identities::{Asking, AuthError, Identities, Kind, Resolved};
pub use jwt::{Fault, Rules};
pub use keys::{HttpKeys, KeyCache, KeySource};
pub use person::Person;
