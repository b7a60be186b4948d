//! The body of a message as answers show it.

use crate::api::Text;
use crate::time::Time;
use hookfast_core::EventId;
use hookfast_core::model::Event;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

/// What is shown as the payload.
#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    /// `{}`: it was not asked for, or is no JSON object.
    Empty,
    /// What stands for one that was deleted.
    Expired,
    /// JSON text, written as it stands.
    Text(&'a RawValue),
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.collect_map::<&str, bool, _>([]),
            Self::Expired => serializer.collect_map([("expired", true)]),
            Self::Text(raw) => raw.serialize(serializer),
        }
    }
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut<'a> {
    /// Its id: the `webhook-id` of each attempt.
    #[schema(value_type = String)]
    id: Text<EventId>,
    /// The caller's own id for it.
    event_id: Option<&'a str>,
    /// What happened.
    event_type: &'a str,
    /// The payload as it came; `{}` when it was not asked for or is no JSON object.
    #[schema(value_type = Object)]
    payload: Payload<'a>,
    /// The payload as text, when it is no JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    raw_payload: Option<Cow<'a, str>>,
    /// Channels it was sent on; null is none.
    channels: Option<&'a [String]>,
    /// Tags are not kept: always null.
    #[schema(value_type = Option<Vec<String>>)]
    tags: Option<()>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Time,
}

impl<'a> MessageOut<'a> {
    /// A message without its payload.
    pub(crate) fn new(id: EventId, event_type: &'a str) -> Self {
        Self {
            id: Text(id),
            event_id: None,
            event_type,
            payload: Payload::Empty,
            raw_payload: None,
            channels: None,
            tags: None,
            timestamp: Time(id.time()),
        }
    }

    pub(super) fn with_names(mut self, event_id: Option<&'a str>, channels: &'a [String]) -> Self {
        self.event_id = event_id;
        self.channels = (!channels.is_empty()).then_some(channels);
        self
    }

    /// With a payload that is known to be a JSON object.
    pub(super) fn with_payload(mut self, payload: &'a RawValue) -> Self {
        self.payload = Payload::Text(payload);
        self
    }

    /// With whatever bytes were accepted.
    pub(crate) fn with_body(mut self, body: &'a [u8]) -> Self {
        match serde_json::from_slice::<&RawValue>(body) {
            Ok(raw) if raw.get().starts_with('{') => self.payload = Payload::Text(raw),
            _ => self.raw_payload = Some(String::from_utf8_lossy(body)),
        }
        self
    }

    pub(super) fn of(event: &'a Event, with_content: bool) -> Self {
        let message = Self::new(event.id, &event.event_type).with_names(event.uid.as_deref(), &event.channels);
        match &event.body {
            _ if !with_content => message,
            Some(body) => message.with_body(body),
            None => Self { payload: Payload::Expired, ..message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(body: &[u8]) -> String {
        serde_json::to_string(&MessageOut::new(EventId::from_u128(1 << 80), "a.b").with_body(body)).unwrap()
    }

    #[test]
    fn a_payload_is_shown_byte_by_byte() {
        let payload = r#"{ "b" :1.0e0, "a": 123456789012345678901234567890, "b": "\u00e9é" }"#;
        let text = shown(payload.as_bytes());
        assert!(text.contains(payload), "{text}");
        assert!(text.contains(r#""timestamp":"1970-01-01T00:00:00.001Z""#), "{text}");
    }

    #[test]
    fn what_is_no_object_is_shown_as_text() {
        for body in [&b"hello"[..], b"[1]", b"{\"a\":", b"\xff\xfe", b""] {
            let value: serde_json::Value = serde_json::from_str(&shown(body)).unwrap();
            assert_eq!(value["payload"], json!({}));
            assert_eq!(value["rawPayload"], json!(String::from_utf8_lossy(body)));
        }
        assert!(!shown(b"{}").contains("rawPayload"));
    }
}
