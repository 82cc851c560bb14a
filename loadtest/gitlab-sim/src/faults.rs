use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    /// `/api/v4`.
    Api,
    /// Git over HTTP.
    Git,
}

/// One way to misbehave. Faults are tried in order, the first that fits strikes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// See [`Surface`].
    pub on: Surface,
    /// Only requests about this project.
    #[serde(default)]
    pub project: Option<u32>,
    /// Only requests whose path has this in it.
    #[serde(default)]
    pub path: Option<String>,
    /// Wait first.
    #[serde(default)]
    pub delay_ms: u64,
    /// Answer with this status instead.
    #[serde(default)]
    pub status: Option<u16>,
    /// With a `Retry-After` of this many seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// Answer with a page of HTML instead.
    #[serde(default)]
    pub garbage: bool,
    /// Break the answer off after this many bytes.
    #[serde(default)]
    pub break_after: Option<u64>,
    /// Strike this often, then never again; None: always.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Fault {
    /// A fault that does nothing yet.
    pub fn on(surface: Surface) -> Self {
        Self {
            on: surface,
            project: None,
            path: None,
            delay_ms: 0,
            status: None,
            retry_after: None,
            garbage: false,
            break_after: None,
            times: None,
        }
    }

    /// Answers with a status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// Waits first.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self {
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            ..self
        }
    }

    /// Strikes only so often.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }
}

/// How hooks misbehave.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookFaults {
    /// Lose every n-th.
    pub drop_every: Option<u32>,
    /// Send every n-th twice.
    pub double_every: Option<u32>,
    /// Hold every n-th back until the next one was sent.
    pub swap_every: Option<u32>,
    /// Wait before each.
    pub delay_ms: u64,
}

/// Faults that wait to strike.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn set(&mut self, faults: Vec<Fault>) {
        self.0 = faults;
    }

    pub(crate) fn strike(&mut self, surface: Surface, project: Option<u32>, path: &str) -> Option<Fault> {
        let index = self.0.iter().position(|fault| {
            fault.on == surface
                && fault.times != Some(0)
                && (fault.project.is_none() || fault.project == project)
                && fault.path.as_deref().is_none_or(|part| path.contains(part))
        })?;
        let fault = self.0.get_mut(index)?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_wear_off() {
        let mut faults = Faults::default();
        faults.set(vec![Fault {
            project: Some(1),
            ..Fault::on(Surface::Git).status(502).times(1)
        }]);
        assert!(faults.strike(Surface::Api, Some(1), "/").is_none());
        assert!(faults.strike(Surface::Git, Some(2), "/").is_none());
        assert!(faults.strike(Surface::Git, Some(1), "/").is_some());
        assert!(faults.strike(Surface::Git, Some(1), "/").is_none());
    }
}
