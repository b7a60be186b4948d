//! An event as it lies in the log: one line of JSON that says all about it, then its body, as it came. Must not know
//! which log.
//!
//! The first line never contains a line feed, so a person who looks at the topic can read it, and the body needs no
//! escaping. A change that older readers must not pass over gets a new version.

use crate::check::check;
use crate::naming::{hex, named, unhex};
use bytes::{BufMut as _, Bytes, BytesMut};
use hookfast_core::model::{Name, NewEvent, Origin, Route};
use hookfast_core::ports::Submission;
use hookfast_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::str::FromStr;

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Longest first line, in bytes: every field at its limit, escaped, is shorter.
const LINE_BYTES_MAX: usize = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    id: String,
    app: String,
    /// The endpoint it goes to, whatever the filters say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency: Option<String>,
    /// Of an event that can be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// Where it came in, which earlier versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Puts an event into an envelope.
///
/// # Errors
/// `Terminal`, which would be a fault of this file.
pub(crate) fn encode(event: &NewEvent) -> Result<Bytes> {
    let (is_keyed, origin) = (event.body_hash != [0; 16], event.origin.as_ref());
    let line = Line {
        v: VERSION,
        id: event.id.to_string(),
        app: event.app.to_string(),
        to: match event.route {
            Route::Match => None,
            Route::Endpoint(endpoint) => Some(endpoint.to_string()),
        },
        event_type: event.event_type.clone(),
        uid: event.uid.clone(),
        channels: event.channels.clone(),
        order: event.ordering_key.clone(),
        content_type: event.content_type.clone(),
        idempotency: event.idempotency.map(|hash| hex(&hash)),
        hash: is_keyed.then(|| hex(&event.body_hash)),
        source: origin.map(|origin| origin.source.to_string()),
        by: origin.and_then(|origin| origin.by.as_ref()).map(Name::to_string),
    };
    let line = serde_json::to_vec(&line).map_err(|error| Error::Terminal { reason: format!("envelope: {error}") })?;
    let mut value = BytesMut::with_capacity(line.len() + 1 + event.body.len());
    value.put_slice(&line);
    value.put_u8(b'\n');
    value.put_slice(&event.body);
    Ok(value.freeze())
}

/// Takes an event out of its envelope, checked as if it came from a caller: anybody may have written it.
///
/// # Errors
/// `Invalid` with the field.
pub(crate) fn decode(value: &Bytes, body_bytes_max: usize) -> Result<NewEvent> {
    let head = &value[..value.len().min(LINE_BYTES_MAX + 1)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return Err(wrong("envelope", "a first line of JSON"));
    };
    let line = line(&head[..end])?;
    let origin = Origin::kept(line.source.as_deref(), line.by.as_deref());
    let submission = Submission {
        app: id("app", &line.app)?,
        route: line.to.as_deref().map(|to| id("to", to)).transpose()?.map_or(Route::Match, Route::Endpoint),
        event_type: line.event_type,
        uid: line.uid,
        channels: line.channels,
        ordering_key: line.order,
        body: value.slice(end + 1..),
        content_type: line.content_type,
        idempotency: hash("idempotency", line.idempotency.as_deref())?,
        origin: origin.clone().unwrap_or_else(|| Origin::of("log")),
    };
    check(&submission, body_bytes_max)?;
    let event = named(submission, id("id", &line.id)?);
    // What was compared when it was accepted, should this version compare something else.
    let body_hash = hash("hash", line.hash.as_deref())?.unwrap_or(event.body_hash);
    Ok(NewEvent { body_hash, origin, ..event })
}

fn line(text: &[u8]) -> Result<Line> {
    let Version { v } = serde_json::from_slice(text).map_err(|error| unreadable(&error))?;
    if v != VERSION {
        return Err(Error::invalid("envelope.v", format!("expected version {VERSION}, found {v}")));
    }
    serde_json::from_slice(text).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::invalid("envelope", format!("expected a line of JSON as hookfast writes it: {error}"))
}

fn id<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error: T::Err| wrong(field, &error.to_string()))
}

fn hash(field: &str, text: Option<&str>) -> Result<Option<[u8; 16]>> {
    text.map(|text| unhex(text).ok_or_else(|| wrong(field, "32 hexadecimal digits"))).transpose()
}

