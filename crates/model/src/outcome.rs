use std::fmt;
use std::time::Duration;

/// What became of one record at a worker. Every failure is one of the last two, and has an owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Settled; also when there was nothing to do.
    Done,
    /// Try again, not before `after` from now; without it the worker's own back-off decides.
    Retry {
        /// The least wait, e.g. from a `Retry-After` header.
        after: Option<Duration>,
        /// Who has to get well first.
        owner: Owner,
        /// One line for logs and status; no secret in it.
        why: String,
    },
    /// Will never succeed as it is: parked with the reason and the original bytes.
    Reject(Reason),
}

/// Who has to act on a failure. A metric label, and the pager's rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// What was sent is wrong: the repository, the hook.
    Caller,
    /// GitLab is down, slow, or refuses us.
    Upstream,
    /// Our disk, bus, or a defect of ours.
    Us,
}

impl Owner {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record was rejected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// A stable word for metrics and filters, e.g. `migration-needed`.
    pub code: &'static str,
    /// Whose it is.
    pub owner: Owner,
    /// For people: what was wrong, where, and what to do.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
