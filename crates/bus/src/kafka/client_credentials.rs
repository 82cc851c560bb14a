use std::fmt;
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use model::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use reqwest::blocking::Client;
use serde::Deserialize;

use super::token::{AccessToken, TokenSource};
use crate::BusError;

/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(10);

/// No endpoint has more to say. Bytes.
const MOST: u64 = 256 << 10;

/// A token whose end is not told is asked for again after about this long.
const UNTOLD: Duration = Duration::from_secs(60);

/// What goes into a user or a password of HTTP as it is: RFC 6749, section 2.3.1.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*');

/// Where a token endpoint is, and as whom it is asked.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    /// `https://…`.
    pub url: String,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Asked for, if it is set: words separated by spaces.
    pub scope: Option<String>,
}

/// Tokens of an OAuth 2 server by the client's own credentials: RFC 6749, section 4.4.
///
/// librdkafka has the same built in, but only with libcurl, which its bundled build leaves out.
pub struct ClientCredentials {
    endpoint: TokenEndpoint,
    url: Url,
    /// Made on the first thread that may block: it must not be made where async code runs.
    http: OnceLock<Client>,
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCredentials").field(&self.endpoint).finish()
    }
}

/// The endpoint gave no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("the token endpoint of bus.kafka.oauth_token_url does not answer")]
    Unavailable(#[source] reqwest::Error),
    #[error("the token endpoint broke off its answer")]
    BrokenOff(#[source] std::io::Error),
    #[error(
        "the token endpoint answered {status}: {why}; check bus.kafka.oauth_client_id, oauth_client_secret and oauth_scope"
    )]
    Refused { status: u16, why: String },
    #[error("the token endpoint's answer is none of OAuth 2: check bus.kafka.oauth_token_url")]
    Foreign(#[source] serde_json::Error),
    #[error("the token endpoint gave a token of the kind {0:?}, and only bearer tokens are of use")]
    Kind(String),
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    error: String,
    error_description: String,
}

impl ClientCredentials {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`BusError::Settings`] when the address is none.
    pub fn new(endpoint: TokenEndpoint) -> Result<Self, BusError> {
        let url = Url::parse(&endpoint.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .filter(|url| url.username().is_empty() && url.password().is_none());
        // Not repeated: it may hold a password.
        let why = "bus.kafka.oauth_token_url is not an http or https URL without user and password";
        Ok(Self {
            url: url.ok_or_else(|| BusError::Settings(why.to_owned()))?,
            endpoint,
            http: OnceLock::new(),
        })
    }

    fn http(&self) -> Result<&Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        // Somebody else in the process may have installed a provider before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(WITHIN)
            .build()?;
        Ok(self.http.get_or_init(|| http))
    }

    fn ask(&self) -> Result<Granted, NoToken> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.endpoint.scope.as_deref().map(|scope| ("scope", scope)));
        let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
        let answer = self
            .http()
            .map_err(NoToken::Unavailable)?
            .post(self.url.clone())
            .basic_auth(
                encoded(&self.endpoint.client_id),
                Some(encoded(self.endpoint.client_secret.expose())),
            )
            .header("accept", "application/json")
            .form(&form)
            .send()
            // The address is in the settings, and may say more than a log should.
            .map_err(|error| NoToken::Unavailable(error.without_url()))?;
        let status = answer.status();
        let mut body = Vec::new();
        answer
            .take(MOST)
            .read_to_end(&mut body)
            .map_err(NoToken::BrokenOff)?;
        if !status.is_success() {
            let told: Told = serde_json::from_slice(&body).unwrap_or_default();
            let why = [told.error, told.error_description].join(" ");
            return Err(NoToken::Refused {
                status: status.as_u16(),
                why: why.trim().chars().filter(|c| !c.is_control()).take(300).collect(),
            });
        }
        let granted: Granted = serde_json::from_slice(&body).map_err(NoToken::Foreign)?;
        if !granted.token_type.eq_ignore_ascii_case("bearer") {
            return Err(NoToken::Kind(granted.token_type.chars().take(40).collect()));
        }
        Ok(granted)
    }
}

impl TokenSource for ClientCredentials {
    fn token(&self) -> Result<AccessToken, BusError> {
        let granted = self.ask().map_err(|error| match error {
            NoToken::Unavailable(_) | NoToken::BrokenOff(_) => BusError::Unavailable(error.into()),
            NoToken::Refused { status: 500.., .. } => BusError::Unavailable(error.into()),
            _ => BusError::Refused(error.into()),
        })?;
        Ok(AccessToken {
            token: granted.access_token,
            principal: self.endpoint.client_id.clone(),
            // It is told in whole seconds, and brokers look at the end of the token itself: the last one may not be whole.
            good_for: granted
                .expires_in
                .map_or(UNTOLD, |seconds| Duration::from_secs(seconds.saturating_sub(1))),
        })
    }
}
