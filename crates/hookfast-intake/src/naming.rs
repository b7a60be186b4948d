//! From a submission to an event with an id, and the caller's own names for events. Pure; must not know where either
//! goes.

use crate::check::{body_hash, is_uid};
use hookfast_core::EventId;
use hookfast_core::model::{NewEvent, Origin};
use hookfast_core::ports::Submission;
use sha2::{Digest as _, Sha256};

/// The event that a checked submission becomes under this id.
pub(crate) fn named(event: Submission, id: EventId) -> NewEvent {
    // Nobody compares the hash of an event that cannot be asked for again.
    let is_keyed = event.uid.is_some() || event.idempotency.is_some();
    NewEvent {
        id,
        app: event.app,
        route: event.route,
        body_hash: if is_keyed { body_hash(&event) } else { [0; 16] },
        event_type: event.event_type,
        uid: event.uid,
        channels: event.channels,
        ordering_key: event.ordering_key,
        body: event.body,
        content_type: event.content_type,
        idempotency: event.idempotency,
        origin: Some(event.origin),
    }
}

/// The uid of an event whose sender calls it `event_id`: that text where uids are written so, else its SHA-256 in
/// hexadecimal. Every road must name an event alike, so that it is known again whichever it comes by.
pub(crate) fn uid_of(event_id: &str) -> String {
    if is_uid(event_id) { event_id.to_owned() } else { hex(&Sha256::digest(event_id)) }
}

/// The origin of what the receiver took by this source, whichever road it comes by.
pub(crate) fn received_by(source: &str) -> Origin {
    Origin::of(&format!("receiver:{source}"))
}

/// In hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}

/// Sixteen bytes out of their hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_of_any_writing_becomes_a_uid() {
        assert_eq!(uid_of("b1a2-7"), "b1a2-7");
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&Sha256::digest("abc")), digest);
        for other in ["", "a b", "ä", "msg_1", &"x".repeat(257)] {
            let uid = uid_of(other);
            assert!(is_uid(&uid) && uid.len() == 64, "{other}: {uid}");
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_round_trips_and_no_text_panics(bytes: [u8; 16], text in ".{0,40}") {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
            let _ = unhex(&text);
        }
    }
}
