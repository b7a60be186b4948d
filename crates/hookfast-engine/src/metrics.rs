//! What the engine counts and measures. Must not know who reads it.

use hookfast_core::delivery::{Cause, DeliveryState};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DutyLabel {
    duty: &'static str,
}

/// Figures taken by the sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauges {
    pub(crate) in_flight_fast: i64,
    pub(crate) in_flight_slow: i64,
    pub(crate) in_memory: i64,
    pub(crate) lanes: i64,
    pub(crate) failing: i64,
    pub(crate) oldest_due_ms: i64,
    pub(crate) stuck: i64,
    pub(crate) lag_ms: i64,
    pub(crate) stalled: i64,
}

/// Metrics of the engine. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: Family<CauseLabel, Counter>,
    /// The same by the cause's code, so that the hot path looks nothing up.
    by_cause: Vec<Counter>,
    ended: Family<StateLabel, Counter>,
    delivered: Counter,
    dead: Counter,
    cancelled: Counter,
    retried: Counter,
    returned: Counter,
    panicked: Counter,
    lag: Histogram,
    duration: Histogram,
    in_flight_fast: Gauge,
    in_flight_slow: Gauge,
    in_memory: Gauge,
    lanes: Gauge,
    failing: Gauge,
    oldest_due: Gauge,
    stuck: Gauge,
    lag_now: Gauge,
    stalled: Gauge,
    duty_rows: Family<DutyLabel, Counter>,
    duty_errors: Family<DutyLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let attempts = Family::<CauseLabel, Counter>::default();
        let codes = Cause::ALL.iter().map(|cause| cause.code()).max().unwrap_or(0);
        let of = |code: u8| {
            Cause::from_code(code).map_or_else(Counter::default, |cause| {
                attempts.get_or_create_owned(&CauseLabel { cause: cause.as_str() })
            })
        };
        let by_cause = (0..=codes).map(of).collect();
        let ended = Family::<StateLabel, Counter>::default();
        let end = |state: DeliveryState| ended.get_or_create_owned(&StateLabel { state: state.as_str() });
        Self {
            by_cause,
            delivered: end(DeliveryState::Delivered),
            dead: end(DeliveryState::Dead),
            cancelled: end(DeliveryState::Cancelled),
            attempts,
            ended,
            retried: Counter::default(),
            returned: Counter::default(),
            panicked: Counter::default(),
            // 1 ms to 9 hours.
            lag: Histogram::new(exponential_buckets(0.001, 2.0, 26)),
            // 1 ms to 32 s: past every deadline.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            in_flight_fast: Gauge::default(),
            in_flight_slow: Gauge::default(),
            in_memory: Gauge::default(),
            lanes: Gauge::default(),
            failing: Gauge::default(),
            oldest_due: Gauge::default(),
            stuck: Gauge::default(),
            lag_now: Gauge::default(),
            stalled: Gauge::default(),
            duty_rows: Family::default(),
            duty_errors: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to a registry; names carry no prefix.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("attempts", "Tries made, by what came of them", self.attempts.clone());
        r.register("deliveries_ended", "Deliveries that ended here, by state", self.ended.clone());
        r.register("deliveries_retried", "Tries after which another one is due", self.retried.clone());
        r.register("deliveries_returned", "Deliveries given back to the queue untried", self.returned.clone());
        r.register("tries_panicked", "Tries whose task panicked", self.panicked.clone());
        r.register("delivery_lag_seconds", "From accepted to delivered", self.lag.clone());
        r.register("try_duration_seconds", "From the start of a try to its end", self.duration.clone());
        r.register("tries_in_flight_fast", "Tries in flight in their first second", self.in_flight_fast.clone());
        r.register("tries_in_flight_slow", "Tries in flight that take longer", self.in_flight_slow.clone());
        r.register("deliveries_in_memory", "Deliveries that memory answers for", self.in_memory.clone());
        r.register("lanes", "Endpoints the engine has in mind", self.lanes.clone());
        r.register("lanes_failing", "Endpoints whose tries are paced because they fail", self.failing.clone());
        r.register("oldest_due_milliseconds", "Age of the oldest due delivery known here", self.oldest_due.clone());
        r.register("stuck", "Deliveries that should have been settled long ago; 0 is expected", self.stuck.clone());
        r.register("delivery_lag_now_milliseconds", "Estimated lag of prompt deliveries", self.lag_now.clone());
        r.register("settling_stalled", "1 while the store does not confirm settlements", self.stalled.clone());
        r.register("maintenance_rows", "Rows changed by background work, by duty", self.duty_rows.clone());
        r.register("maintenance_errors", "Failed steps of background work, by duty", self.duty_errors.clone());
    }

    pub(crate) fn tried(&self, cause: Cause, duration_ms: u32) {
        if let Some(counter) = self.by_cause.get(usize::from(cause.code())) {
            counter.inc();
        }
        self.duration.observe(f64::from(duration_ms) / 1000.0);
    }

    pub(crate) fn delivered(&self, lag_ms: u64) {
        self.delivered.inc();
        self.lag.observe(lag_ms as f64 / 1000.0);
    }

    pub(crate) fn dead(&self) {
        self.dead.inc();
    }

    pub(crate) fn cancelled(&self) {
        self.cancelled.inc();
    }

    pub(crate) fn retried(&self) {
        self.retried.inc();
    }

    pub(crate) fn returned(&self) {
        self.returned.inc();
    }

    pub(crate) fn panicked(&self) {
        self.panicked.inc();
    }

    pub(crate) fn duty(&self, duty: &'static str, rows: u64) {
        self.duty_rows.get_or_create(&DutyLabel { duty }).inc_by(rows);
    }

    pub(crate) fn duty_failed(&self, duty: &'static str) {
        self.duty_errors.get_or_create(&DutyLabel { duty }).inc();
    }

    pub(crate) fn show(&self, gauges: Gauges) {
        self.in_flight_fast.set(gauges.in_flight_fast);
        self.in_flight_slow.set(gauges.in_flight_slow);
        self.in_memory.set(gauges.in_memory);
        self.lanes.set(gauges.lanes);
        self.failing.set(gauges.failing);
        self.oldest_due.set(gauges.oldest_due_ms);
        self.stuck.set(gauges.stuck);
        self.lag_now.set(gauges.lag_ms);
        self.stalled.set(gauges.stalled);
    }
}
