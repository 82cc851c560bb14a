use std::time::Duration;

use async_trait::async_trait;
use model::{ProjectId, Secret, UserId};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::project::{Member, MemberBody, Project, ProjectBody};
use crate::{GitLabError, project};

/// What the platform asks GitLab. `token: None` means the service's own one.
#[async_trait]
pub trait GitLab: Send + Sync {
    /// What the project is.
    async fn project(&self, id: ProjectId, token: Option<&Secret>) -> Result<Project, GitLabError>;

    /// Everybody with access, directly or by a group: active ones only, sorted by user id.
    async fn members(&self, id: ProjectId, token: Option<&Secret>) -> Result<Vec<Member>, GitLabError>;

    /// GitLab's version, e.g. `16.11.6-ee`: the cheapest call that needs a good token.
    async fn version(&self) -> Result<String, GitLabError>;
}

/// Where GitLab is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `gitlab.url`: scheme, host, and a path if GitLab is installed below one.
    pub url: Url,
    /// `gitlab.token`, used where the caller hands in none.
    pub token: Option<Secret>,
    /// For a connection.
    pub connect_timeout: Duration,
    /// For a whole answer.
    pub timeout: Duration,
    /// Largest answer, in bytes.
    pub body_limit: usize,
    /// Most members of one project.
    pub members_limit: usize,
}

impl ClientSettings {
    /// Usual bounds.
    pub fn new(url: Url, token: Option<Secret>) -> Self {
        Self {
            url,
            token,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            body_limit: 2 << 20,
            members_limit: 100_000,
        }
    }
}

/// The header that a token goes in. GitLab takes its own tokens in either, those of OAuth2 as a bearer only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenHeader {
    /// `PRIVATE-TOKEN: …`
    Private,
    /// `Authorization: Bearer …`
    Bearer,
}

/// Whose token it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// The user; for tokens of projects and groups their bot.
    pub id: UserId,
    /// Neither blocked nor deactivated nor waiting for approval.
    pub active: bool,
    /// Sees internal projects as a member only.
    pub external: bool,
}

/// GitLab's REST API, version 4. Talks to the configured host alone: redirects are not followed.
#[derive(Clone)]
pub struct RestClient {
    http: reqwest::Client,
    settings: ClientSettings,
}

impl std::fmt::Debug for RestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestClient")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

const PER_PAGE: usize = 100;