fn wrong(field: &str, expected: &str) -> Error {
    Error::invalid(field, format!("expected {expected}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hookfast_core::{AppId, EndpointId, EventId};
    use proptest::prelude::*;

    const BODY_BYTES_MAX: usize = 1 << 10;

    /// Any event that passes the checks.
    pub(crate) fn any_event() -> impl Strategy<Value = NewEvent> {
        let names =
            ("[a-z.]{1,9}", proptest::option::of("[a-zA-Z0-9.-]{1,9}"), prop::collection::vec("[a-z:]{1,5}", 0..3));
        let others = (proptest::option::of(".{1,9}"), proptest::option::of("[a-z]{1,5}/[a-z]{1,5}"));
        let numbers = (any::<u128>(), any::<u128>(), any::<Option<u128>>(), any::<Option<[u8; 16]>>());
        let origins = (".{0,120}", proptest::option::of(".{0,120}"));
        let body = prop::collection::vec(any::<u8>(), 0..200);
        (names, others, numbers, body, origins).prop_map(|(names, others, ids, body, origin)| {
            let submission = Submission {
                app: AppId::from_u128(ids.0),
                route: ids.2.map_or(Route::Match, |to| Route::Endpoint(EndpointId::from_u128(to))),
                event_type: names.0,
                uid: names.1.filter(|uid| !uid.starts_with("msg_")),
                channels: names.2,
                ordering_key: others.0,
                body: body.into(),
                content_type: others.1,
                idempotency: ids.3,
                origin: Origin { source: Name::new(&origin.0), by: origin.1.as_deref().map(Name::new) },
            };
            named(submission, EventId::from_u128(ids.1))
        })
    }

    fn field_of(value: &str) -> String {
        match decode(&Bytes::copy_from_slice(value.as_bytes()), BODY_BYTES_MAX) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_named() {
        let (id, app) = (EventId::from_u128(1), AppId::from_u128(2));
        let line = |members: &str| format!("{{\"v\":1,\"type\":\"a\",{members}}}\nbody");
        let ids = format!("\"id\":\"{id}\",\"app\":\"{app}\"");
        assert!(decode(&Bytes::from(line(&ids)), BODY_BYTES_MAX).is_ok());
        assert_eq!(field_of(""), "envelope");
        assert_eq!(field_of("{}"), "envelope");
        assert_eq!(field_of("no json\n"), "envelope");
        assert_eq!(field_of(&line("\"id\":7")), "envelope");
        assert_eq!(field_of("{\"v\":2,\"what\":\"ever\"}\nbody"), "envelope.v");
        assert_eq!(field_of(&line(&format!("\"id\":\"{app}\",\"app\":\"{app}\""))), "id");
        assert_eq!(field_of(&line(&format!("\"id\":\"{id}\",\"app\":\"{id}\""))), "app");
        assert_eq!(field_of(&line(&format!("{ids},\"to\":\"{app}\""))), "to");
        assert_eq!(field_of(&line(&format!("{ids},\"hash\":\"xy\""))), "hash");
        assert_eq!(field_of(&line(&format!("{ids},\"idempotency\":\"xy\""))), "idempotency");
        assert_eq!(field_of(&line(&format!("{ids},\"uid\":\"a b\""))), "eventId");
        assert_eq!(field_of(&format!("{}{}", line(&ids), "x".repeat(BODY_BYTES_MAX))), "payload");
        assert_eq!(field_of(&format!("{}\n", " ".repeat(LINE_BYTES_MAX + 1))), "envelope");
    }

    #[test]
    fn an_envelope_of_an_earlier_version_says_nothing_of_its_origin() {
        let (id, app) = (EventId::from_u128(1), AppId::from_u128(2));
        let value = format!("{{\"v\":1,\"id\":\"{id}\",\"app\":\"{app}\",\"type\":\"a\"}}\nbody");
        assert_eq!(decode(&Bytes::from(value), BODY_BYTES_MAX).unwrap().origin, None);
    }

    #[test]
    fn the_longest_names_fit_into_the_line() {
        let submission = Submission {
            app: AppId::from_u128(u128::MAX),
            route: Route::Endpoint(EndpointId::from_u128(u128::MAX)),
            event_type: "x".repeat(256),
            uid: Some("x".repeat(256)),
            channels: vec!["x".repeat(128); 10],
            ordering_key: Some("\u{1}".repeat(256)),
            body: Bytes::new(),
            content_type: Some("\"".repeat(4096)),
            idempotency: Some([255; 16]),
            origin: Origin { source: Name::new(&"\"".repeat(200)), by: Some(Name::new(&"\"".repeat(200))) },
        };
        let event = named(submission, EventId::from_u128(u128::MAX));
        assert!(decode(&encode(&event).unwrap(), BODY_BYTES_MAX).is_ok());
    }

    proptest! {
        #[test]
        fn an_event_comes_out_as_it_went_in(event in any_event()) {
            let decoded = decode(&encode(&event).unwrap(), BODY_BYTES_MAX).unwrap();
            prop_assert_eq!(format!("{decoded:?}"), format!("{event:?}"));
        }

        #[test]
        fn no_bytes_panic(event in any_event(), bytes: Vec<u8>, cut: prop::sample::Index, flip: u8) {
            let _ = decode(&Bytes::from(bytes), BODY_BYTES_MAX);
            let mut value = encode(&event).unwrap().to_vec();
            let at = cut.index(value.len());
            value[at] ^= flip;
            let _ = decode(&Bytes::from(value.clone()), BODY_BYTES_MAX);
            value.truncate(at);
            let _ = decode(&Bytes::from(value), BODY_BYTES_MAX);
        }
    }
}
