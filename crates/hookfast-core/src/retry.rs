//! When a failed try is tried again. Pure: time and chance come in as arguments.

use crate::UnixMs;
use crate::limits::RETRY_AFTER_MS_MAX;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The waits between tries, and their spread.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Wait before the 2nd, 3rd, … try in milliseconds; there are `delays_ms.len() + 1` tries.
    pub delays_ms: Vec<u64>,
    /// Each wait is multiplied by a number between `1 - jitter` and `1 + jitter`.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    /// The example schedule of Standard Webhooks: 10 tries over 75 h 35 m 5 s.
    fn default() -> Self {
        Self {
            delays_ms: vec![
                5 * SECOND,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ],
            jitter: 0.2,
        }
    }
}

impl RetryPolicy {
    /// Greatest number of waits.
    pub const DELAYS_MAX: usize = 50;
    /// Longest single wait.
    pub const DELAY_MS_MAX: u64 = 7 * 24 * HOUR;

    /// How many tries there are in all.
    #[must_use]
    pub fn tries_max(&self) -> u32 {
        u32::try_from(self.delays_ms.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// When the next try is due after `tries` have failed, the last one at `now`; `None` when they are used up.
    ///
    /// `chance` is a random number in `0.0..1.0`; `retry_after_ms` is what the receiver asked for: it is honoured
    /// up to 24 h and never makes the wait shorter.
    #[must_use]
    pub fn next_due(&self, tries: u32, now: UnixMs, retry_after_ms: Option<u64>, chance: f64) -> Option<UnixMs> {
        let index = usize::try_from(tries.max(1) - 1).ok()?;
        let base_ms = *self.delays_ms.get(index)?;
        let factor = 1.0 - self.jitter + 2.0 * self.jitter * chance.clamp(0.0, 1.0);
        let wait_ms = (base_ms as f64 * factor) as u64;
        let asked_ms = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
        Some(now.plus_ms(wait_ms.max(asked_ms)))
    }

    /// How long after its acceptance a delivery may still wait for its endpoint to come back: twice the schedule,
    /// and an hour at least. Past it, what still waits ends as `dead`, cause `endpoint_down`.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.delays_ms.iter().fold(0u64, |sum, delay| sum.saturating_add(*delay)).saturating_mul(2).max(HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_schedule_is_ten_tries_over_75_h_35_m_5_s() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.tries_max(), 10);
        assert_eq!(policy.delays_ms.iter().sum::<u64>(), 75 * HOUR + 35 * MINUTE + 5 * SECOND);
        assert_eq!(policy.next_due(10, UnixMs(0), None, 0.5), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_bounds_and_retry_after_never_shortens(
            tries in 1u32..10, chance in 0.0f64..1.0, asked in proptest::option::of(0u64..u64::MAX),
        ) {
            let policy = RetryPolicy::default();
            let base = policy.delays_ms[tries as usize - 1] as f64;
            let due = policy.next_due(tries, UnixMs(1000), asked, chance).unwrap();
            let wait = due.since(UnixMs(1000)) as f64;
            prop_assert!(wait >= base * 0.8 - 1.0);
            prop_assert!(wait <= (base * 1.2).max(RETRY_AFTER_MS_MAX as f64) + 1.0);
            if let Some(asked) = asked {
                prop_assert!(wait >= asked.min(RETRY_AFTER_MS_MAX) as f64 - 1.0);
            } else {
                prop_assert!(wait <= base * 1.2 + 1.0);
            }
        }
    }
}
