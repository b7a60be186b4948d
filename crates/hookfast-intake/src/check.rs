//! The checks of a submission, and the hash that tells a repeat from a conflict. Pure; must not know who calls.

use hookfast_core::limits::{
    CHANNEL_CHARS_MAX, CHANNELS_MAX, HEADER_VALUE_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, NAME_CHARS_MAX,
};
use hookfast_core::ports::Submission;
use hookfast_core::{Error, EventId, Result};
use sha2::{Digest, Sha256};

/// Checks every field of a submission; the error names the field as the API spells it.
pub(crate) fn check(event: &Submission, body_bytes_max: usize) -> Result<()> {
    name("eventType", &event.event_type, NAME_CHARS_MAX, is_type_char, "A-Z a-z 0-9 - _ . : +")?;
    if let Some(uid) = &event.uid {
        name("eventId", uid, NAME_CHARS_MAX, is_uid_char, "A-Z a-z 0-9 - _ .")?;
        if uid.starts_with(EventId::PREFIX) {
            return Err(Error::invalid(
                "eventId",
                format!("expected a text that does not start with `{}`, found one that does", EventId::PREFIX),
            ));
        }
    }
    if event.channels.len() > CHANNELS_MAX {
        let reason = format!("expected at most {CHANNELS_MAX} channels, found {}", event.channels.len());
        return Err(Error::invalid("channels", reason));
    }
    for channel in &event.channels {
        name("channels", channel, CHANNEL_CHARS_MAX, is_type_char, "A-Z a-z 0-9 - _ . : +")?;
    }
    if let Some(key) = &event.ordering_key
        && (key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX)
    {
        let reason = format!("expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, found {}", key.len());
        return Err(Error::invalid("orderingKey", reason));
    }
    if event.body.len() > body_bytes_max {
        let reason = format!("expected at most {body_bytes_max} bytes, found {}", event.body.len());
        return Err(Error::invalid("payload", reason));
    }
    event.content_type.as_deref().map_or(Ok(()), content_type)
}

/// May a caller's own id for an event be written so?
pub(crate) fn is_uid(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_uid_char) && !text.starts_with(EventId::PREFIX)
}

fn is_uid_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_type_char(byte: u8) -> bool {
    is_uid_char(byte) || matches!(byte, b':' | b'+')
}

fn name(field: &str, text: &str, chars_max: usize, good: fn(u8) -> bool, allowed: &str) -> Result<()> {
    if text.is_empty() || text.len() > chars_max {
        let reason = format!("expected 1 to {chars_max} characters, found {}", text.chars().count());
        return Err(Error::invalid(field, reason));
    }
    match text.chars().find(|c| u8::try_from(*c).map_or(true, |byte| !good(byte))) {
        None => Ok(()),
        Some(bad) => Err(Error::invalid(field, format!("expected only {allowed}, found {bad:?}"))),
    }
}

/// It becomes a header of each attempt: visible ASCII and spaces only, so that it can never end the header.
fn content_type(text: &str) -> Result<()> {
    if text.is_empty() || text.len() > HEADER_VALUE_BYTES_MAX {
        let reason = format!("expected 1 to {HEADER_VALUE_BYTES_MAX} bytes, found {}", text.len());
        return Err(Error::invalid("contentType", reason));
    }
    if text.bytes().all(|byte| (0x20..0x7F).contains(&byte)) && text.trim().len() == text.len() {
        Ok(())
    } else {
        Err(Error::invalid("contentType", "expected visible ASCII characters without spaces at the ends"))
    }
}

/// Hash of what was asked for. Every part is preceded by its length, so no two different submissions run together.
pub(crate) fn body_hash(event: &Submission) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(event.event_type.as_bytes());
    part(event.content_type.as_deref().unwrap_or_default().as_bytes());
    part(&(event.channels.len() as u64).to_le_bytes());
    for channel in &event.channels {
        part(channel.as_bytes());
    }
    part(&event.body);
    // Behind the others, so that what was kept of events without one still fits.
    if let Some(key) = &event.ordering_key {
        part(key.as_bytes());
    }
    let full: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&full[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hookfast_core::AppId;
    use hookfast_core::model::{Origin, Route};
    use proptest::prelude::*;

    fn submission() -> Submission {
        Submission {
            app: AppId::from_u128(1),
            route: Route::Match,
            event_type: "invoice.paid".into(),
            uid: None,
            channels: Vec::new(),
            ordering_key: None,
            body: Bytes::from_static(b"{}"),
            content_type: None,
            idempotency: None,
            origin: Origin::of("api"),
        }
    }

    fn field_of(event: &Submission) -> Option<String> {
        match check(event, 16) {
            Ok(()) => None,
            Err(Error::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        let good = submission();
        assert_eq!(field_of(&good), None);
        let wrong: Vec<(&str, Submission)> = vec![
            ("eventType", Submission { event_type: String::new(), ..good.clone() }),
            ("eventType", Submission { event_type: "a b".into(), ..good.clone() }),
            ("eventType", Submission { event_type: "ä".into(), ..good.clone() }),
            ("eventType", Submission { event_type: "x".repeat(257), ..good.clone() }),
            ("eventId", Submission { uid: Some("a:b".into()), ..good.clone() }),
            ("eventId", Submission { uid: Some("msg_1".into()), ..good.clone() }),
            ("eventId", Submission { uid: Some(String::new()), ..good.clone() }),
            ("channels", Submission { channels: vec!["x".into(); 11], ..good.clone() }),
            ("channels", Submission { channels: vec!["x".repeat(129)], ..good.clone() }),
            ("channels", Submission { channels: vec!["a/b".into()], ..good.clone() }),
            ("orderingKey", Submission { ordering_key: Some(String::new()), ..good.clone() }),
            ("payload", Submission { body: Bytes::from(vec![0; 17]), ..good.clone() }),
            ("contentType", Submission { content_type: Some("a\r\nb: c".into()), ..good.clone() }),
            ("contentType", Submission { content_type: Some("é".into()), ..good.clone() }),
            ("contentType", Submission { content_type: Some(String::new()), ..good }),
        ];
        for (field, event) in wrong {
            assert_eq!(field_of(&event).as_deref(), Some(field), "{event:?}");
        }
    }

    #[test]
    fn the_hash_tells_parts_from_each_other() {
        let base = Submission { event_type: "ab".into(), channels: vec!["c".into()], ..submission() };
        let others = [
            Submission { event_type: "a".into(), channels: vec!["bc".into()], ..base.clone() },
            Submission { channels: vec![], ..base.clone() },
            Submission { channels: vec!["c".into(), String::new()], ..base.clone() },
            Submission { content_type: Some("text/plain".into()), ..base.clone() },
            Submission { body: Bytes::from_static(b"{ }"), ..base.clone() },
            Submission { ordering_key: Some("c".into()), ..base.clone() },
        ];
        assert_eq!(body_hash(&base), body_hash(&base.clone()));
        for other in others {
            assert_ne!(body_hash(&base), body_hash(&other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_passes_is_clean(text in ".{0,40}") {
            let event = Submission { event_type: text.clone(), content_type: Some(text.clone()), uid: Some(text.clone()), ..submission() };
            if check(&event, 16).is_ok() {
                prop_assert!(text.bytes().all(is_uid_char));
            }
        }
    }
}
