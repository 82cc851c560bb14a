//! Asking the admin listener of a renkud.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use crate::Failure;

/// Counting a large log may take a while.
const WITHIN: Duration = Duration::from_secs(300);

/// Exit codes, as everywhere in renkuctl.
const FAILED: u8 = 1;
const WRONG: u8 = 2;
const ABSENT: u8 = 3;
const REFUSED: u8 = 4;
const UNREACHABLE: u8 = 5;

pub(crate) struct Admin {
    http: Client,
    url: String,
    token: Option<String>,
}

impl Admin {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, Failure> {
        // Somebody else may have installed it before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            // The token is for the node alone.
            .no_proxy()
            .build()
            .context("the HTTP client cannot be set up")
            .map_err(|error| Failure::new(FAILED, error))?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        })
    }

    /// `path` begins with a slash.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        self.send(self.http.get(format!("{}{path}", self.url)).query(query))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.http.post(format!("{}{path}", self.url)).json(body))
    }

    fn send(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().map_err(|error| {
            let code = if error.is_builder() { WRONG } else { UNREACHABLE };
            let told = anyhow!(error.without_url()).context(format!(
                "{} does not answer: is it a renkud's admin listener?",
                self.url
            ));
            Failure::new(code, told)
        })?;
        let status = answer.status();
        let text = answer
            .text()
            .map_err(|error| Failure::new(UNREACHABLE, anyhow!(error.without_url())))?;
        if !status.is_success() {
            return Err(Failure::new(code_of(status), anyhow!(told(status, &text))));
        }
        serde_json::from_str(&text)
            .with_context(|| {
                format!(
                    "{} did not answer in JSON: is it a renkud's admin listener?",
                    self.url
                )
            })
            .map_err(|error| Failure::new(FAILED, error))
    }
}

fn code_of(status: StatusCode) -> u8 {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => WRONG,
        StatusCode::NOT_FOUND => ABSENT,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => REFUSED,
        _ => FAILED,
    }
}

/// What the server said, in its own words.
fn told(status: StatusCode, text: &str) -> String {
    let message = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| text.trim().chars().take(500).collect());
    if message.is_empty() {
        status.to_string()
    } else {
        message
    }
}
