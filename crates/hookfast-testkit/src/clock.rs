//! A clock that stands still until a test moves it.

use hookfast_core::{Clock, UnixMs};
use std::sync::atomic::{AtomicI64, Ordering};

/// 2026-01-05 10:30:00 UTC: a Monday, half past an hour, far from midnight.
const START_MS: i64 = 1_767_609_000_000;

/// A clock that is moved by hand; scheduling time and wall clock are the same.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { now_ms: AtomicI64::new(START_MS) }
    }
}

impl ManualClock {
    /// Moves it forward.
    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(i64::try_from(ms).unwrap(), Ordering::SeqCst);
    }

    /// Moves it forward by whole days.
    pub fn advance_days(&self, days: u64) {
        self.advance_ms(days * 24 * 3_600_000);
    }

    /// Moves it back.
    pub fn back_ms(&self, ms: u64) {
        self.now_ms.fetch_sub(i64::try_from(ms).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.now_ms.load(Ordering::SeqCst))
    }

    fn wall(&self) -> UnixMs {
        self.now()
    }
}
