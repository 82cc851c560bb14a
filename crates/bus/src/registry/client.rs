use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// What the registry's API speaks.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(10);

/// The registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address is none.
    #[error("bus.registry_url is not an http or https URL without user and password")]
    Address,
    /// Not reached, or no proper answer.
    #[error("the schema registry does not answer")]
    Unavailable(#[source] reqwest::Error),
    /// It said no.
    #[error("the schema registry answered {status} to {what}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It is not the registry that the log was written with.
    #[error(
        "the schema registry gives number {id} to another schema than the one that the log was written with: it was made anew or is another one; restore it"
    )]
    Replaced {
        /// A number that the log has.
        id: u32,
    },
    /// Its numbers could not be kept.
    #[error("the registry's numbers cannot be kept in {path}")]
    Cache {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Confluent's API, which Apicurio has at `/apis/ccompat/v7`.
#[derive(Debug, Clone)]
pub(super) struct RegistryClient {
    http: Client,
    url: Url,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Found {
    schema: String,
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

impl RegistryClient {
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        // Paths are joined to it: without the slash the last part would be replaced.
        let parsed = Url::parse(&format!("{}/", url.trim_end_matches('/')))
            .ok()
            .filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.host_str().is_some())
            .filter(|parsed| parsed.username().is_empty() && parsed.password().is_none());
        // Not repeated: it may hold a password.
        let url = parsed.ok_or(RegistryError::Address)?;
        // Somebody else in the process may have installed a provider before: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(WITHIN)
            .build()
            .map_err(RegistryError::Unavailable)?;
        Ok(Self { http, url })
    }

    /// The number of this schema under this subject; registers it if it is not there.
    pub async fn register(&self, subject: &str, text: &str) -> Result<u32, RegistryError> {
        let url = self.at(&["subjects", subject, "versions"])?;
        let body = json!({ "schemaType": "AVRO", "schema": text }).to_string();
        let request = self.http.post(url).header("content-type", MEDIA_TYPE).body(body);
        let answer = request.send().await.map_err(RegistryError::Unavailable)?;
        Ok(read::<Registered>(answer, subject).await?.id)
    }

    /// From now on the registry refuses a version of the subject that some other version cannot read, either way.
    pub async fn keep_compatible(&self, subject: &str) -> Result<(), RegistryError> {
        let url = self.at(&["config", subject])?;
        let body = json!({ "compatibility": "FULL_TRANSITIVE" }).to_string();
        let request = self.http.put(url).header("content-type", MEDIA_TYPE).body(body);
        let answer = request.send().await.map_err(RegistryError::Unavailable)?;
        read::<serde_json::Value>(answer, subject).await.map(|_| ())
    }

    /// The text of the schema with this number.
    pub async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        let url = self.at(&["schemas", "ids", &id.to_string()])?;
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .map_err(RegistryError::Unavailable)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(read::<Found>(answer, "a schema's number").await?.schema))
    }

    fn at(&self, path: &[&str]) -> Result<Url, RegistryError> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| RegistryError::Address)?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }
}

async fn read<T: DeserializeOwned>(answer: Response, what: &str) -> Result<T, RegistryError> {
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(|error| {
            if error.is_decode() {
                RegistryError::Refused {
                    what: what.to_owned(),
                    status: status.as_u16(),
                    message: "the answer is not as Confluent's API has it".to_owned(),
                }
            } else {
                RegistryError::Unavailable(error)
            }
        });
    }
    if status.is_server_error()
        && let Err(error) = answer.error_for_status_ref()
    {
        return Err(RegistryError::Unavailable(error));
    }
    let text = answer.text().await.unwrap_or_default();
    let message = serde_json::from_str::<Told>(&text)
        .map_or_else(|_| text.chars().take(300).collect(), |told| told.message);
    Err(RegistryError::Refused {
        what: what.to_owned(),
        status: status.as_u16(),
        message,
    })
}
