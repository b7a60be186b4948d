//! How the lab names an event in 16 bytes, whoever made its id. Knows only texts.

use hookfast_core::EventId;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// An event as producer, receivers and judge know it: our own ids as they are, foreign texts as a 128-bit hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(u128);

impl EventKey {
    /// The key of an id as it stands in an answer or in `webhook-id`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.parse::<EventId>() {
            Ok(id) => Self(id.as_u128()),
            Err(_) => Self(hash_of(text.as_bytes())),
        }
    }

    /// From its 128 bits.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    /// Its 128 bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id to ask the API for; meaningful for ids that hookfast made.
    #[must_use]
    pub fn event_id(self) -> EventId {
        EventId::from_u128(self.0)
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.event_id(), f)
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.event_id(), f)
    }
}

/// FNV-1a in 128 bits: the same in every process, which `std`'s hasher does not promise.
fn hash_of(bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// For maps keyed by [`EventKey`]: its low half is random already.
pub(crate) type KeyHash = BuildHasherDefault<KeyHasher>;

/// Folds what it is given by one multiplication; for keys that bring their own randomness.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    fn write_u128(&mut self, value: u128) {
        self.write_u64((value >> 64) as u64);
        self.write_u64(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::{IdGenerator, UnixMs};

    #[test]
    fn our_ids_come_back_and_foreign_ones_differ() {
        let id = EventId::from_u128(IdGenerator::new().next(UnixMs(1_700_000_000_000)));
        assert_eq!(EventKey::of(&id.to_string()).event_id(), id);
        assert_ne!(EventKey::of("msg_2Xyz"), EventKey::of("msg_2Xyy"));
        assert_eq!(EventKey::of("anything"), EventKey::of("anything"));
    }
}