impl RestClient {
    /// Opens no connection yet. Fails only where TLS cannot be set up or the URL is not http(s).
    pub fn new(settings: ClientSettings) -> Result<Self, GitLabError> {
        if !matches!(settings.url.scheme(), "http" | "https") || settings.url.host_str().is_none() {
            return Err(GitLabError::Garbage(format!(
                "gitlab.url is not an http or https URL: {}",
                settings.url
            )));
        }
        // Somebody else in the process may have installed a provider before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .referer(false)
            .user_agent(concat!("renku-graph/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                GitLabError::Garbage(format!(
                    "the HTTP client cannot be set up: {}",
                    error.without_url()
                ))
            })?;
        Ok(Self { http, settings })
    }

    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, GitLabError> {
        let mut url = self.settings.url.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| GitLabError::Garbage("gitlab.url cannot have a path".into()))?
            .pop_if_empty()
            .extend(["api", "v4"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// One GET: the parsed body and the headers. `what` is for messages.
    async fn get<T: DeserializeOwned>(
        &self,
        url: Url,
        token: Option<&Secret>,
        what: &str,
    ) -> Result<(T, HeaderMap), GitLabError> {
        let mut request = self.http.get(url);
        if let Some(token) = token.or(self.settings.token.as_ref()) {
            request = request.header("PRIVATE-TOKEN", sensitive(token.expose())?);
        }
        self.send(request, what).await
    }

    /// Whose a token is: `GET /user` with it. `Refused`: nobody's, or it may not read the user's projects (a token of the scope
    /// `read_user` may tell who he is, but GitLab would show it no project).
    pub async fn account(&self, token: &Secret, header: TokenHeader) -> Result<Account, GitLabError> {
        #[derive(serde::Deserialize)]
        struct Body {
            id: UserId,
            state: String,
            #[serde(default)]
            external: bool,
        }
        let (name, value) = match header {
            TokenHeader::Private => ("PRIVATE-TOKEN", sensitive(token.expose())?),
            TokenHeader::Bearer => ("Authorization", sensitive(&format!("Bearer {}", token.expose()))?),
        };
        let ask = |address: Url| self.http.get(address).header(name, value.clone());
        let (body, _) = self
            .send::<Body>(ask(self.address(&["user"], &[])?), "the user of a token")
            .await?;
        let one = [("per_page", "1"), ("simple", "true"), ("membership", "true")];
        let projects = ask(self.address(&["projects"], &one)?);
        self.send::<Vec<serde::de::IgnoredAny>>(projects, "the projects of a token")
            .await?;
        Ok(Account {
            id: body.id,
            active: body.state == "active",
            external: body.external,
        })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<(T, HeaderMap), GitLabError> {
        let mut response = request.send().await.map_err(down)?;
        let headers = response.headers().clone();
        sort_status(response.status(), &headers, what)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(down)? {
            if body.len() + chunk.len() > self.settings.body_limit {
                return Err(GitLabError::Garbage(format!(
                    "the answer about {what} is larger than {} bytes",
                    self.settings.body_limit
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let parsed = serde_json::from_slice(&body).map_err(|error| {
            GitLabError::Garbage(format!("the answer about {what} is not as documented: {error}"))
        })?;
        Ok((parsed, headers))
    }
}

#[async_trait]
impl GitLab for RestClient {
    async fn project(&self, id: ProjectId, token: Option<&Secret>) -> Result<Project, GitLabError> {
        let what = format!("project {id}");
        let url = self.address(&["projects", &id.to_string()], &[])?;
        let (body, _) = self.get::<ProjectBody>(url, token, &what).await?;
        let project = Project::try_from(body)?;
        if project.id != id {
            return Err(GitLabError::Garbage(format!(
                "asked for {what} and was told of {}",
                project.id
            )));
        }
        Ok(project)
    }

    async fn members(&self, id: ProjectId, token: Option<&Secret>) -> Result<Vec<Member>, GitLabError> {
        let what = format!("the members of project {id}");
        let (id, per_page) = (id.to_string(), PER_PAGE.to_string());
        let mut bodies: Vec<MemberBody> = Vec::new();
        let mut page = 1_u32;
        loop {
            let query = [("per_page", per_page.as_str()), ("page", &page.to_string())];
            let url = self.address(&["projects", &id, "members", "all"], &query)?;
            let (mut part, headers) = self.get::<Vec<MemberBody>>(url, token, &what).await?;
            let ended = part.is_empty();
            bodies.append(&mut part);
            if bodies.len() > self.settings.members_limit {
                return Err(GitLabError::Garbage(format!(
                    "{what} are more than {}",
                    self.settings.members_limit
                )));
            }
            match next_page(&headers) {
                Some(next) if next > page && !ended => page = next,
                Some(next) if !ended => {
                    return Err(GitLabError::Garbage(format!(
                        "after page {page} of {what} comes page {next}"
                    )));
                }
                _ => return Ok(project::members(bodies)),
            }
        }
    }

    async fn version(&self) -> Result<String, GitLabError> {
        #[derive(serde::Deserialize)]
        struct Body {
            version: String,
        }
        let (body, _) = self
            .get::<Body>(self.address(&["version"], &[])?, None, "its version")
            .await?;
        Ok(body.version)
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, GitLabError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| GitLabError::Garbage("the token has characters that no token has".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn next_page(headers: &HeaderMap) -> Option<u32> {
    headers.get("x-next-page")?.to_str().ok()?.trim().parse().ok()
}

/// An error of the transport. The URL stays out: messages may go to people who must not see the host's inside name.
fn down(error: reqwest::Error) -> GitLabError {
    let why = if error.is_timeout() {
        "it took too long to answer".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        error.without_url().to_string()
    };
    GitLabError::Down {
        why,
        retry_after: None,
    }
}

fn sort_status(status: StatusCode, headers: &HeaderMap, what: &str) -> Result<(), GitLabError> {
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
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(GitLabError::Refused(status.as_u16())),
        404 | 410 => Err(GitLabError::NotFound(what.to_owned())),
        429 => Err(GitLabError::Busy {
            retry_after: retry_after(),
        }),
        408 | 500..=599 => Err(GitLabError::Down {
            why: format!("status {} for {what}", status.as_u16()),
            retry_after: retry_after(),
        }),
        300..=399 => Err(GitLabError::Garbage(format!(
            "it redirects the question about {what}: set gitlab.url to the address that it redirects to"
        ))),
        other => Err(GitLabError::Garbage(format!("status {other} for {what}"))),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
