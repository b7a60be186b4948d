//! Is an endpoint failing, and how far apart are its tries then? Also: since when has it failed, and is it to be
//! disabled? Pure: results and times come in, marks for the store go out. Waiting never spends a try.

use hookfast_core::delivery::Cause;
use hookfast_core::model::Disabled;
use hookfast_core::ports::HealthMark;
use hookfast_core::{EndpointId, UnixMs};

/// So many tries in a row that reached nobody make an endpoint failing.
const UNREACHED_MAX: u32 = 3;
/// Results are judged over this many buckets of this length: a minute.
const BUCKETS: usize = 6;
const BUCKET_MS: i64 = 10_000;
/// Of at least this many results …
const RESULTS_MIN: u32 = 10;
/// … this share must have failed, in percent.
const FAILED_PERCENT: u32 = 70;
/// The first pause between two tries of a failing endpoint.
const GAP_MS_MIN: u64 = 1;
/// A success counts for this long as proof that the endpoint answers.
const PROVEN_MS: u64 = 10 * 60 * 1_000;
/// Failures are remembered in the store once they lasted this long, so that one that fails now and then costs no
/// writes.
const MARK_AFTER_MS: u64 = 5_000;

/// Limits that differ by endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HealthLimits {
    pub(crate) gap_ms_max: u64,
    pub(crate) disable_after_ms: u64,
}

/// Where an endpoint stands after a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As before.
    Same,
    /// From now on its tries are paced.
    Failing,
    /// It answered: no longer paced, to be started slowly.
    Recovered,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Tries that started before do not stretch the gap.
    since: UnixMs,
    gap_ms: u64,
}

/// The health of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    unreached: u32,
    /// Successes and failures by bucket of time.
    results: [(u32, u32); BUCKETS],
    bucket: i64,
    pace: Option<Pace>,
    not_before: UnixMs,
    last_success: Option<UnixMs>,
    failing_since: Option<UnixMs>,
    /// The store knows `failing_since`.
    marked: bool,
    /// The store was asked to disable the endpoint; nothing starts until it has.
    disabling: bool,
}

impl Health {
    /// `failing_since`: what the store remembers.
    pub(crate) fn new(failing_since: Option<UnixMs>) -> Self {
        Self {
            unreached: 0,
            results: [(0, 0); BUCKETS],
            bucket: 0,
            pace: None,
            not_before: UnixMs::ZERO,
            last_success: None,
            failing_since,
            marked: failing_since.is_some(),
            disabling: false,
        }
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.pace.is_some()
    }

    /// No try may start before.
    pub(crate) fn not_before(&self) -> UnixMs {
        self.not_before
    }

    pub(crate) fn is_disabling(&self) -> bool {
        self.disabling
    }

