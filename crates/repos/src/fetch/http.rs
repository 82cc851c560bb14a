use std::io::Read;
use std::time::{Duration, Instant};

use base64::Engine as _;
use model::{Secret, Slug};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use url::Url;

use super::{Cancel, FetchError, FetchLimits};

/// When a fetch has to end.
#[derive(Clone)]
pub(crate) struct Deadline {
    pub(crate) end: Instant,
    pub(crate) cancel: Cancel,
}

/// One connection pool to the one GitLab. No redirects are followed.
pub(crate) struct Http {
    client: Client,
    gitlab: Url,
    token: Option<Secret>,
}

/// How a request proves who asks.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// Git over HTTP: Basic, user `oauth2`.
    Git,
    /// The REST API: `PRIVATE-TOKEN`.
    Api,
}

impl Http {
    pub(crate) fn new(gitlab: Url, token: Option<Secret>, limits: &FetchLimits) -> Result<Self, FetchError> {
        if !matches!(gitlab.scheme(), "http" | "https") || gitlab.host_str().is_none() {
            return Err(FetchError::Garbage(
                "gitlab.url is not an http or https URL".into(),
            ));
        }
        // Somebody else in the process may have installed a provider before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let idle = limits.idle;
        // The blocking client starts a thread with a runtime of its own, which must not happen on an async thread.
        let client = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    Client::builder()
                        .redirect(reqwest::redirect::Policy::none())
                        .connect_timeout(Duration::from_secs(5).min(idle))
                        .timeout(idle)
                        .pool_idle_timeout(Duration::from_secs(60))
                        .tcp_nodelay(true)
                        .referer(false)
                        .user_agent(concat!("git/renku-graph-", env!("CARGO_PKG_VERSION")))
                        .build()
                })
                .join()
        });
        match client {
            Ok(Ok(client)) => Ok(Self {
                client,
                gitlab,
                token,
            }),
            Ok(Err(error)) => Err(FetchError::Mirror(format!(
                "the HTTP client cannot be set up: {}",
                error.without_url()
            ))),
            Err(_) => Err(FetchError::Mirror("the HTTP client cannot be set up".into())),
        }
    }

    /// `<gitlab>/<slug>.git/<end>`.
    pub(crate) fn repository(&self, slug: &Slug, end: &[&str]) -> Result<Url, FetchError> {
        let git = format!("{}.git", slug.project());
        self.address(
            slug.namespace()
                .split('/')
                .chain([git.as_str()])
                .chain(end.iter().copied()),
        )
    }

    /// `<gitlab>/api/v4/<path>`.
    pub(crate) fn api(&self, path: &[&str]) -> Result<Url, FetchError> {
        self.address(["api", "v4"].into_iter().chain(path.iter().copied()))
    }

    fn address<'a>(&self, path: impl Iterator<Item = &'a str>) -> Result<Url, FetchError> {
        let mut url = self.gitlab.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| FetchError::Garbage("gitlab.url cannot have a path".into()))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends, and sorts the status.
    pub(crate) fn send(
        &self,
        request: RequestBuilder,
        proof: Proof,
        token: Option<&Secret>,
        deadline: &Deadline,
    ) -> Result<Response, FetchError> {
        deadline.check()?;
        let request = match token.or(self.token.as_ref()) {
            None => request,
            Some(token) => {
                let (name, value) = match proof {
                    Proof::Api => ("private-token", token.expose().to_owned()),
                    Proof::Git => {
                        let pair = format!("oauth2:{}", token.expose());
                        (
                            "authorization",
                            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)),
                        )
                    }
                };
                let mut value = HeaderValue::from_str(&value)
                    .map_err(|_| FetchError::Garbage("the token has characters that no token has".into()))?;
                value.set_sensitive(true);
                request.header(name, value)
            }
        };
        let response = request.send().map_err(down)?;
        self.sort_status(response.status().as_u16(), response.headers())?;
        Ok(response)
    }

    fn sort_status(&self, status: u16, headers: &HeaderMap) -> Result<(), FetchError> {
        let retry_after = || {
            let seconds = headers
                .get("retry-after")?
                .to_str()
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()?;
            Some(Duration::from_secs(seconds.min(3_600)))
        };
        match status {
            200 => Ok(()),
            401 | 403 => Err(FetchError::Refused(status)),
            404 | 410 => Err(FetchError::NoRepository),
            429 => Err(FetchError::Busy {
                retry_after: retry_after(),
            }),
            301 | 302 | 307 | 308 if self.leads_here(headers) => Err(FetchError::NoRepository),
            300..=399 => Err(FetchError::Garbage(
                "it redirects: set gitlab.url to the address that it redirects to".into(),
            )),
            408 | 500..=599 => Err(FetchError::Down {
                why: format!("status {status}"),
                retry_after: retry_after(),
            }),
            other => Err(FetchError::Garbage(format!("status {other}"))),
        }
    }

    /// GitLab redirects from a project's old name to the new one, on the same host.
    fn leads_here(&self, headers: &HeaderMap) -> bool {
        headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|location| self.gitlab.join(location).ok())
            .is_some_and(|target| {
                target.origin() == self.gitlab.origin() && !target.path().contains("/users/sign_in")
            })
    }
}

impl Deadline {
    pub(crate) fn new(time: Duration, cancel: Cancel) -> Self {
        Self {
            end: Instant::now() + time,
            cancel,
        }
    }

    pub(crate) fn check(&self) -> Result<(), FetchError> {
        if self.cancel.is_cancelled() {
            Err(FetchError::Cancelled)
        } else if Instant::now() >= self.end {
            Err(FetchError::TooLarge(
                "it took longer than the time that one fetch may take".into(),
            ))
        } else {
            Ok(())
        }
    }
}

fn down(error: reqwest::Error) -> FetchError {
    let why = if error.is_timeout() {
        "it took too long to answer".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        error.without_url().to_string()
    };
    FetchError::Down {
        why,
        retry_after: None,
    }
}

/// A body that ends in an error at the deadline, or when the budget of bytes is used up.
pub(crate) struct Body<'a> {
    response: Response,
    deadline: &'a Deadline,
    /// What may still come, over all requests of a fetch.
    left: &'a mut u64,
    failed: Option<FetchError>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(response: Response, deadline: &'a Deadline, left: &'a mut u64) -> Self {
        Self {
            response,
            deadline,
            left,
            failed: None,
        }
    }

    /// What made reading fail: the reason kept here, or the transport's.
    pub(crate) fn failure(&mut self, error: &std::io::Error) -> FetchError {
        self.failed.take().unwrap_or_else(|| transport(error))
    }
}

/// A failure of the transport while a body was read.
fn transport(error: &std::io::Error) -> FetchError {
    let why = if error.kind() == std::io::ErrorKind::UnexpectedEof {
        "the answer broke off".to_owned()
    } else if error.kind() == std::io::ErrorKind::TimedOut {
        "it stopped in the middle of an answer".to_owned()
    } else {
        // reqwest's text has no address in it here: it tells about the body alone.
        "the connection was lost in the middle of an answer".to_owned()
    };
    FetchError::Down {
        why,
        retry_after: None,
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let stop = |body: &mut Self, reason| {
            body.failed = Some(reason);
            Err(std::io::Error::other("stopped"))
        };
        if let Err(reason) = self.deadline.check() {
            return stop(self, reason);
        }
        let read = self.response.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => *self.left = left,
            None => {
                return stop(
                    self,
                    FetchError::TooLarge("more bytes came than one fetch may take".into()),
                );
            }
        }
        Ok(read)
    }
}
