//! Order among events of one key, at endpoints that keep it: where the key is found, and when a dead delivery holds up
//! what comes after it. Pure.

use crate::delivery::Cause;
use crate::limits::ORDERING_POINTER_BYTES_MAX;
use crate::model::{Endpoint, NewEvent, OnDead};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// The key by which this endpoint keeps the order of an event, hashed; `None` when the event goes at once.
///
/// With a pointer the key is the text, number or truth value at that place of the payload; a payload that is not JSON, or
/// that has nothing, null, a list or an object there, has no key. Without one it is the event's own ordering key.
#[must_use]
pub fn key(endpoint: &Endpoint, event: &NewEvent) -> Option<[u8; 16]> {
    let ordering = endpoint.ordering.as_ref()?;
    match &ordering.pointer {
        None => event.ordering_key.as_ref().map(|key| hash(key.as_bytes())),
        Some(pointer) => match value_at(pointer, &event.body)? {
            Value::String(text) => Some(hash(text.as_bytes())),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(hash(value.to_string().as_bytes())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// Does a delivery that died of this hold up what comes after it, until it is replayed? What can never be replayed
/// never does.
#[must_use]
pub fn blocks(on_dead: OnDead, cause: Cause) -> bool {
    on_dead == OnDead::Block && !matches!(cause, Cause::Expired | Cause::PayloadDeleted)
}

/// Is this a JSON pointer (RFC 6901) that is not too long?
#[must_use]
pub fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.len() <= ORDERING_POINTER_BYTES_MAX && escapes && (text.is_empty() || text.starts_with('/'))
}

fn hash(text: &[u8]) -> [u8; 16] {
    let mut cut = [0; 16];
    cut.copy_from_slice(&Sha256::digest(text)[..16]);
    cut
}

fn value_at(pointer: &str, json: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let found = At(pointer).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found
}

/// Looks for the value at the rest of a pointer, and passes over everything else without keeping it.
#[derive(Clone, Copy)]
struct At<'p>(&'p str);

impl<'p> At<'p> {
    /// The next name of the pointer, and what follows it.
    fn split(self) -> (String, Self) {
        let rest = self.0.strip_prefix('/').unwrap_or(self.0);
        let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
        (name.replace("~1", "/").replace("~0", "~"), Self(&rest[name.len()..]))
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(reader).map(Some);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = self.split();
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == wanted {
                found = map.next_value_seed(rest)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = self.split();
        // A number as JSON writes it: no sign, no leading zero.
        let wanted = wanted.parse::<usize>().ok().filter(|at| at.to_string() == wanted);
        let mut found = None;
        for at in 0.. {
            if Some(at) == wanted {
                match list.next_element_seed(rest)? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pointer_finds_what_rfc_6901_says() {
        let json =
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"01":9}"#;
        let cases = [
            ("/foo/0", Some(Value::from("bar"))),
            ("/foo/1", Some(Value::from("baz"))),
            ("/", Some(Value::from(0))),
            ("/a~1b", Some(Value::from(1))),
            ("/c%d", Some(Value::from(2))),
            ("/i\\j", Some(Value::from(5))),
            ("/k\"l", Some(Value::from(6))),
            ("/ ", Some(Value::from(7))),
            ("/m~0n", Some(Value::from(8))),
            ("/01", Some(Value::from(9))),
            ("/foo/01", None),
            ("/foo/-", None),
            ("/foo/2", None),
            ("/foo/0/x", None),
            ("/nothing", None),
        ];
        for (pointer, expected) in cases {
            assert!(is_pointer(pointer));
            assert_eq!(value_at(pointer, json.as_bytes()), expected, "{pointer}");
        }
        assert_eq!(value_at("", b"17"), Some(Value::from(17)));
        for broken in ["", "{", "{\"a\":1}x", "{\"a\":1,}", "\u{1}"] {
            assert_eq!(value_at("/a", broken.as_bytes()), None, "{broken:?} is not JSON");
        }
        assert!(!is_pointer("a") && !is_pointer("/a~2") && !is_pointer("/a~") && !is_pointer(&"/a".repeat(200)));
    }

    #[test]
    fn a_deep_payload_has_no_key_and_breaks_nothing() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(value_at("/b", deep.as_bytes()), None);
        assert_eq!(value_at(&"/0".repeat(120), "[".repeat(500_000).as_bytes()), None);
    }

    #[test]
    fn what_cannot_be_replayed_blocks_nothing() {
        for cause in Cause::ALL {
            let lost = [Cause::Expired, Cause::PayloadDeleted].contains(cause);
            assert_eq!(blocks(OnDead::Block, *cause), !lost);
            assert!(!blocks(OnDead::Skip, *cause));
        }
    }

    proptest! {
        /// However a payload is made, the walk finds what looking it up in the whole value finds.
        #[test]
        fn the_walk_agrees_with_a_lookup(
            names in proptest::collection::vec("[ab01~/]{0,2}", 1..4), leaf in 0u8..3, lists in 0usize..3,
        ) {
            let mut value = [Value::Null, Value::from("x"), Value::from(1)][usize::from(leaf)].clone();
            let mut pointer = String::new();
            for (at, name) in names.iter().enumerate().rev() {
                let inner = if at < lists { Value::from(vec![value.clone(), value]) } else { value };
                value = Value::Object(std::iter::once((name.clone(), inner)).collect());
                let list = if at < lists { "/1" } else { "" };
                pointer = format!("/{}{list}{pointer}", name.replace('~', "~0").replace('/', "~1"));
            }
            let json = value.to_string();
            prop_assert_eq!(value_at(&pointer, json.as_bytes()), value.pointer(&pointer).cloned());
        }
    }
}
