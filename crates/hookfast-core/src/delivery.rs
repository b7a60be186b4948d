//! The life of a delivery as one pure state machine: `pending`, perhaps `retrying`, then one of three ends.

use crate::UnixMs;
use crate::retry::RetryPolicy;
use crate::{EndpointId, EventId};

/// Names one delivery: one event for one endpoint, in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// 0 at first; each resend or replay is the next run.
    pub run: u32,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Not tried yet: in memory or queued.
    Pending,
    /// Tried, to be tried again.
    Retrying,
    /// A receiver said 2xx. The end.
    Delivered,
    /// Its tries are used up, or it could not be processed. The end, until somebody replays it.
    Dead,
    /// Its endpoint was deleted, or somebody cancelled it. The end.
    Cancelled,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Retrying, Self::Delivered, Self::Dead, Self::Cancelled];

    /// The one spelling in store, API, metrics and docs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing more will happen to this run.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead | Self::Cancelled)
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What came of a try, or why a delivery ended without one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The one spelling in API, metrics and docs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The number kept in the store; never reused.
            #[must_use]
            pub fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }

            /// The reverse of [`Cause::code`].
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|cause| cause.code() == code)
            }
        }
    };
}

causes! {
    /// The receiver answered 2xx.
    Ok = 0, "ok";
    /// The receiver answered another status.
    Status = 1, "status";
    /// The receiver answered 3xx; redirects are not followed.
    Redirect = 2, "redirect";
    /// The receiver answered 410: it wants nothing more.
    Gone = 3, "gone";
    /// The receiver answered 429, 502, 503 or 504: it is overloaded.
    Throttled = 4, "throttled";
    /// The host name could not be resolved.
    Dns = 5, "dns";
    /// No connection could be made.
    Connect = 6, "connect";
    /// The TLS handshake failed.
    Tls = 7, "tls";
    /// No whole answer before the deadline; the receiver may have the event all the same.
    Timeout = 8, "timeout";
    /// The connection broke in the middle; the receiver may have the event all the same.
    Reset = 9, "reset";
    /// The answer was not HTTP.
    Protocol = 10, "protocol";
    /// The address is not one that may be dialled.
    BlockedAddress = 11, "blocked_address";
    /// The request could not be made from the endpoint's configuration (URL, headers, secret).
    Request = 12, "request";
    /// The worker died with it too often.
    Crashed = 13, "crashed";
    /// Its endpoint stayed down or disabled past the retry window.
    EndpointDown = 14, "endpoint_down";
    /// It was older than its retention before it could end.
    Expired = 15, "expired";
    /// Its endpoint was deleted.
    EndpointDeleted = 16, "endpoint_deleted";
    /// Its payload was deleted before it could be sent.
    PayloadDeleted = 17, "payload_deleted";
}

/// What one try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryResult {
    /// What came of it.
    pub cause: Cause,
    /// How long the receiver asked to wait.
    pub retry_after_ms: Option<u64>,
}

/// Where a delivery goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It ended.
    End(DeliveryState, Cause),
    /// It is tried again when due.
    Retry {
        /// When the next try is due.
        due: UnixMs,
    },
}

/// The edge out of a try: `tries` counts it, `chance` is random in `0.0..1.0`.
///
/// A 2xx ends as delivered; a failure is tried again while the policy has waits left, then ends as dead. Where a
/// repeat cannot help (the request itself cannot be made) it is retried all the same: configuration can be mended.
#[must_use]
pub fn after_try(policy: &RetryPolicy, tries: u32, result: TryResult, now: UnixMs, chance: f64) -> Next {
    if result.cause == Cause::Ok {
        return Next::End(DeliveryState::Delivered, Cause::Ok);
    }
    match policy.next_due(tries, now, result.retry_after_ms, chance) {
        Some(due) => Next::Retry { due },
        None => Next::End(DeliveryState::Dead, result.cause),
    }
}

/// Is this edge of the state machine allowed?
#[must_use]
pub fn may_follow(from: DeliveryState, to: DeliveryState) -> bool {
    use DeliveryState::{Cancelled, Dead, Delivered, Pending, Retrying};
    match from {
        Pending | Retrying => matches!(to, Retrying | Delivered | Dead | Cancelled),
        Delivered | Dead | Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cause() -> impl Strategy<Value = Cause> {
        proptest::sample::select(Cause::ALL)
    }

    #[test]
    fn causes_keep_their_code_and_spelling() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(*cause));
            assert_eq!(Cause::ALL.iter().filter(|other| other.as_str() == cause.as_str()).count(), 1);
        }
    }

    proptest! {
        /// However the tries come out: the delivery ends, after no more tries than the policy has, never after a
        /// success, and each due time is later than the try before it.
        #[test]
        fn every_history_ends_once(
            results in proptest::collection::vec((any_cause(), proptest::option::of(0u64..u64::MAX), 0.0f64..1.0), 1..40),
            delays in proptest::collection::vec(1u64..100_000, 0..12),
        ) {
            let policy = RetryPolicy { delays_ms: delays, jitter: 0.2 };
            let mut state = DeliveryState::Pending;
            let mut now = UnixMs(1_000_000);
            let mut tries = 0;
            for (cause, retry_after_ms, chance) in results {
                tries += 1;
                let next = after_try(&policy, tries, TryResult { cause, retry_after_ms }, now, chance);
                match next {
                    Next::Retry { due } => {
                        prop_assert!(cause != Cause::Ok);
                        prop_assert!(due >= now);
                        prop_assert!(may_follow(state, DeliveryState::Retrying));
                        state = DeliveryState::Retrying;
                        now = due;
                    }
                    Next::End(end, _) => {
                        prop_assert!(end.is_end() && may_follow(state, end));
                        prop_assert_eq!(end == DeliveryState::Delivered, cause == Cause::Ok);
                        state = end;
                        break;
                    }
                }
                prop_assert!(tries < policy.tries_max());
            }
            if tries >= policy.tries_max() {
                prop_assert!(state.is_end());
            }
        }

        #[test]
        fn nothing_follows_an_end(from in 0usize..5, to in 0usize..5) {
            let (from, to) = (DeliveryState::ALL[from], DeliveryState::ALL[to]);
            if from.is_end() {
                prop_assert!(!may_follow(from, to));
            }
        }
    }
}
