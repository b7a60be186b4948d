//! The event of the first system: something happened to an invoice. Reading it, and which of two is newer. Pure.

use crate::{Error, Result, UnixMs};
use serde::Deserialize;

/// Longest id or type in it.
const TEXT_CHARS_MAX: usize = 256;

/// What an event says of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceEvent {
    /// The event's own id.
    pub event_id: String,
    /// `CREATED`, `PENDING`, `PAID`, `FAILED`, or whatever else a sender says.
    pub event_type: String,
    /// When it happened, in microseconds since the epoch.
    pub timestamp_us: i64,
    /// What it happened to.
    pub invoice_id: String,
}

#[derive(Deserialize)]
struct Wire {
    event_id: String,
    event_type: String,
    timestamp: String,
    data: WireData,
}

#[derive(Deserialize)]
struct WireData {
    invoice_id: String,
}

impl InvoiceEvent {
    /// Reads `{"event_id", "event_type", "timestamp": RFC 3339, "data": {"invoice_id"}}`; other members are passed over.
    ///
    /// # Errors
    /// `Invalid` with the member, what was expected and what came.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let wire: Wire = serde_json::from_slice(body).map_err(|error| {
            let field = if error.is_data() { "body" } else { "(not JSON)" };
            Error::invalid(field, format!("expected {SHAPE}: {error}"))
        })?;
        for (field, text) in
            [("event_id", &wire.event_id), ("event_type", &wire.event_type), ("data.invoice_id", &wire.data.invoice_id)]
        {
            if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX || text.contains('\0') {
                let found = text.chars().count();
                let reason = format!("expected 1 to {TEXT_CHARS_MAX} characters without NUL, found {found} characters");
                return Err(Error::invalid(field, reason));
            }
        }
        let timestamp: jiff::Timestamp = wire.timestamp.parse().map_err(|_| {
            let found: String = wire.timestamp.chars().take(64).collect();
            Error::invalid("timestamp", format!("expected a time such as 2026-01-31T12:00:00Z, found `{found}`"))
        })?;
        Ok(Self {
            event_id: wire.event_id,
            event_type: wire.event_type,
            timestamp_us: timestamp.as_microsecond(),
            invoice_id: wire.data.invoice_id,
        })
    }

    /// By how much it lies ahead of `now`, in milliseconds; 0 when it does not.
    #[must_use]
    pub fn ahead_ms(&self, now: UnixMs) -> u64 {
        let ahead = i128::from(self.timestamp_us) / 1000 - i128::from(now.0);
        u64::try_from(ahead).unwrap_or(0)
    }

    /// By what two events of an invoice are compared: the greater one is newer.
    #[must_use]
    pub fn order(&self) -> (i64, &str) {
        (self.timestamp_us, &self.event_id)
    }
}

const SHAPE: &str = r#"{"event_id": "…", "event_type": "…", "timestamp": "…", "data": {"invoice_id": "…"}}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field_of(body: &str) -> String {
        match InvoiceEvent::parse(body.as_bytes()) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn it_is_read_as_the_emitter_writes_it() {
        let body = br#"{"event_id":"e1","event_type":"PAID","timestamp":"2023-11-14T22:13:20.123Z","data":{"invoice_id":"i1"},"more":1}"#;
        let event = InvoiceEvent::parse(body).unwrap();
        assert_eq!((event.event_type.as_str(), event.timestamp_us), ("PAID", 1_700_000_000_123_000));
        assert_eq!(event.ahead_ms(UnixMs(1_700_000_000_023)), 100);
        assert_eq!(event.ahead_ms(UnixMs(1_800_000_000_000)), 0);
    }

    #[test]
    fn each_wrong_member_is_named() {
        let with = |id: &str, kind: &str, time: &str, invoice: &str| {
            format!(r#"{{"event_id":{id},"event_type":{kind},"timestamp":{time},"data":{{"invoice_id":{invoice}}}}}"#)
        };
        let time = r#""2023-11-14T22:13:20Z""#;
        assert_eq!(field_of("{"), "(not JSON)");
        assert_eq!(field_of("[]"), "body");
        assert_eq!(field_of(&with("7", r#""a""#, time, r#""i""#)), "body");
        assert_eq!(field_of(&with(r#""""#, r#""a""#, time, r#""i""#)), "event_id");
        assert_eq!(field_of(&with(r#""e""#, r#""""#, time, r#""i""#)), "event_type");
        assert_eq!(field_of(&with(r#""e""#, r#""a""#, r#""yesterday""#, r#""i""#)), "timestamp");
        assert_eq!(field_of(&with(r#""e""#, r#""a""#, time, r#""a\u0000b""#)), "data.invoice_id");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body: Vec<u8>, text in ".{0,40}") {
            let _ = InvoiceEvent::parse(&body);
            let _ = InvoiceEvent::parse(format!(r#"{{"event_id":"{text}","event_type":"x","timestamp":"{text}","data":{{"invoice_id":"{text}"}}}}"#).as_bytes());
        }
    }
}
