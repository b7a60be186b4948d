//! A message as Redis carries it: reading it, and what is kept of one that cannot be delivered. Pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The type of events whose data does not name one.
pub(super) const TYPE_DEFAULT: &str = "payment";
/// The type of what is kept of a message that cannot be delivered.
pub(super) const TYPE_REJECTED: &str = "source.rejected";
/// Of such a message this much is kept, in bytes.
pub(super) const KEPT_BYTES_MAX: usize = 8 << 10;
const REJECTED_PREFIX: &str = "rejected.";
const UID_BYTES_MAX: usize = 256;

/// A message that can be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Where to; not judged yet.
    pub(super) url: String,
    /// What tells a repeat: the sender's `webhookId`, or its hash.
    pub(super) uid: String,
    /// What happened.
    pub(super) event_type: String,
    /// The bytes to send, as they came.
    pub(super) data: Bytes,
}

/// Why a message cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// In one word.
    pub(super) cause: String,
    /// Of which member.
    pub(super) field: String,
    /// What was expected and what came.
    pub(super) reason: String,
}

impl Flaw {
    pub(super) fn new(cause: &str, field: &str, reason: impl Into<String>) -> Self {
        Self { cause: cause.to_owned(), field: field.to_owned(), reason: reason.into() }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow, rename = "webhookId")]
    webhook_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data {
    event: String,
}

/// Reads `{"url", "webhookId", "data"}`; other members are passed over.
pub(super) fn parse(raw: &Bytes) -> Result<Message, Flaw> {
    let wire: Wire<'_> = serde_json::from_slice(raw).map_err(|error| {
        let cause = if error.is_data() { "invalid_message" } else { "invalid_json" };
        Flaw::new(cause, "message", format!(r#"expected {{"url", "webhookId", "data"}}: {error}"#))
    })?;
    let url = text("url", wire.url)?;
    let id = text("webhookId", wire.webhook_id)?;
    if id.is_empty() {
        return Err(Flaw::new("invalid_message", "webhookId", "expected an id, found an empty text"));
    }
    let data = wire.data.filter(|data| data.get() != "null");
    let data =
        data.ok_or_else(|| Flaw::new("invalid_message", "data", "expected what is to be sent, found nothing"))?;
    let event_type =
        serde_json::from_str::<Data>(data.get()).map_or_else(|_| TYPE_DEFAULT.to_owned(), |data| data.event);
    Ok(Message { url, uid: uid(&id), event_type, data: raw.slice_ref(data.get().as_bytes()) })
}

fn text(field: &str, value: Option<&RawValue>) -> Result<String, Flaw> {
    let value = value.ok_or_else(|| Flaw::new("invalid_message", field, "expected a text, found nothing"))?;
    serde_json::from_str(value.get()).map_err(|_| Flaw::new("invalid_message", field, "expected a text"))
}

/// An id that intake takes stays as it is; any other becomes its hash.
fn uid(id: &str) -> String {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_reserved = id.starts_with(hookfast_core::EventId::PREFIX) || id.starts_with(REJECTED_PREFIX);
    if id.len() <= UID_BYTES_MAX && id.bytes().all(is_good) && !is_reserved {
        id.to_owned()
    } else {
        hash(id.as_bytes())
    }
}

/// SHA-256 in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What tells a repeat of a message that cannot be delivered.
pub(super) fn rejected_uid(raw: &[u8]) -> String {
    format!("{REJECTED_PREFIX}{}", hash(raw))
}

/// What is kept of it: why, and the text that came, at most `bytes_max` of it.
pub(super) fn rejected_body(flaw: &Flaw, raw: &[u8], bytes_max: usize) -> Bytes {
    let shown = String::from_utf8_lossy(&raw[..raw.len().min(bytes_max)]);
    let body = serde_json::json!({
        "cause": flaw.cause, "field": flaw.field, "reason": flaw.reason, "bytes": raw.len(), "message": shown,
    });
    Bytes::from(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Message, Flaw> {
        parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_data_stays_the_bytes_that_came() {
        let message = read(
            r#"{"url":"http://a.example/x","webhookId":"8f7f-1","data":{ "id":"PAY1", "event" : "completed","n":1.0}}"#,
        )
        .unwrap();
        assert_eq!(message.data.as_ref(), br#"{ "id":"PAY1", "event" : "completed","n":1.0}"#);
        assert_eq!((message.uid.as_str(), message.event_type.as_str()), ("8f7f-1", "completed"));
        let other = read(r#"{"webhookId":"a b","data":[1],"url":"u","more":null}"#).unwrap();
        assert_eq!((other.uid.len(), other.event_type.as_str()), (64, TYPE_DEFAULT));
    }

    #[test]
    fn each_wrong_member_is_named() {
        let wrong = [
            ("{", "invalid_json", "message"),
            ("\u{0}", "invalid_json", "message"),
            ("[]", "invalid_message", "message"),
            ("7", "invalid_message", "message"),
            (r#"{"webhookId":"a","data":{}}"#, "invalid_message", "url"),
            (r#"{"url":7,"webhookId":"a","data":{}}"#, "invalid_message", "url"),
            (r#"{"url":"u","data":{}}"#, "invalid_message", "webhookId"),
            (r#"{"url":"u","webhookId":"","data":{}}"#, "invalid_message", "webhookId"),
            (r#"{"url":"u","webhookId":"a"}"#, "invalid_message", "data"),
            (r#"{"url":"u","webhookId":"a","data":null}"#, "invalid_message", "data"),
        ];
        for (text, cause, field) in wrong {
            let flaw = read(text).unwrap_err();
            assert_eq!((flaw.cause.as_str(), flaw.field.as_str()), (cause, field), "{text}: {}", flaw.reason);
        }
    }

    #[test]
    fn what_is_kept_of_a_bad_message_is_json_and_bounded() {
        let flaw = Flaw::new("invalid_json", "message", "no");
        let body = rejected_body(&flaw, &[0xFF; 20_000], 100);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["cause"], &body["bytes"]), (&"invalid_json".into(), &20_000.into()));
        assert_eq!(body["message"].as_str().unwrap().chars().count(), 100);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_uids_fit(raw: Vec<u8>, id in ".{0,300}") {
            let _ = parse(&Bytes::from(raw));
            let text = serde_json::json!({"url": "u", "webhookId": id, "data": {}}).to_string();
            if let Ok(message) = read(&text) {
                prop_assert!(message.uid.len() <= 256 && message.uid.is_ascii());
                prop_assert!(!message.uid.starts_with("msg_") && !message.uid.starts_with("rejected."));
            }
        }
    }
}
