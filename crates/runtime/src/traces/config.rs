use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Section `[traces]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TracesConfig {
    /// A collector that speaks OTLP over HTTP, e.g. `http://127.0.0.1:4318`. Empty: spans are not told.
    pub endpoint: String,
    /// Which share of the traces that begin here is told, 0 to 1. One that began elsewhere is told if its beginner said so.
    pub sample: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            sample: 1.0,
        }
    }
}

/// Settings that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("traces.{key}: {why}")]
pub struct TracesFault {
    /// The key in the section.
    pub key: &'static str,
    /// What is needed.
    pub why: &'static str,
}

impl TracesConfig {
    /// Can these be used?
    pub fn check(&self) -> Result<(), TracesFault> {
        if self.is_on() && self.url().is_none() {
            return Err(TracesFault {
                key: "endpoint",
                why: "a URL with http:// or https:// and without user, query and fragment is needed, e.g. http://127.0.0.1:4318",
            });
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(TracesFault {
                key: "sample",
                why: "a share from 0 to 1 is needed",
            });
        }
        Ok(())
    }

    pub(super) fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Where spans are sent: `v1/traces` below the endpoint.
    pub(super) fn url(&self) -> Option<Url> {
        let mut url = Url::parse(&self.endpoint).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return None;
        }
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(["v1", "traces"]);
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(endpoint: &str, sample: f64) -> TracesConfig {
        TracesConfig {
            endpoint: endpoint.to_owned(),
            sample,
        }
    }

    #[test]
    fn spans_go_below_the_endpoint() {
        for endpoint in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/"] {
            let url = with(endpoint, 1.0).url().unwrap();
            assert_eq!(url.as_str(), "http://127.0.0.1:4318/v1/traces");
        }
        let below = with("https://otel.example.org/in", 0.5);
        assert_eq!(
            below.url().unwrap().as_str(),
            "https://otel.example.org/in/v1/traces"
        );
        assert_eq!(below.check(), Ok(()));
        assert_eq!(TracesConfig::default().check(), Ok(()));
    }

    #[test]
    fn nonsense_is_named() {
        for bad in [
            "127.0.0.1:4318",
            "grpc://a:1",
            "http://u:p@a",
            "http://a?x=1",
            "http://",
        ] {
            assert_eq!(with(bad, 1.0).check().unwrap_err().key, "endpoint", "{bad}");
        }
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(with("", bad).check().unwrap_err().key, "sample");
        }
    }
}
