//! Settings of the engine, each a limit with its unit. Must not read them from anywhere.

use hookfast_core::model::Endpoint;
use hookfast_core::retry::RetryPolicy;

/// Longest pause between two tries of a failing endpoint, unless set otherwise.
const GAP_MS_MAX: u64 = 1_000;

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// The retry policy of endpoints without their own.
    pub retry: RetryPolicy,
    /// Tries in flight in all that are younger than a second.
    pub in_flight_max: u32,
    /// Tries in flight in all that are older: they no longer count as the above.
    pub slow_in_flight_max: u32,
    /// Tries in flight per endpoint.
    pub in_flight_per_endpoint_max: u32,
    /// Deliveries held in memory; 0 makes every delivery a queue row first.
    pub memory_slots: usize,
    /// Bodies held in memory.
    pub memory_bytes_max: usize,
    /// Deliveries held in memory for one endpoint.
    pub lane_slots_max: u32,
    /// Claimed queue rows held in memory.
    pub claim_slots: usize,
    /// Queue rows asked for in one claim.
    pub claim_rows_max: u32,
    /// A delivery that waited longer in memory becomes a queue row.
    pub spill_after_ms: u64,
    /// No try starts while a settlement has waited longer than this to become durable.
    pub settle_wait_ms: u64,
    /// An endpoint with nothing but failures for longer than this is disabled.
    pub disable_after_ms: u64,
    /// Longest pause between two tries of a failing endpoint; `None`: a tenth of its first retry delay, 1 s at most.
    pub breaker_gap_ms_max: Option<u64>,
    /// Accepting slows down when deliveries to prompt endpoints lag behind by more than this.
    pub admission_lag_ms: u64,
    /// A caller waits at most this long for admission.
    pub admission_wait_ms: u64,
    /// Endpoints the engine remembers at once; the others wait in the queue.
    pub lanes_max: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            in_flight_max: 1_024,
            slow_in_flight_max: 1_024,
            in_flight_per_endpoint_max: 64,
            memory_slots: 50_000,
            memory_bytes_max: 256 << 20,
            lane_slots_max: 8_192,
            claim_slots: 4_096,
            claim_rows_max: 256,
            spill_after_ms: 30_000,
            settle_wait_ms: 1_000,
            disable_after_ms: 5 * 24 * 3_600 * 1_000,
            breaker_gap_ms_max: None,
            admission_lag_ms: 150,
            admission_wait_ms: 10_000,
            lanes_max: 100_000,
        }
    }
}

impl EngineConfig {
    /// The policy that this endpoint's deliveries follow.
    pub(crate) fn retry_of<'a>(&'a self, endpoint: &'a Endpoint) -> &'a RetryPolicy {
        endpoint.retry.as_ref().unwrap_or(&self.retry)
    }

    /// Longest pause between two tries of this endpoint while it fails. It stays well under the first retry delay,
    /// so that pacing never holds up a short schedule.
    pub(crate) fn gap_ms_max(&self, endpoint: &Endpoint) -> u64 {
        self.breaker_gap_ms_max.unwrap_or_else(|| {
            let first_delay_ms = self.retry_of(endpoint).delays_ms.first().copied().unwrap_or(GAP_MS_MAX);
            (first_delay_ms / 10).clamp(1, GAP_MS_MAX)
        })
    }
}
