//! How fast one endpoint's deliveries end, and how long its tries take. Pure: estimates from counts and times.

use hookfast_core::UnixMs;

/// A rate is taken over at least this long.
const WINDOW_MS: u64 = 250;
/// A try counts for at most this much in the mean, so that one that hung is soon forgotten.
const SAMPLE_MS_MAX: u32 = 1_000;

/// Over so many tries the shortest one is forgotten.
const BEST_MEMORY: f32 = 1_024.0;

/// The pace of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    since: UnixMs,
    count: u32,
    /// Deliveries tried per second; 0 until the first window has passed.
    per_s: f32,
    mean_ms: f32,
    best_ms: f32,
}

impl Rate {
    pub(crate) fn new(now: UnixMs) -> Self {
        Self { since: now, count: 0, per_s: 0.0, mean_ms: 0.0, best_ms: f32::INFINITY }
    }

    /// A try ended.
    pub(crate) fn tried(&mut self, duration_ms: u32, now: UnixMs) {
        let sample_ms = duration_ms.min(SAMPLE_MS_MAX) as f32;
        self.mean_ms += (sample_ms - self.mean_ms) / 8.0;
        // Falls at once and rises slowly.
        self.best_ms =
            if sample_ms < self.best_ms { sample_ms } else { self.best_ms + (sample_ms - self.best_ms) / BEST_MEMORY };
        self.count += 1;
        let elapsed_ms = now.since(self.since);
        if elapsed_ms >= WINDOW_MS {
            let fresh = self.count as f32 * 1000.0 / elapsed_ms as f32;
            self.per_s = if self.per_s == 0.0 { fresh } else { (self.per_s + fresh) / 2.0 };
            self.since = now;
            self.count = 0;
        }
    }

    /// Nothing was in flight until now: the time that passed says nothing about the endpoint.
    pub(crate) fn resume(&mut self, now: UnixMs) {
        self.since = now;
        self.count = 0;
    }

    /// Mean duration of the last tries.
    pub(crate) fn mean_ms(&self) -> f32 {
        self.mean_ms
    }

    /// About the shortest of the last tries: what the endpoint itself takes, without what waits for this node.
    pub(crate) fn best_ms(&self) -> f32 {
        self.best_ms
    }

    /// How long `waiting` deliveries would take, in milliseconds. An endpoint of which nothing is known yet is given
    /// the time of one window; one that has stopped answering is slower the longer it is silent.
    pub(crate) fn expected_wait_ms(&self, waiting: u32, now: UnixMs) -> u64 {
        let elapsed_ms = now.since(self.since);
        let silent = elapsed_ms > 2 * WINDOW_MS;
        let current = (self.count + 1) as f32 * 1000.0 / elapsed_ms.max(1) as f32;
        let per_s = match (self.per_s > 0.0, silent) {
            (false, false) => return 0,
            (false, true) => current,
            (true, true) => current.min(self.per_s),
            (true, false) => self.per_s,
        };
        (waiting as f32 * 1000.0 / per_s.max(0.001)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_pace_is_learned() {
        let mut rate = Rate::new(UnixMs(0));
        for ms in 1..=2_000 {
            rate.tried(3, UnixMs(ms));
        }
        let wait = rate.expected_wait_ms(1_000, UnixMs(2_001));
        assert!((900..1_100).contains(&wait), "{wait}");
        assert!((2.9..3.1).contains(&rate.mean_ms()));
    }

    #[test]
    fn the_best_try_is_remembered_through_a_crowded_time() {
        let mut rate = Rate::new(UnixMs(0));
        rate.tried(2, UnixMs(1));
        for ms in 2..200 {
            rate.tried(40, UnixMs(ms));
        }
        assert!(rate.mean_ms() > 35.0 && rate.best_ms() < 12.0, "{} {}", rate.mean_ms(), rate.best_ms());
    }

    #[test]
    fn silence_makes_the_wait_longer_and_an_idle_time_does_not() {
        let mut rate = Rate::new(UnixMs(0));
        assert_eq!(rate.expected_wait_ms(50, UnixMs(100)), 0);
        assert!(rate.expected_wait_ms(50, UnixMs(2_000)) >= 50_000);
        rate.resume(UnixMs(60_000));
        assert_eq!(rate.expected_wait_ms(50, UnixMs(60_100)), 0);
        rate.tried(60_000, UnixMs(60_300));
        assert!(rate.mean_ms() <= SAMPLE_MS_MAX as f32 / 8.0);
    }
}
