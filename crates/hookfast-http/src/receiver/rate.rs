//! How many requests a source takes: of each client, and in all. Evenly spaced, with a burst on top (GCRA), so that one
//! number says all that must be remembered of a client. Pure: times come in.

use hookfast_core::UnixMs;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
/// The clock counts milliseconds: what comes within so many of them must fit into a burst.
const COARSE_MS: u32 = 10;

/// A rate with a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    interval_ns: u64,
    /// How far requests may run ahead of even spacing.
    ahead_ns_max: u64,
}

/// Too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSoon {
    /// The same request would pass after so long.
    pub(super) wait_ms: u64,
}

impl Rate {
    /// So many a second, `burst` of them at once; `None` when there is no limit.
    pub(super) fn new(per_s: u32, burst: u32) -> Option<Self> {
        let interval_ns = NS_PER_S.checked_div(per_s.into())?;
        let burst = burst.max(per_s / (1000 / COARSE_MS)).max(1);
        Some(Self { interval_ns, ahead_ns_max: u64::from(burst - 1).saturating_mul(interval_ns) })
    }

    /// From when the next request would come at even spacing, to when the one after it would.
    fn take(self, even_ns: u64, now: UnixMs) -> Result<u64, TooSoon> {
        let now_ns = nanos(now);
        let even_ns = even_ns.max(now_ns);
        let over_ns = (even_ns - now_ns).saturating_sub(self.ahead_ns_max);
        if over_ns > 0 { Err(TooSoon { wait_ms: over_ns.div_ceil(NS_PER_MS) }) } else { Ok(even_ns + self.interval_ns) }
    }
}

fn nanos(now: UnixMs) -> u64 {
    u64::try_from(now.0).unwrap_or(0).saturating_mul(NS_PER_MS)
}

/// One rate for all.
#[derive(Debug)]
pub(super) struct Total {
    rate: Rate,
    even_ns: AtomicU64,
}

impl Total {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, even_ns: AtomicU64::new(0) }
    }

    /// Would one pass now?
    pub(super) fn peek(&self, now: UnixMs) -> Result<(), TooSoon> {
        self.rate.take(self.even_ns.load(Ordering::Relaxed), now).map(|_| ())
    }

    /// Lets one pass.
    pub(super) fn take(&self, now: UnixMs) -> Result<(), TooSoon> {
        let mut even_ns = self.even_ns.load(Ordering::Relaxed);
        loop {
            let next_ns = self.rate.take(even_ns, now)?;
            match self.even_ns.compare_exchange_weak(even_ns, next_ns, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current_ns) => even_ns = current_ns,
            }
        }
    }
}

/// A rate for each of many clients. It remembers a bounded number of them: those that were silent longest are forgotten,
/// half of the table at a time, and begin anew.
#[derive(Debug)]
pub(super) struct Clients<K> {
    halves: Mutex<Halves<K>>,
    half_max: usize,
}

#[derive(Debug)]
struct Halves<K> {
    young: HashMap<K, u64>,
    old: HashMap<K, u64>,
}

impl<K: Eq + Hash> Clients<K> {
    pub(super) fn new(clients_max: usize) -> Self {
        let halves = Halves { young: HashMap::new(), old: HashMap::new() };
        Self { halves: Mutex::new(halves), half_max: (clients_max / 2).max(1) }
    }

    /// Lets a request of this client pass.
    pub(super) fn take(&self, client: K, rate: Rate, now: UnixMs) -> Result<(), TooSoon> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let Halves { young, old } = &mut *halves;
        if let Some(even_ns) = young.get_mut(&client) {
            *even_ns = rate.take(*even_ns, now)?;
            return Ok(());
        }
        let known_ns = old.remove(&client).unwrap_or(0);
        if young.len() >= self.half_max {
            std::mem::swap(young, old);
            young.clear();
        }
        let taken = rate.take(known_ns, now);
        young.insert(client, taken.unwrap_or(known_ns));
        taken.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(clients: &Clients<u8>, rate: Rate, now_ms: i64) -> usize {
        (0..100).filter(|_| clients.take(1, rate, UnixMs(now_ms)).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (clients, rate) = (Clients::new(10), Rate::new(10, 5).unwrap());
        assert_eq!(passed(&clients, rate, 1_000), 5);
        assert_eq!(clients.take(1, rate, UnixMs(1_000)), Err(TooSoon { wait_ms: 100 }));
        assert_eq!(passed(&clients, rate, 1_099), 0);
        assert_eq!(passed(&clients, rate, 1_100), 1);
        assert_eq!(passed(&clients, rate, 1_400), 3);
        assert_eq!(passed(&clients, rate, 60_000), 5);
    }

    #[test]
    fn nobody_waits_for_another_client() {
        let (clients, rate) = (Clients::new(10), Rate::new(1, 1).unwrap());
        assert_eq!(passed(&clients, rate, 0), 1);
        assert_eq!(clients.take(2, rate, UnixMs(0)), Ok(()));
    }

    #[test]
    fn the_table_keeps_to_its_size_and_those_who_keep_coming() {
        let (clients, rate) = (Clients::new(100), Rate::new(1, 1).unwrap());
        assert_eq!(clients.take(0, rate, UnixMs(0)), Ok(()));
        for client in 1..10_000u32 {
            assert_eq!(clients.take(client, rate, UnixMs(0)), Ok(()));
            assert!(clients.take(0, rate, UnixMs(0)).is_err(), "forgotten after {client} others");
        }
        let halves = clients.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 100);
    }

    #[test]
    fn a_total_is_asked_without_being_used_up() {
        let total = Total::new(Rate::new(1, 2).unwrap());
        assert!((0..10).all(|_| total.peek(UnixMs(5)).is_ok()));
        assert_eq!((0..10).filter(|_| total.take(UnixMs(5)).is_ok()).count(), 2);
        assert_eq!(total.peek(UnixMs(5)), Err(TooSoon { wait_ms: 1_000 }));
        assert_eq!(Rate::new(0, 5).map(|_| ()), None);
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst(per_s in 1u32..2_000_000, burst in 1u32..100, gaps in proptest::collection::vec(0i64..50, 1..60)) {
            let (total, mut now) = (Total::new(Rate::new(per_s, burst).unwrap()), 0);
            let mut count = 0u64;
            for gap in gaps {
                now += gap;
                while count < 100_000 && total.take(UnixMs(now)).is_ok() {
                    count += 1;
                }
            }
            let burst = u64::from(burst.max(per_s / 100));
            // Intervals are whole nanoseconds, rounded down: a little more than the rate at the very highest.
            let even = u64::try_from(now).unwrap() * 1_000_000 / (1_000_000_000 / u64::from(per_s));
            prop_assert!(count <= burst + even + 1, "{count} in {now} ms");
        }
    }
}
