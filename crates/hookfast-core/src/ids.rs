//! Identifiers: UUIDv7 (RFC 9562, method 1: a counter in `rand_a`) in 16 bytes, printed as a prefix and 22
//! characters of base62 whose digits are in ASCII order, so that text sorts as time. Knows no store.

use crate::UnixMs;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters after the prefix: 62^22 > 2^128.
const TEXT_LEN: usize = 22;

/// A text that is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected `{prefix}` and 22 characters of 0-9A-Za-z")]
pub struct ParseIdError {
    prefix: &'static str,
}

fn encode(mut value: u128, out: &mut [u8; TEXT_LEN]) {
    // Ten digits at a time fit into 64 bits, whose divisions are cheap.
    const TEN_DIGITS: u128 = 62u128.pow(10);
    let mut at = TEXT_LEN;
    for digits in [10, 10, 2] {
        let mut part = (value % TEN_DIGITS) as u64;
        value /= TEN_DIGITS;
        for _ in 0..digits {
            at -= 1;
            out[at] = DIGITS[(part % 62) as usize];
            part /= 62;
        }
    }
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What its text starts with.
            pub const PREFIX: &'static str = $prefix;

            /// From the 128 bits of its UUID.
            #[must_use]
            pub const fn from_u128(value: u128) -> Self {
                Self(value)
            }

            /// The 128 bits of its UUID.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// From the upper and lower 64 bits of its UUID.
            #[must_use]
            pub const fn from_halves(high: u64, low: u64) -> Self {
                Self(((high as u128) << 64) | low as u128)
            }

            /// The upper 64 bits: time and counter; unique among the ids of one generator, and ordered.
            #[must_use]
            pub const fn high(self) -> u64 {
                (self.0 >> 64) as u64
            }

            /// The lower 64 bits: the random part.
            #[must_use]
            pub const fn low(self) -> u64 {
                self.0 as u64
            }

            /// When it was made.
            #[must_use]
            pub const fn time(self) -> UnixMs {
                UnixMs((self.0 >> 80) as i64)
            }

            /// The lowest id that could have been made at `time`; for ranges.
            #[must_use]
            pub fn lowest_at(time: UnixMs) -> Self {
                let ms = u128::try_from(time.0).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
                Self(ms << 80)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0u8; TEXT_LEN];
                encode(self.0, &mut text);
                f.write_str(Self::PREFIX)?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(decode)
                    .map(Self)
                    .ok_or(ParseIdError { prefix: Self::PREFIX })
            }
        }

        impl From<$name> for u128 {
            fn from(id: $name) -> u128 {
                id.0
            }
        }
    };
}

id_type!(/// An application.
    AppId, "app_");
id_type!(/// An endpoint.
    EndpointId, "ep_");
id_type!(/// An event (a message in the Svix API).
    EventId, "msg_");
id_type!(/// One attempt of a delivery.
    AttemptId, "atmpt_");
id_type!(/// A background task.
    TaskId, "qtask_");
id_type!(/// An access token.
    TokenId, "tok_");

/// An organisation: it exists by being named in a token. `org_` and 1–64 of `[A-Za-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgId(std::sync::Arc<str>);

impl OrgId {
    /// What its text starts with.
    pub const PREFIX: &'static str = "org_";

    /// The organisation of tokens that name none.
    #[must_use]
    pub fn default_org() -> Self {
        Self("org_23rb8YdGqMT0qIzpgGwdXfHirMu".into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrgId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let rest = text.strip_prefix(Self::PREFIX).ok_or(ParseIdError { prefix: Self::PREFIX })?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=64).contains(&rest.len()) && rest.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(ParseIdError { prefix: Self::PREFIX })
        }
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes ids that never go backwards within one generator, also when the clock does.
///
/// The upper 64 bits hold the millisecond, the version and a 12-bit counter; when 4,096 ids were made in one
/// millisecond the generator borrows from the next one. A store that remembers the highest id it saw calls
/// [`IdGenerator::resume_after`] at start, so that a restart cannot go backwards either.
#[derive(Debug, Default)]
pub struct IdGenerator {
    /// `ms << 12 | counter` of the last id.
    last: AtomicU64,
}

impl IdGenerator {
    /// A generator that has made nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every id is higher than one with the upper half `high`.
    pub fn resume_after(&self, high: u64) {
        let packed = ((high >> 16) << 12) | (high & 0xFFF);
        self.last.fetch_max(packed, Ordering::AcqRel);
    }

    /// The next id, as 128 bits; wrap it with the `from_u128` of the wanted kind.
    pub fn next(&self, now: UnixMs) -> u128 {
        let floor = (u64::try_from(now.0).unwrap_or(0) & 0xFFFF_FFFF_FFFF) << 12;
        let step = |last: u64| Some(if floor > last { floor } else { last + 1 });
        let last = match self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(last) | Err(last) => last,
        };
        let packed = if floor > last { floor } else { last + 1 };
        let high = ((packed >> 12) << 16) | 0x7000 | (packed & 0xFFF);
        let low = (fastrand::u64(..) >> 2) | (0b10 << 62);
        (u128::from(high) << 64) | u128::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_never_go_backwards_and_are_unique_in_their_upper_half() {
        let ids = IdGenerator::new();
        let mut last = 0u64;
        for n in 0..20_000u64 {
            // The clock stands still, then jumps back an hour.
            let now = UnixMs(if n < 10_000 { 1_700_000_000_000 } else { 1_699_996_400_000 });
            let id = EventId::from_u128(ids.next(now));
            assert!(id.high() > last, "id {n} went backwards");
            last = id.high();
        }
    }

    #[test]
    fn a_restart_does_not_go_backwards() {
        let before = IdGenerator::new();
        let id = EventId::from_u128(before.next(UnixMs(1_700_000_000_000)));
        let after = IdGenerator::new();
        after.resume_after(id.high());
        assert!(EventId::from_u128(after.next(UnixMs(1_600_000_000_000))).high() > id.high());
    }

    #[test]
    fn an_id_is_a_version_7_uuid_of_its_time() {
        let id = EventId::from_u128(IdGenerator::new().next(UnixMs(1_700_000_000_123)));
        assert_eq!(id.time(), UnixMs(1_700_000_000_123));
        assert_eq!((id.as_u128() >> 76) & 0xF, 7);
        assert_eq!(id.low() >> 62, 0b10);
    }

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_as_the_value(a: u128, b: u128) {
            let (x, y) = (EventId::from_u128(a), EventId::from_u128(b));
            prop_assert_eq!(x.to_string().parse::<EventId>().ok(), Some(x));
            prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<EventId>();
            let _ = format!("msg_{text}").parse::<EventId>();
            let _ = text.parse::<OrgId>();
        }
    }
}
