//! Structured logs on standard error. One voice: lower case, no full stop, dotted field names with units; a failure is
//! logged once, where it is handled; never a token and never a body.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What to show: a level, or directives as of `tracing-subscriber`, e.g. `info,bus=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// See [`LogConfig::filter`].
    #[error("log.filter is not understood: a level such as info, or target=level pairs, are needed")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process has set up logs before.
    #[error("logs are set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

impl LogConfig {
    /// Can the filter be read?
    pub fn check(&self) -> Result<(), TelemetryError> {
        EnvFilter::builder()
            .parse(&self.filter)
            .map(drop)
            .map_err(TelemetryError::Filter)
    }
}

/// Starts logging, and logs panics as errors with their place.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(TelemetryError::Filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    match config.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry
                .with(
                    tracing_subscriber::fmt::layer()
                        .with_writer(writer)
                        .with_ansi(colours),
                )
                .try_init()
        }
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_span_list(false)
                    .with_writer(writer),
            )
            .try_init(),
    }
    .map_err(TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(at, message, "panic");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        let with = |filter: &str| LogConfig {
            filter: filter.to_owned(),
            ..LogConfig::default()
        };
        assert!(with("info,bus=debug").check().is_ok());
        assert!(with("bus=loud=very").check().is_err());
    }
}
