use std::net::SocketAddr;
use std::path::PathBuf;

use model::Secret;
use serde::{Deserialize, Serialize};

/// A certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// What may listen where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposureError {
    /// See [`AdminExposure`].
    #[error("the admin listener {0} can be reached from outside: {1} must be set, or listen on 127.0.0.1")]
    Admin(SocketAddr, &'static str),
    /// See [`PublicExposure`].
    #[error(
        "the public listener {0} can be reached from outside, and without identity every caller there is anonymous: \
         configure auth, or listen on 127.0.0.1"
    )]
    Public(SocketAddr),
    /// A token that can be guessed.
    #[error("{0} is too short: at least {1} characters are needed")]
    ShortToken(&'static str, usize),
}

/// The rule for the admin listener: off loopback it needs a token and TLS.
#[derive(Debug)]
pub struct AdminExposure<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// `admin.token`.
    pub token: Option<&'a Secret>,
    /// `admin.tls`.
    pub tls: Option<&'a TlsFiles>,
}

impl AdminExposure<'_> {
    /// Shortest token.
    pub const SHORTEST_TOKEN: usize = 16;

    /// Holds the rule?
    pub fn check(&self) -> Result<(), ExposureError> {
        if self
            .token
            .is_some_and(|token| token.expose().chars().count() < Self::SHORTEST_TOKEN)
        {
            return Err(ExposureError::ShortToken("admin.token", Self::SHORTEST_TOKEN));
        }
        if self.address.ip().is_loopback() {
            return Ok(());
        }
        if self.token.is_none() {
            return Err(ExposureError::Admin(self.address, "admin.token"));
        }
        if self.tls.is_none() {
            return Err(ExposureError::Admin(self.address, "admin.tls"));
        }
        Ok(())
    }
}

/// The rule for the public listener: off loopback it needs identity.
#[derive(Debug)]
pub struct PublicExposure {
    /// Where it listens.
    pub address: SocketAddr,
    /// Is identity configured?
    pub identity: bool,
}

impl PublicExposure {
    /// Holds the rule?
    pub fn check(&self) -> Result<(), ExposureError> {
        if self.address.ip().is_loopback() || self.identity {
            Ok(())
        } else {
            Err(ExposureError::Public(self.address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_loopback_needs_more() {
        let (inside, outside): (SocketAddr, SocketAddr) =
            ("127.0.0.1:8081".parse().unwrap(), "0.0.0.0:8081".parse().unwrap());
        let token = Secret::new("0123456789abcdef");
        let short = Secret::new("0123");
        let tls = TlsFiles {
            certificate: "c.pem".into(),
            key: "k.pem".into(),
        };
        let check = |address, token, tls| AdminExposure { address, token, tls }.check();
        assert!(check(inside, None, None).is_ok());
        assert!(check(inside, Some(&short), None).is_err());
        assert_eq!(
            check(outside, None, Some(&tls)),
            Err(ExposureError::Admin(outside, "admin.token"))
        );
        assert_eq!(
            check(outside, Some(&token), None),
            Err(ExposureError::Admin(outside, "admin.tls"))
        );
        assert!(check(outside, Some(&token), Some(&tls)).is_ok());

        assert!(
            PublicExposure {
                address: inside,
                identity: false
            }
            .check()
            .is_ok()
        );
        assert!(
            PublicExposure {
                address: outside,
                identity: false
            }
            .check()
            .is_err()
        );
        assert!(
            PublicExposure {
                address: outside,
                identity: true
            }
            .check()
            .is_ok()
        );
    }
}
