//! What a received body says of itself: the sender's id for the event, and its type. Pure; must not know who sent it.

use crate::error::ApiError;
use crate::extract::event_type_name;
use hookfast_core::UnixMs;
use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::limits::NAME_CHARS_MAX;
use serde_json::Value;

/// Where a body says which event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventShape {
    /// The first system's event: `{"event_id", "event_type", "timestamp", "data": {"invoice_id"}}`.
    Invoice,
    /// Any JSON; these JSON Pointers (RFC 6901) lead to texts or numbers.
    Pointers {
        /// To the sender's id.
        event_id: String,
        /// To the type.
        event_type: String,
    },
}

/// An event, as far as receiving must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) event_id: String,
    pub(super) event_type: String,
}

impl EventShape {
    /// Reads it; 400 with the field and what is wrong with it. A time may lie `ahead_ms_max` ahead of `now`.
    pub(super) fn read(&self, body: &[u8], now: UnixMs, ahead_ms_max: u64) -> Result<Named, ApiError> {
        let named = match self {
            Self::Invoice => invoice(body, now, ahead_ms_max)?,
            Self::Pointers { event_id, event_type } => {
                let value: Value = serde_json::from_slice(body)
                    .map_err(|error| invalid("body", &format!("expected JSON: {error}")))?;
                Named { event_id: text_at(&value, event_id)?, event_type: text_at(&value, event_type)? }
            }
        };
        // Otherwise it would be accepted here and refused by the store.
        event_type_name(&named.event_type).map_err(|problem| invalid(self.type_field(), &problem.msg))?;
        Ok(named)
    }

    fn type_field(&self) -> &str {
        match self {
            Self::Invoice => "event_type",
            Self::Pointers { event_type, .. } => event_type,
        }
    }
}

/// 400: this field of the event is wrong.
pub(super) fn invalid(field: &str, reason: &str) -> ApiError {
    ApiError::bad_request("invalid_event", format!("{field}: {reason}"))
}

fn invoice(body: &[u8], now: UnixMs, ahead_ms_max: u64) -> Result<Named, ApiError> {
    let event = InvoiceEvent::parse(body).map_err(|error| match error {
        hookfast_core::Error::Invalid { field, reason } => invalid(&field, &reason),
        other => other.into(),
    })?;
    let ahead_ms = event.ahead_ms(now);
    if ahead_ms > ahead_ms_max {
        let (ahead_s, max_s) = (ahead_ms / 1000, ahead_ms_max / 1000);
        let reason = format!("it lies {ahead_s} s ahead, and at most {max_s} s are accepted: set the sender's clock");
        return Err(invalid("timestamp", &reason));
    }
    Ok(Named { event_id: event.event_id, event_type: event.event_type })
}

fn text_at(value: &Value, pointer: &str) -> Result<String, ApiError> {
    let text = match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(invalid(pointer, "expected a text or a number")),
        None => return Err(invalid(pointer, "it is missing")),
    };
    let chars = text.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || text.contains('\0') {
        let reason = format!("expected 1 to {NAME_CHARS_MAX} characters without NUL, got {chars}");
        return Err(invalid(pointer, &reason));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn pointers() -> EventShape {
        EventShape::Pointers { event_id: "/meta/id".into(), event_type: "/kind".into() }
    }

    #[test]
    fn pointers_lead_to_texts_and_numbers() {
        let read = |body: &str| pointers().read(body.as_bytes(), NOW, 0);
        let named = Named { event_id: "7".into(), event_type: "a.b".into() };
        assert_eq!(read(r#"{"meta":{"id":7},"kind":"a.b"}"#), Ok(named));
        for wrong in [
            "",
            "{",
            "[]",
            r#"{"meta":{"id":true},"kind":"a"}"#,
            r#"{"meta":{"id":"x"}}"#,
            r#"{"meta":{"id":""},"kind":"a"}"#,
            r#"{"meta":{"id":"x"},"kind":"a b"}"#,
        ] {
            assert_eq!(read(wrong).unwrap_err().status(), 400, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>, text in "\\PC{0,60}") {
            for shape in [EventShape::Invoice, pointers()] {
                let _ = shape.read(&body, NOW, 0);
                let _ = shape.read(text.as_bytes(), NOW, 0);
            }
        }
    }
}
