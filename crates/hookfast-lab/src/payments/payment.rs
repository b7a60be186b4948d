//! A payment, the message that announces it, and how it stands as time passes. Pure.

use serde_json::{Value, json};

/// Of so many payments one fails.
const FAILING: u32 = 5;

/// A payment. What becomes of it is known from the start; it only takes a while to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) id: String,
    /// What it is called at the bank.
    pub(super) reference: String,
    /// Its message's own id.
    pub(super) webhook_id: String,
    /// It will fail.
    pub(super) fails: bool,
    pub(super) created_ms: i64,
}

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Accepted,
    Processing,
    Completed,
    Failed,
}

impl Status {
    /// From when it was made alone, so that it is the same whoever is asked, and after a restart.
    pub(super) fn of(payment: &Payment, now_ms: i64, settle_ms: u64) -> Self {
        let age_ms = u64::try_from(now_ms.saturating_sub(payment.created_ms)).unwrap_or(0);
        match (age_ms, payment.fails) {
            (age_ms, _) if age_ms < settle_ms / 3 => Self::Accepted,
            (age_ms, _) if age_ms < settle_ms => Self::Processing,
            (_, false) => Self::Completed,
            (_, true) => Self::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl Payment {
    pub(super) fn random(now_ms: i64) -> Self {
        Self {
            id: format!("PAY{:016X}", fastrand::u64(..)),
            reference: format!("PY-{:06}", fastrand::u32(..1_000_000)),
            webhook_id: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            fails: fastrand::u32(..FAILING) == 0,
            created_ms: now_ms,
        }
    }

    fn created(&self) -> String {
        jiff::Timestamp::from_millisecond(self.created_ms).unwrap_or_default().to_string()
    }

    /// What the webhook says.
    pub(super) fn data(&self) -> Value {
        let event = if self.fails { Status::Failed } else { Status::Completed };
        json!({ "id": self.id, "payment": self.reference, "event": event.as_str(), "created": self.created() })
    }

    /// What asking says.
    pub(super) fn standing(&self, status: Status) -> Value {
        json!({ "id": self.id, "payment": self.reference, "status": status.as_str(), "created": self.created() })
    }

    /// The message of the channel and of the stream.
    pub(super) fn message(&self, url: &str) -> String {
        json!({ "url": url, "webhookId": self.webhook_id, "data": self.data() }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_moves_with_time_alone() {
        let payment = Payment { fails: false, ..Payment::random(1_700_000_000_000) };
        let at = |ms: i64| Status::of(&payment, payment.created_ms + ms, 3000);
        let expected = [Status::Accepted, Status::Accepted, Status::Processing, Status::Completed, Status::Completed];
        assert_eq!([-5, 999, 1000, 3000, 9_999_999].map(at), expected);
        let failing = Payment { fails: true, ..payment };
        assert_eq!(Status::of(&failing, failing.created_ms + 3000, 3000), Status::Failed);
        assert_eq!(failing.standing(Status::Failed)["created"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn its_message_is_what_a_redis_source_reads() {
        let payment = Payment::random(0);
        let message: Value = serde_json::from_str(&payment.message("http://a.example/\"x")).unwrap();
        assert_eq!(message["url"], "http://a.example/\"x");
        assert_eq!(message["webhookId"].as_str().unwrap().len(), 32);
        assert!(message["data"]["id"].as_str().unwrap().starts_with("PAY"));
    }
}