    /// It has answered at some time.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.last_success.is_some()
    }

    /// It answered lately.
    pub(crate) fn is_proven(&self, now: UnixMs) -> bool {
        self.last_success.is_some_and(|at| now.since(at) < PROVEN_MS)
    }

    /// The endpoint's configuration changed: tries may start again, and at once.
    pub(crate) fn configured(&mut self) {
        self.disabling = false;
        self.not_before = UnixMs::ZERO;
    }

    /// The endpoint was enabled: what was before does not count.
    pub(crate) fn enabled(&mut self, failing_since: Option<UnixMs>) {
        *self = Self { last_success: self.last_success, ..Self::new(failing_since) };
    }

    /// A try succeeded.
    pub(crate) fn succeeded(&mut self, id: EndpointId, now: UnixMs, marks: &mut Vec<HealthMark>) -> Turn {
        self.last_success = Some(now);
        self.unreached = 0;
        if self.failing_since.take().is_some() && std::mem::take(&mut self.marked) {
            marks.push(HealthMark::Recovered(id));
        }
        if self.pace.take().is_none() {
            self.current(now).0 += 1;
            return Turn::Same;
        }
        self.not_before = UnixMs::ZERO;
        self.results = [(0, 0); BUCKETS];
        Turn::Recovered
    }

    /// A try that started at `started` failed.
    pub(crate) fn failed(
        &mut self,
        id: EndpointId,
        cause: Cause,
        started: UnixMs,
        now: UnixMs,
        limits: HealthLimits,
        marks: &mut Vec<HealthMark>,
    ) -> Turn {
        self.current(now).1 += 1;
        let reached_nobody = matches!(cause, Cause::Timeout | Cause::Connect | Cause::Dns | Cause::Tls);
        self.unreached = if reached_nobody { self.unreached.saturating_add(1) } else { 0 };
        let turn = self.set_pace(started, now, limits.gap_ms_max.max(GAP_MS_MIN));
        self.remember(id, cause, now, limits.disable_after_ms, marks);
        turn
    }

    fn set_pace(&mut self, started: UnixMs, now: UnixMs, gap_ms_max: u64) -> Turn {
        if let Some(pace) = &mut self.pace {
            if started >= pace.since {
                pace.gap_ms = (pace.gap_ms * 2).clamp(GAP_MS_MIN, gap_ms_max);
                self.not_before = now.plus_ms(pace.gap_ms);
            }
            return Turn::Same;
        }
        if self.unreached < UNREACHED_MAX && !self.mostly_failed() {
            return Turn::Same;
        }
        self.pace = Some(Pace { since: now, gap_ms: GAP_MS_MIN });
        self.not_before = now.plus_ms(GAP_MS_MIN);
        Turn::Failing
    }

    fn remember(&mut self, id: EndpointId, cause: Cause, now: UnixMs, disable_ms: u64, marks: &mut Vec<HealthMark>) {
        let since = *self.failing_since.get_or_insert(now);
        let lasted_ms = now.since(since);
        if !self.marked && (self.pace.is_some() || lasted_ms >= MARK_AFTER_MS) {
            self.marked = true;
            marks.push(HealthMark::FailingSince(id, since));
        }
        let reason = match cause {
            Cause::Gone => Disabled::Gone,
            _ if lasted_ms > disable_ms => Disabled::Failing,
            _ => return,
        };
        if !std::mem::replace(&mut self.disabling, true) {
            marks.push(HealthMark::Disable(id, reason));
        }
    }

    fn mostly_failed(&self) -> bool {
        let (good, bad) = self.results.iter().fold((0u32, 0u32), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        good + bad >= RESULTS_MIN && bad * 100 >= (good + bad) * FAILED_PERCENT
    }

    /// The bucket of now; those whose time has passed are emptied.
    fn current(&mut self, now: UnixMs) -> &mut (u32, u32) {
        let bucket = now.0.div_euclid(BUCKET_MS);
        if bucket > self.bucket {
            let passed = usize::try_from(bucket - self.bucket).unwrap_or(BUCKETS).min(BUCKETS);
            for back in 0..passed {
                let at = usize::try_from((bucket - back as i64).rem_euclid(BUCKETS as i64)).unwrap_or(0);
                self.results[at % BUCKETS] = (0, 0);
            }
            self.bucket = bucket;
        }
        let at = usize::try_from(self.bucket.rem_euclid(BUCKETS as i64)).unwrap_or(0);
        &mut self.results[at % BUCKETS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HealthLimits = HealthLimits { gap_ms_max: 100, disable_after_ms: 60_000 };

    fn id() -> EndpointId {
        EndpointId::from_u128(7)
    }

    fn fail(health: &mut Health, cause: Cause, ms: i64) -> (Turn, Vec<HealthMark>) {
        let mut marks = Vec::new();
        let turn = health.failed(id(), cause, UnixMs(ms), UnixMs(ms), LIMITS, &mut marks);
        (turn, marks)
    }

    fn succeed(health: &mut Health, ms: i64) -> (Turn, Vec<HealthMark>) {
        let mut marks = Vec::new();
        let turn = health.succeeded(id(), UnixMs(ms), &mut marks);
        (turn, marks)
    }

    #[test]
    fn three_that_reached_nobody_make_it_failing_and_one_success_ends_it() {
        let mut health = Health::new(None);
        assert_eq!(fail(&mut health, Cause::Timeout, 1_000).0, Turn::Same);
        assert_eq!(fail(&mut health, Cause::Connect, 1_001).0, Turn::Same);
        let (turn, marks) = fail(&mut health, Cause::Dns, 1_002);
        assert_eq!((turn, marks), (Turn::Failing, vec![HealthMark::FailingSince(id(), UnixMs(1_000))]));
        let mut gap = 1;
        for ms in [2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000] {
            fail(&mut health, Cause::Timeout, ms);
            gap = (gap * 2).min(100);
            assert_eq!(health.not_before(), UnixMs(ms + gap));
        }
        assert_eq!(succeed(&mut health, 10_000), (Turn::Recovered, vec![HealthMark::Recovered(id())]));
        assert!(!health.is_failing() && health.not_before() <= UnixMs(10_000));
        assert_eq!(fail(&mut health, Cause::Status, 10_001).0, Turn::Same, "the past is forgotten");
    }

    #[test]
    fn seven_of_ten_failures_within_a_minute_make_it_failing() {
        let mut health = Health::new(None);
        for ms in 0..3 {
            succeed(&mut health, ms);
        }
        for ms in 3..9 {
            assert_eq!(fail(&mut health, Cause::Status, ms).0, Turn::Same);
        }
        assert_eq!(fail(&mut health, Cause::Status, 9).0, Turn::Failing);

        let mut slow = Health::new(None);
        for at in 0..40 {
            assert_eq!(fail(&mut slow, Cause::Status, at * 8_000).0, Turn::Same, "fewer than ten in a minute");
        }
    }

    #[test]
    fn failures_of_tries_begun_before_do_not_stretch_the_gap() {
        let mut health = Health::new(None);
        for _ in 0..3 {
            fail(&mut health, Cause::Timeout, 5_000);
        }
        let mut marks = Vec::new();
        for _ in 0..60 {
            health.failed(id(), Cause::Timeout, UnixMs(4_000), UnixMs(5_000), LIMITS, &mut marks);
        }
        assert_eq!(health.not_before(), UnixMs(5_001));
    }

    #[test]
    fn gone_disables_once_and_so_does_failing_for_too_long_across_restarts() {
        let mut health = Health::new(None);
        assert_eq!(fail(&mut health, Cause::Gone, 10).1, vec![HealthMark::Disable(id(), Disabled::Gone)]);
        assert!(fail(&mut health, Cause::Gone, 11).1.is_empty());
        health.enabled(None);
        assert!(!health.is_disabling());

        let mut restarted = Health::new(Some(UnixMs(0)));
        assert!(fail(&mut restarted, Cause::Status, 60_000).1.is_empty());
        let disable = HealthMark::Disable(id(), Disabled::Failing);
        assert_eq!(fail(&mut restarted, Cause::Status, 60_001).1, vec![disable]);
    }

    #[test]
    fn a_failure_now_and_then_is_not_written_down() {
        let mut health = Health::new(None);
        for at in 0..50 {
            assert!(succeed(&mut health, at * 100).1.is_empty());
            assert!(succeed(&mut health, at * 100 + 1).1.is_empty());
            assert!(fail(&mut health, Cause::Status, at * 100 + 50).1.is_empty());
        }
        assert_eq!(fail(&mut health, Cause::Status, 9_950).1, vec![HealthMark::FailingSince(id(), UnixMs(4_950))]);
    }

    proptest! {
        /// The gap never exceeds its limit, marks alternate, and only failing endpoints are paced.
        #[test]
        fn rules_hold_for_every_history(
            steps in proptest::collection::vec((proptest::sample::select(Cause::ALL), 0i64..30_000), 1..200),
            gap_ms_max in 0u64..2_000,
        ) {
            let limits = HealthLimits { gap_ms_max, disable_after_ms: u64::MAX };
            let (mut health, mut now, mut known_failing) = (Health::new(None), 0, false);
            for (cause, wait) in steps {
                now += wait;
                let mut marks = Vec::new();
                if cause == Cause::Ok {
                    health.succeeded(id(), UnixMs(now), &mut marks);
                    prop_assert!(!health.is_failing());
                } else {
                    health.failed(id(), cause, UnixMs(now), UnixMs(now), limits, &mut marks);
                }
                prop_assert!(health.not_before().since(UnixMs(now)) <= gap_ms_max.max(1));
                prop_assert!(health.is_failing() || health.not_before() <= UnixMs(now));
                for mark in marks {
                    match mark {
                        HealthMark::FailingSince(_, since) => {
                            prop_assert!(!known_failing && since <= UnixMs(now));
                            known_failing = true;
                        }
                        HealthMark::Recovered(_) => {
                            prop_assert!(known_failing);
                            known_failing = false;
                        }
                        HealthMark::Disable(..) => prop_assert!(cause == Cause::Gone),
                    }
                }
            }
        }
    }
}
