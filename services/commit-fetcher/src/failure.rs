//! What comes of a look that could not be carried out.

use bus::BusError;
use events::EncodeError;
use model::{Outcome, Owner, Reason};

use crate::edges::{FetchError, Trouble};
use crate::publish::PublishError;

/// Why a write of a look failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Tripped(#[from] runtime::Tripped),
    #[error("{NOT_OWNED}")]
    NotOwned,
}

pub(crate) const NOT_OWNED: &str = "the partition was given to another member";

pub(crate) fn failed(error: WriteError) -> (&'static str, Outcome) {
    let trouble = match error {
        WriteError::Publish(PublishError::Content(FetchError::Trouble(trouble))) => trouble,
        other => Trouble::Ours(with_causes(&other)),
    };
    let after = trouble.after();
    (
        trouble.code(),
        Outcome::Retry {
            after,
            owner: trouble.owner(),
            why: trouble.to_string(),
        },
    )
}

/// Failures of a write that trying again does not help.
pub(crate) fn refusal(error: &WriteError) -> Option<Reason> {
    match error {
        WriteError::Publish(PublishError::Content(FetchError::Rejected(reason))) => Some(reason.clone()),
        WriteError::Bus(BusError::TooLarge { bytes, limit, .. }) => Some(too_large(*bytes, *limit)),
        _ => None,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(crate) fn retry_us(why: impl Into<String>) -> Outcome {
    Outcome::Retry {
        after: None,
        owner: Owner::Us,
        why: why.into(),
    }
}

fn too_large(bytes: usize, limit: usize) -> Reason {
    Reason {
        code: "record-too-large",
        owner: Owner::Caller,
        message: format!(
            "what is known of the project makes a record of {bytes} bytes and {limit} are allowed: it has too many members or links"
        ),
    }
}
