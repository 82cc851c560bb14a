use std::fmt;
use std::str::FromStr;

use crate::{Position, ProjectId};

/// Where a hook's record went, and of which project it is. Travels in the header `Renku-Position`:
/// `renku.push-events.v1/3@42;project=7`.
///
/// A reader that gives it back gets an answer in which that project's record is taken into account. The project is
/// part of it because a project's records answer for its own positions only (see `events::Envelope::covers`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The position after the record.
    pub position: Position,
    /// The project; absent for positions of topics that views read themselves.
    pub project: Option<ProjectId>,
}

/// The header of a [`Receipt`].
pub const RECEIPT_HEADER: &str = "renku-position";

/// The text is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a Renku-Position: send back the header as it was given, e.g. renku.push-events.v1/3@42;project=7"
)]
pub struct NotAReceipt(String);

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.project {
            Some(project) => write!(f, "{};project={project}", self.position),
            None => self.position.fmt(f),
        }
    }
}

impl FromStr for Receipt {
    type Err = NotAReceipt;

    fn from_str(text: &str) -> Result<Self, NotAReceipt> {
        let bad = || NotAReceipt(text.chars().take(300).collect());
        let (position, project) = match text.trim().split_once(';') {
            None => (text.trim(), None),
            Some((position, parameter)) => {
                let id = parameter.trim().strip_prefix("project=").ok_or_else(bad)?;
                (position.trim(), Some(id.parse().map_err(|_| bad())?))
            }
        };
        Ok(Self {
            position: position.parse().map_err(|_| bad())?,
            project,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_read_back() {
        for text in ["renku.push-events.v1/3@42;project=7", "renku.projects.v1/0@1"] {
            assert_eq!(text.parse::<Receipt>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "a/1@1;", "a/1@1;project=0", "a/1@1;q=1"] {
            assert!(bad.parse::<Receipt>().is_err(), "{bad}");
        }
    }
}
