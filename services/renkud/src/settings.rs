use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use model::Secret;
use runtime::config::Loaded;
use runtime::http::{AdminExposure, PublicExposure, TlsFiles};
use runtime::telemetry::LogConfig;
use runtime::traces::TracesConfig;
use serde::{Deserialize, Serialize};

use crate::blob_settings::BlobSettings;
use crate::bus_settings::BusSettings;
use crate::role::Role;

/// All settings of the executable. Each section's type belongs to the role or library that reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The folder with the log, the blobs, the views and the mirrors.
    pub data: PathBuf,
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener for `/metrics`, `/health/*` and `/admin/*`.
    pub admin_listen: SocketAddr,
    /// How users reach this installation, e.g. `https://renku.example.org`. Empty: `http://` and the public listener.
    pub public_url: String,
    /// Section `[rdf]`.
    pub rdf: RdfSettings,
    /// Section `[gitlab]`.
    pub gitlab: GitLabSettings,
    /// Section `[hooks]`.
    pub hooks: webhook_service::Config,
    /// Section `[bus]`.
    pub bus: BusSettings,
    /// Section `[blobs]`.
    pub blobs: BlobSettings,
    /// Section `[fetcher]`.
    pub fetcher: commit_fetcher::Config,
    /// Section `[generator]`.
    pub generator: triple_generator::Config,
    /// Section `[store]`.
    pub store: graph_writer::Config,
    /// Section `[limits]`.
    pub limits: query_service::Config,
    /// Section `[auth]`.
    pub auth: auth::Config,
    /// Section `[admin]`.
    pub admin: AdminSettings,
    /// Section `[log]`.
    pub log: LogConfig,
    /// Section `[traces]`.
    pub traces: TracesConfig,
}

/// Section `[rdf]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RdfSettings {
    /// The host in every IRI that is made here. Empty: the host of `public_url`. It is part of the views' format: a change
    /// rebuilds them.
    pub host: String,
}

/// Section `[gitlab]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GitLabSettings {
    /// GitLab's address, e.g. `https://gitlab.example.org`. No other host is ever asked.
    pub url: String,
    /// The service's token: used where a project has none of its own. Scopes `read_api` and `read_repository`.
    pub token: Option<Secret>,
}

/// Section `[admin]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminSettings {
    /// Asked for on the admin listener (`Authorization: Bearer …`); needed off loopback.
    pub token: Option<Secret>,
    /// Certificate and key of the admin listener; needed off loopback.
    pub tls: Option<TlsFiles>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "./data".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 8081).into(),
            public_url: String::new(),
            rdf: RdfSettings::default(),
            gitlab: GitLabSettings::default(),
            hooks: webhook_service::Config::default(),
            bus: BusSettings::default(),
            blobs: BlobSettings::default(),
            fetcher: commit_fetcher::Config::default(),
            generator: triple_generator::Config::default(),
            store: graph_writer::Config::default(),
            limits: query_service::Config::default(),
            auth: auth::Config::default(),
            admin: AdminSettings::default(),
            log: LogConfig::default(),
            traces: TracesConfig::default(),
        }
    }
}

impl Settings {
    /// How users reach this installation.
    pub fn public_url(&self) -> String {
        if self.public_url.is_empty() {
            format!("http://{}", self.listen)
        } else {
            self.public_url.trim_end_matches('/').to_owned()
        }
    }

    /// The host (and port, if it is not the scheme's own) in every IRI.
    pub fn rdf_host(&self) -> Result<String> {
        if !self.rdf.host.is_empty() {
            return Ok(self.rdf.host.clone());
        }
        if self.public_url.is_empty() {
            // Not the listener's address: names must stay when the port changes, and be the same in every process.
            return Ok("localhost".to_owned());
        }
        host_of(&self.public_url())
    }

    /// Is there anybody whose word is taken for who somebody is?
    fn tells_users_apart(&self) -> bool {
        let auth = &self.auth;
        !auth.issuer.is_empty()
            || !auth.gateway_keys.is_empty()
            || (auth.gitlab_tokens && !self.gitlab.url.is_empty())
    }

    /// Are these settings fit for the roles? Every error names the key and where it came from.
    pub fn check(loaded: &Loaded<Self>, roles: &[Role]) -> Result<()> {
        let settings = &loaded.settings;
        let blame = |key: &str, why: String| loaded.invalid(key, why);
        settings
            .log
            .check()
            .map_err(|error| blame("log.filter", error.to_string()))?;
        let traces = settings.traces.check();
        traces.map_err(|fault| blame(&format!("traces.{}", fault.key), fault.why.to_owned()))?;
        if !settings.public_url.is_empty() {
            host_of(&settings.public_url).map_err(|error| blame("public_url", format!("{error:#}")))?;
        }
        settings
            .rdf_host()?
            .parse::<rdf::Host>()
            .map_err(|error| blame("rdf.host", error.to_string()))?;
        AdminExposure {
            address: settings.admin_listen,
            token: settings.admin.token.as_ref(),
            tls: settings.admin.tls.as_ref(),
        }
        .check()
        .map_err(|error| blame("admin_listen", error.to_string()))?;
        PublicExposure {
            address: settings.listen,
            identity: settings.tells_users_apart(),
        }
        .check()
        .map_err(|error| blame("listen", error.to_string()))?;
        if settings.listen == settings.admin_listen && settings.listen.port() != 0 {
            let why = format!(
                "the public listener has {} too: choose another port",
                settings.listen
            );
            return Err(blame("admin_listen", why).into());
        }
        let auth = settings.auth.check();
        auth.map_err(|fault| blame(&format!("auth.{}", fault.key), fault.why.to_owned()))?;
        let bus = settings.bus.check();
        bus.map_err(|fault| blame(&format!("bus.{}", fault.key), fault.why.to_owned()))?;
        let blobs = settings.blobs.folder();
        blobs.map_err(|fault| blame("blobs.url", fault.to_string()))?;
        Self::check_roles(loaded, roles)
    }

