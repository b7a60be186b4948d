//! Points in time, and the clock that every part is given. Must not read a clock itself.

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The start of the epoch: earlier than every event.
    pub const ZERO: Self = Self(0);
    /// Later than every event.
    pub const MAX: Self = Self(i64::MAX);

    /// This point plus `ms`, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// This point minus `ms`, saturating.
    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// The time of one node. Never blocks.
pub trait Clock: Send + Sync {
    /// Scheduling time: the wall clock at start plus monotonic time; later jumps of the wall clock are slewed,
    /// so that a jump causes no storm of retries.
    fn now(&self) -> UnixMs;

    /// The real wall clock, for signatures and the timestamps that receivers check.
    fn wall(&self) -> UnixMs;
}
