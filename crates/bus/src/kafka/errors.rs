use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::BusError;

/// The broker, or the library, says no.
#[derive(Debug, thiserror::Error)]
#[error("kafka: {what} failed: {why}")]
pub(super) struct Refusal {
    pub(super) what: &'static str,
    pub(super) why: String,
    pub(super) code: Option<Code>,
}

impl Refusal {
    pub(super) fn new(what: &'static str, error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code();
        let why = code.map_or_else(|| error.to_string(), |code| code.to_string());
        Self { what, why, code }
    }

    /// Only members may store positions of a group that has any.
    pub(super) fn is_group_in_use(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::UnknownMemberId
                    | Code::NonEmptyGroup
                    | Code::RebalanceInProgress
                    | Code::IllegalGeneration
            )
        )
    }
}

/// Can waiting help?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The same will work when a broker is back, or has caught up.
    Passing,
    /// Somebody has to change credentials or rights.
    Refused,
    /// Somebody else has taken this member's place.
    Fenced,
    /// The disk of a broker.
    Disk,
}

/// Sorts what brokers and the library say. What is not known is taken for passing: trying again does no harm.
pub(super) fn kind(code: Code) -> Kind {
    match code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::SecurityDisabled
        | Code::PolicyViolation
        | Code::InvalidConfig
        | Code::InvalidReplicationFactor => Kind::Refused,
        Code::FencedInstanceId | Code::Fenced | Code::UnreleasedInstanceId => Kind::Fenced,
        Code::KafkaStorageError => Kind::Disk,
        _ => Kind::Passing,
    }
}

impl From<Refusal> for BusError {
    fn from(refusal: Refusal) -> Self {
        match refusal.code.map_or(Kind::Passing, kind) {
            Kind::Passing => Self::Unavailable(refusal.into()),
            Kind::Refused => Self::Refused(refusal.into()),
            Kind::Fenced => Self::Fenced,
            Kind::Disk => Self::Full(refusal.into()),
        }
    }
}

/// An error of the library as one of the bus.
pub(super) fn bus_error(what: &'static str, error: &KafkaError) -> BusError {
    Refusal::new(what, error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_may_not() {
        let told = |code| bus_error("reading", &KafkaError::MessageConsumption(code));
        assert!(told(Code::BrokerTransportFailure).is_transient());
        assert!(told(Code::NotEnoughReplicas).is_transient());
        assert!(told(Code::MessageTimedOut).is_transient());
        assert!(told(Code::KafkaStorageError).is_transient());
        assert!(!told(Code::TopicAuthorizationFailed).is_transient());
        assert!(matches!(told(Code::FencedInstanceId), BusError::Fenced));
    }
}