    fn check_roles(loaded: &Loaded<Self>, roles: &[Role]) -> Result<()> {
        let settings = &loaded.settings;
        let blame = |key: &str, why: String| loaded.invalid(key, why);
        if roles.contains(&Role::WebhookService) {
            settings
                .hooks
                .check()
                .map_err(|fault| blame("hooks.secrets", fault.to_string()))?;
        }
        if roles.contains(&Role::CommitFetcher) {
            if settings.gitlab.url.is_empty() {
                let why = "GitLab's address is needed, e.g. https://gitlab.example.org".to_owned();
                return Err(blame("gitlab.url", why).into());
            }
            host_of(&settings.gitlab.url).map_err(|error| blame("gitlab.url", format!("{error:#}")))?;
            if let Some(token) = &settings.gitlab.token
                && !is_token(token)
            {
                let why =
                    "a token is one line of printable ASCII without spaces: check for a line break or quotes";
                return Err(blame("gitlab.token", why.to_owned()).into());
            }
        }
        let fetcher = settings.fetcher.check();
        fetcher.map_err(|fault| blame(&format!("fetcher.{}", fault.key), fault.needed.to_owned()))?;
        let generator = settings.generator.check();
        generator.map_err(|fault| blame(&format!("generator.{}", fault.key), fault.needed.to_owned()))?;
        let store = settings.store.check();
        store.map_err(|fault| blame(&format!("store.{}", fault.key), fault.why.to_owned()))?;
        let limits = settings.limits.check();
        limits.map_err(|fault| blame(&format!("limits.{}", fault.key), fault.why.to_owned()))?;
        Ok(())
    }
}

/// The authority of an `http` or `https` URL.
fn host_of(url: &str) -> Result<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .context("a URL that starts with https:// or http:// is needed")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    anyhow::ensure!(is_host(authority), "a host name is needed after ://");
    Ok(authority.to_owned())
}

/// GitLab sends tokens back in a header: nothing else can be one.
fn is_token(token: &Secret) -> bool {
    let text = token.expose();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_host(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !text.is_empty() && text.len() <= 260 && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use runtime::config::Layers;

    use super::*;

    fn load(text: &str) -> Loaded<Settings> {
        Layers::new()
            .toml(Path::new("renku.toml"), text)
            .unwrap()
            .load()
            .unwrap()
    }

    fn refusal(text: &str) -> String {
        Settings::check(&load(text), Role::ALL).unwrap_err().to_string()
    }

    const FINE: &str =
        "hooks.secrets = [\"0123456789abcdef\"]\ngitlab.url = \"https://gitlab.example.org\"\n";

    #[test]
    fn defaults_need_gitlab_and_a_secret_only() {
        Settings::check(&load(FINE), Role::ALL).unwrap();
        assert_eq!(load(FINE).settings.rdf_host().unwrap(), "localhost");
        Settings::check(&load(""), &[Role::GraphWriter, Role::QueryService]).unwrap();
    }

    #[test]
    fn refusals_name_the_key() {
        for (text, beginning) in [
            ("", "hooks.secrets (from default): at least one secret"),
            (
                "hooks.secrets = [\"x\"]",
                "hooks.secrets (from renku.toml): secret number 1 is too short",
            ),
            (
                &format!("{FINE}listen = \"0.0.0.0:80\"\nauth.gitlab_tokens = false"),
                "listen (from renku.toml): the public listener 0.0.0.0:80",
            ),
            (
                &format!("{FINE}auth.algorithms = [\"HS256\"]"),
                "auth.algorithms (from renku.toml): RS256",
            ),
            (
                &format!("{FINE}admin_listen = \"0.0.0.0:81\""),
                "admin_listen (from renku.toml): the admin listener",
            ),
            (
                &format!("{FINE}admin_listen = \"127.0.0.1:8080\""),
                "admin_listen (from renku.toml): the public listener",
            ),
            (
                &format!("{FINE}public_url = \"renku.example.org\""),
                "public_url (from renku.toml): a URL that starts",
            ),
            (
                &format!("{FINE}rdf.host = \"a b\""),
                "rdf.host (from renku.toml): \"a b\" is not a host",
            ),
            (
                &format!("{FINE}gitlab.token = \"glpat-abc\\n\""),
                "gitlab.token (from renku.toml): a token is one line",
            ),
            (
                &format!("{FINE}blobs.url = \"s3://bucket\""),
                "blobs.url (from renku.toml): a folder is needed",
            ),
            (
                &format!("{FINE}traces.endpoint = \"127.0.0.1:4318\""),
                "traces.endpoint (from renku.toml): a URL with http://",
            ),
            (
                &format!("{FINE}traces.sample = 2"),
                "traces.sample (from renku.toml): a share from 0 to 1",
            ),
            (
                &format!("{FINE}log.filter = \"a=b=c\""),
                "log.filter (from renku.toml): log.filter is not understood",
            ),
        ] {
            let told = refusal(text);
            assert!(told.starts_with(beginning), "{told}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let shown = load(&format!(
            "{FINE}gitlab.token = \"glpat-abc\"\nadmin.token = \"t0p-secret-t0p-secret\""
        ))
        .show()
        .unwrap();
        assert!(
            !shown.contains("glpat") && !shown.contains("t0p") && !shown.contains("0123456789"),
            "{shown}"
        );
    }
}
