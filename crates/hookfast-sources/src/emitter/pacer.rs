//! When the next event is due. Pure: the time passed since the start comes in as an argument.

use hookfast_core::{Error, Result};

/// What is late by more than this is not made up for.
const CATCH_UP_NS: u64 = 100_000_000;
/// Highest rate, in events per second.
const RATE_MAX: f64 = 1_000_000.0;
/// Longest interval: a day.
const INTERVAL_MS_MAX: u64 = 24 * 3600 * 1000;

/// How fast events are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// One every so many milliseconds, 1 to a day.
    IntervalMs(u64),
    /// So many per second, above 0 and at most a million.
    PerSecond(f64),
}

impl Pace {
    /// The time between two events, in nanoseconds.
    ///
    /// # Errors
    /// `Invalid` when it is outside of its bounds.
    pub fn interval_ns(self) -> Result<u64> {
        match self {
            Self::IntervalMs(ms) if (1..=INTERVAL_MS_MAX).contains(&ms) => Ok(ms * 1_000_000),
            Self::IntervalMs(ms) => {
                Err(Error::invalid("interval_ms", format!("expected 1 to {INTERVAL_MS_MAX}, found {ms}")))
            }
            Self::PerSecond(rate) if rate > 0.0 && rate <= RATE_MAX => {
                Ok(((1e9 / rate) as u64).clamp(1, INTERVAL_MS_MAX * 1_000_000))
            }
            Self::PerSecond(rate) => {
                Err(Error::invalid("rate", format!("expected more than 0 and at most {RATE_MAX}, found {rate}")))
            }
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Make so many events now.
    pub due: u64,
    /// So many were due so long ago that they are dropped.
    pub skipped: u64,
    /// Ask again at this time since the start.
    pub next_ns: u64,
}

/// Spreads events evenly over time; after a pause it goes on at its pace and makes no burst.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    interval_ns: u64,
    /// When the next event is due, since the start.
    next_ns: u64,
}

impl Pacer {
    /// The first event is due at once.
    #[must_use]
    pub fn new(interval_ns: u64) -> Self {
        Self { interval_ns: interval_ns.max(1), next_ns: 0 }
    }

    /// Changes the pace; a next event that was further away than the new interval comes after one new interval.
    pub fn set_interval_ns(&mut self, interval_ns: u64, now_ns: u64) {
        let interval_ns = interval_ns.max(1);
        if interval_ns != self.interval_ns {
            self.interval_ns = interval_ns;
            self.next_ns = self.next_ns.min(now_ns.saturating_add(interval_ns));
        }
    }

    /// What is due at `now_ns`, at most `left`.
    pub fn step(&mut self, now_ns: u64, left: u64) -> Step {
        if now_ns < self.next_ns {
            return Step { due: 0, skipped: 0, next_ns: self.next_ns };
        }
        let late = (now_ns - self.next_ns) / self.interval_ns + 1;
        let catch_up_max = (CATCH_UP_NS / self.interval_ns).max(1);
        let due = late.min(catch_up_max).min(left);
        let skipped = late - late.min(catch_up_max);
        self.next_ns = self.next_ns.saturating_add(late.saturating_mul(self.interval_ns));
        Step { due, skipped, next_ns: self.next_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pause_of_an_hour_makes_no_burst() {
        let mut pacer = Pacer::new(Pace::PerSecond(20.0).interval_ns().unwrap());
        assert_eq!(pacer.step(0, u64::MAX).due, 1);
        let step = pacer.step(3_600_000_000_000, u64::MAX);
        assert_eq!((step.due, step.skipped), (2, 71_998));
    }

    #[test]
    fn a_slow_pace_can_be_made_fast_at_once() {
        let mut pacer = Pacer::new(Pace::IntervalMs(60_000).interval_ns().unwrap());
        pacer.step(0, u64::MAX);
        pacer.set_interval_ns(1_000_000, 5);
        assert_eq!(pacer.step(1_000_005, u64::MAX).due, 1);
    }

    #[test]
    fn what_is_no_pace_is_refused() {
        for pace in [Pace::IntervalMs(0), Pace::IntervalMs(u64::MAX), Pace::PerSecond(0.0), Pace::PerSecond(f64::NAN)] {
            assert!(pace.interval_ns().is_err(), "{pace:?}");
        }
    }

    proptest! {
        /// However it is woken, the number made stays within the rate and one catch-up, and is never too small while
        /// it is woken in time.
        #[test]
        fn the_rate_holds(interval in 1u64..1_000_000_000, naps in proptest::collection::vec(0u64..50_000_000, 1..200)) {
            let mut pacer = Pacer::new(interval);
            let (mut now, mut made) = (0u64, 0u64);
            for nap in naps {
                let step = pacer.step(now, u64::MAX);
                made += step.due;
                prop_assert!(step.next_ns > now);
                prop_assert!(step.due <= (CATCH_UP_NS / interval).max(1));
                prop_assert_eq!(step.skipped, 0, "naps are shorter than the catch-up");
                prop_assert_eq!(made, now / interval + 1);
                now += nap;
            }
        }
    }
}
