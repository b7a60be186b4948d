//! What an error of the client means to a caller. Pure.

use hookfast_core::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A full buffer empties within one round trip of the brokers, so it makes sense to come back soon.
const RETRY_AFTER_MS: u64 = 1_000;

/// The error of one call, which `what` names: `appending`, `reading`.
pub(super) fn of(what: &str, error: &KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else {
        return Error::Unavailable { reason: format!("{what} failed: {error}") };
    };
    match code {
        Code::QueueFull => {
            Error::Overloaded { reason: "the buffer for the log is full", retry_after_ms: RETRY_AFTER_MS }
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            Error::invalid("record", "larger than the brokers take (the topic's max.message.bytes)")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Error::NotFound { what: "topic of the log" }
        }
        Code::InvalidTopic => Error::invalid("topic", "the brokers do not take this name"),
        _ if is_terminal(code) => Error::Terminal { reason: format!("{what} failed: {code}") },
        _ => Error::Unavailable { reason: format!("{what} failed: {code}") },
    }
}

/// Will the same call fail until somebody changes the cluster or the settings?
fn is_terminal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::UnsupportedVersion
            | Code::PolicyViolation
            | Code::InvalidGroupId
            | Code::InvalidRecord
            | Code::InconsistentGroupProtocol
            | Code::InvalidRequiredAcks
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::ErrorKind;

    #[test]
    fn callers_are_told_what_they_can_do() {
        let kind = |code| of("appending", &KafkaError::MessageProduction(code)).kind();
        assert_eq!(kind(RDKafkaErrorCode::QueueFull), ErrorKind::Overloaded);
        assert_eq!(kind(RDKafkaErrorCode::MessageTimedOut), ErrorKind::Retryable);
        assert_eq!(kind(RDKafkaErrorCode::NotEnoughReplicas), ErrorKind::Retryable);
        assert_eq!(kind(RDKafkaErrorCode::PurgeInflight), ErrorKind::Retryable);
        assert_eq!(kind(RDKafkaErrorCode::Fatal), ErrorKind::Retryable);
        assert_eq!(kind(RDKafkaErrorCode::MessageSizeTooLarge), ErrorKind::Invalid);
        assert_eq!(kind(RDKafkaErrorCode::UnknownTopic), ErrorKind::NotFound);
        assert_eq!(kind(RDKafkaErrorCode::TopicAuthorizationFailed), ErrorKind::Terminal);
        assert_eq!(of("reading", &KafkaError::NoMessageReceived).kind(), ErrorKind::Retryable);
    }
}
