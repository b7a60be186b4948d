//! How often the tries of an endpoint, or of all endpoints of an application, may start: as if evenly spaced, with a
//! little tolerance so that what a busy node missed is made up for at once and nothing more is. Pure: times come in.

use hookfast_core::UnixMs;

/// Tries may start so much earlier than evenly spaced ones would. More would let a second have more than its rate.
const TOLERANCE_US: i64 = 45_000;
/// What may start within this time is held in memory.
const AHEAD_MS: u64 = 500;
/// At most.
const AHEAD_MAX: u32 = 256;
/// Nothing is claimed earlier than this before a start.
const CLAIM_LEAD_MS: u64 = 250;

/// A throttle.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    per_s: u16,
    /// When the next try would start if all were evenly spaced, in microseconds since the epoch.
    even_us: i64,
}

impl Throttle {
    /// The first try may start at once; there is nothing yet to make up for, perhaps others used the rate until now.
    pub(crate) fn new(per_s: u16, now: UnixMs) -> Self {
        Self { per_s: per_s.max(1), even_us: micros(now).saturating_add(TOLERANCE_US) }
    }

    pub(crate) fn per_s(&self) -> u16 {
        self.per_s
    }

    /// Never faster than the rate: rounded up.
    fn interval_us(&self) -> i64 {
        i64::from(1_000_000_u32.div_ceil(u32::from(self.per_s)))
    }

    /// Another rate, in force at once: what was used up at the old one is not waited for longer than one try's time.
    pub(crate) fn set(&mut self, per_s: u16, now: UnixMs) {
        self.per_s = per_s.max(1);
        self.even_us = self.even_us.min(micros(now) + TOLERANCE_US + self.interval_us());
    }

    /// No try may start before.
    pub(crate) fn not_before(&self) -> UnixMs {
        UnixMs(self.even_us.saturating_sub(TOLERANCE_US).saturating_add(999).div_euclid(1_000))
    }

    /// How many deliveries are held for it.
    pub(crate) fn ahead(&self) -> u32 {
        let ahead = u64::from(self.per_s) * AHEAD_MS / 1_000;
        u32::try_from(ahead).unwrap_or(AHEAD_MAX).clamp(1, AHEAD_MAX)
    }

    /// Nothing is to be claimed before: it could not start for a while, and would take the place of others.
    pub(crate) fn claim_not_before(&self) -> UnixMs {
        self.not_before().minus_ms(CLAIM_LEAD_MS)
    }

    /// A try starts.
    pub(crate) fn take(&mut self, now: UnixMs) {
        self.even_us = self.even_us.max(micros(now)).saturating_add(self.interval_us());
    }
}

fn micros(at: UnixMs) -> i64 {
    at.0.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Starts as many tries as it may, looking every `steps` milliseconds in turn.
    fn starts(throttle: &mut Throttle, from_ms: i64, steps: &[i64], until_ms: i64) -> Vec<i64> {
        let (mut now, mut starts) = (from_ms, Vec::new());
        for step in steps.iter().cycle() {
            while throttle.not_before() <= UnixMs(now) {
                throttle.take(UnixMs(now));
                starts.push(now);
            }
            now += step;
            if now >= until_ms {
                return starts;
            }
        }
        starts
    }

    proptest! {
        /// However irregularly it is asked: no window holds more than the rate and the tolerance allow, and a backlog
        /// is worked off at the rate.
        #[test]
        fn the_rate_is_kept_and_used(per_s in 1u16..5_000, steps in proptest::collection::vec(1i64..40, 1..20)) {
            let mut throttle = Throttle::new(per_s, UnixMs(1_000_000));
            let starts = starts(&mut throttle, 1_000_000, &steps, 1_010_000);
            let rate = f64::from(per_s);
            let most = rate * 1.045 + 2.0;
            let mut first = 0;
            for (at, start) in starts.iter().enumerate() {
                while starts[first] + 1_000 <= *start {
                    first += 1;
                }
                let within = at + 1 - first;
                prop_assert!(within as f64 <= most, "{within} within a second at {per_s}/s");
            }
            let all = starts.len() as f64;
            prop_assert!(all >= rate * 9.9 * 0.99 - 1.0 && all <= rate * 10.05 + 2.0, "{all} in 10 s at {per_s}/s");
        }
    }

    proptest! {
        /// Who goes on where another one stopped exceeds the rate by one try at most, however soon.
        #[test]
        fn a_hand_over_keeps_the_rate(per_s in 1u16..2_000, until_ms in 1_000i64..3_000, gap_ms in 0i64..100) {
            let from = 1_000_000 + until_ms;
            let mut first = Throttle::new(per_s, UnixMs(1_000_000));
            let mut starts = starts(&mut first, 1_000_000, &[1], from);
            let mut second = Throttle::new(per_s, UnixMs(from + gap_ms));
            starts.extend(self::starts(&mut second, from + gap_ms, &[1], from + 2_000));
            let most = f64::from(per_s) * 1.001 + 2.0;
            let mut first = 0;
            for (at, start) in starts.iter().enumerate().skip(usize::from(per_s)) {
                while starts[first] + 1_000 <= *start {
                    first += 1;
                }
                let within = at + 1 - first;
                prop_assert!(within as f64 <= most, "{within} within a second at {per_s}/s");
            }
        }
    }

    #[test]
    fn a_new_rate_is_in_force_at_once() {
        let mut throttle = Throttle::new(1, UnixMs(4_000));
        throttle.take(UnixMs(5_000));
        assert_eq!(throttle.not_before(), UnixMs(5_955));
        throttle.set(100, UnixMs(5_001));
        assert_eq!(throttle.not_before(), UnixMs(5_011));
        throttle.set(1, UnixMs(5_002));
        throttle.take(UnixMs(5_011));
        assert!(throttle.not_before() >= UnixMs(5_966));
    }
}
