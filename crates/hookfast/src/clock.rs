//! The clock of this process: the only place that reads the system's time.

use hookfast_core::{Clock, UnixMs};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// At most so much of the passing time is added to or taken from scheduling time to follow the wall clock.
const SLEW_US_PER_S: i64 = 50_000;
/// How often the two clocks are compared.
const COMPARE_EVERY_US: i64 = 20_000;

/// Scheduling time that starts at the wall clock, runs evenly, and follows later changes of the wall clock slowly.
#[derive(Debug)]
pub(crate) struct SystemClock {
    slewed: Slewed,
}

impl SystemClock {
    /// Starts at the wall clock.
    pub(crate) fn start() -> Self {
        Self { slewed: Slewed::new(monotonic_us(), wall_us()) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.slewed.now_us(monotonic_us(), wall_us).div_euclid(1000))
    }

    fn wall(&self) -> UnixMs {
        UnixMs(wall_us().div_euclid(1000))
    }
}

/// Time since boot, sleep included: a machine that slept is at once on time, instead of slewing for hours.
fn monotonic_us() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = ClockId::Monotonic;
    let time = clock_gettime(id);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
}

/// Through the C library, not by a system call of our own: what gives a process another wall clock, such as libfaketime,
/// steps in there.
#[expect(clippy::disallowed_methods, reason = "this is the clock that is passed on to all others")]
fn wall_us() -> i64 {
    let us = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => us(after),
        Err(before) => -us(before.duration()),
    }
}

/// The arithmetic, without a clock of its own. All times in microseconds.
#[derive(Debug)]
struct Slewed {
    /// What is added to monotonic time.
    offset: AtomicI64,
    /// Monotonic time of the last comparison.
    compared: AtomicI64,
    /// Nothing earlier than this is answered, so that slewing back never shows as a step back.
    floor: AtomicI64,
}

impl Slewed {
    fn new(monotonic: i64, wall: i64) -> Self {
        let offset = wall.saturating_sub(monotonic);
        Self { offset: offset.into(), compared: monotonic.into(), floor: wall.into() }
    }

    fn now_us(&self, monotonic: i64, wall: impl Fn() -> i64) -> i64 {
        let compared = self.compared.load(Ordering::Relaxed);
        let passed = monotonic.saturating_sub(compared);
        if passed >= COMPARE_EVERY_US
            && self.compared.compare_exchange(compared, monotonic, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            // Only the thread that won the exchange adjusts.
            let before = monotonic.saturating_add(self.offset.load(Ordering::Acquire));
            let most =
                (passed / 1_000_000).saturating_mul(SLEW_US_PER_S) + (passed % 1_000_000) * SLEW_US_PER_S / 1_000_000;
            let step = wall().saturating_sub(before).clamp(-most, most);
            self.floor.fetch_max(before, Ordering::AcqRel);
            self.offset.fetch_add(step, Ordering::AcqRel);
        }
        monotonic.saturating_add(self.offset.load(Ordering::Acquire)).max(self.floor.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;

    #[test]
    fn a_wall_clock_that_jumps_an_hour_moves_time_by_a_twentieth_at_most() {
        for jump in [HOUR, -HOUR] {
            let clock = Slewed::new(0, 1000 * HOUR);
            let mut last = 1000 * HOUR;
            for tick in 1..=1000 {
                let monotonic = tick * SECOND / 10;
                let now = clock.now_us(monotonic, || 1000 * HOUR + monotonic + jump);
                let passed = now - last;
                assert!((95_000..=105_000).contains(&passed), "{passed} µs passed in 100 ms");
                last = now;
            }
        }
    }

    #[test]
    fn a_small_difference_is_made_up_and_then_time_is_the_wall_clock() {
        let clock = Slewed::new(0, HOUR);
        let wall = |monotonic: i64| HOUR + monotonic + 100_000;
        for tick in 1..100 {
            clock.now_us(tick * SECOND / 10, || wall(tick * SECOND / 10));
        }
        assert_eq!(clock.now_us(20 * SECOND, || wall(20 * SECOND)), wall(20 * SECOND));
    }

    #[test]
    fn the_real_one_is_near_the_wall_clock() {
        let clock = SystemClock::start();
        assert!(clock.now().0.abs_diff(clock.wall().0) < 1000);
    }

    proptest! {
        #[test]
        fn time_never_goes_backwards(steps in proptest::collection::vec((0i64..SECOND, -HOUR..HOUR), 1..200)) {
            let clock = Slewed::new(0, 1000 * HOUR);
            let (mut monotonic, mut last) = (0, 0);
            for (step, jump) in steps {
                monotonic += step;
                let now = clock.now_us(monotonic, || 1000 * HOUR + monotonic + jump);
                prop_assert!(now >= last);
                last = now;
            }
        }
    }
}
