//! Time passing: long tries move to slow permits, what waited too long goes back to the queue, idle lanes are
//! dropped, and the figures for the metrics are taken. Bounded work per call.

use super::{Effects, Phase, State, set_prompt};
use crate::lane::{FAILING_SLOTS, Lane, LaneNo};
use crate::metrics::Gauges;
use crate::permits::Class;
use hookfast_core::UnixMs;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::{Delivery, Hold, Outcome};

/// A try older than this continues on a slow permit.
const SLOW_AFTER_MS: u64 = 1_000;
/// An endpoint with a try older than this does not tell how busy this node is.
const PROMPT_MS: u64 = 200;
/// A try older than this has outlived every deadline.
const STUCK_MS: u64 = 60_000;
/// Lanes looked at per call.
const LANES_PER_STEP: u32 = 256;
/// Deliveries given back per call.
const GIVE_BACK_MAX: usize = 512;
/// An idle lane is dropped after this; a failing one is remembered longer.
const IDLE_MS: u64 = 10_000;
const IDLE_FAILING_MS: u64 = 600_000;

/// How far a sweep over all lanes came, and what it saw.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    at: LaneNo,
    failing: i64,
    oldest_due_ms: u64,
    stuck: i64,
}

impl State {
    /// The store says whether tries may start; to be called with each tick.
    pub(crate) fn set_sure(&mut self, sure: bool, fx: &mut Effects) {
        if self.sure != sure {
            self.sure = sure;
            fx.wake_claimer = true;
            if sure {
                tracing::info!("the store answers again: deliveries go on");
            } else {
                tracing::warn!("the store has not answered for a while: no new tries until it does");
            }
        }
    }

    /// To be called about every 100 ms.
    pub(crate) fn tick(&mut self, now: UnixMs, elapsed_ms: u64, waiters: usize, fx: &mut Effects) -> bool {
        if self.stall.judge(now, self.config.settle_wait_ms) {
            fx.wake_claimer |= !self.stall.is_stalled();
        }
        for at in 0..self.flights.len() {
            let Some(flight) = &mut self.flights[at] else { continue };
            let age_ms = now.since(flight.started);
            if age_ms >= SLOW_AFTER_MS && flight.class == Class::Fast && self.permits.slow_down() {
                flight.class = Class::Slow;
            }
            if age_ms >= PROMPT_MS
                && let Some(lane) = self.lanes.get_mut(flight.lane)
            {
                set_prompt(lane, &mut self.estimate, false);
            }
        }
        let (gone, open) = self.estimate.tick(elapsed_ms, waiters);
        fx.let_go += gone;
        self.dispatch(now, fx);
        open
    }

    /// Looks at some lanes. True when a whole round is done; `swept` then starts over.
    pub(crate) fn sweep(&mut self, swept: &mut Swept, now: UnixMs, fx: &mut Effects) -> bool {
        let end = self.lanes.end();
        let stop = swept.at.saturating_add(LANES_PER_STEP).min(end);
        while swept.at < stop {
            if self.sweep_lane(swept, now, fx) {
                // There is more to give back from this lane.
                return false;
            }
            swept.at += 1;
        }
        if swept.at < end {
            return false;
        }
        swept.stuck += self.stuck_flights(now);
        swept.at = 0;
        true
    }

    /// True when the call has done enough and the lane is to be looked at again.
    fn sweep_lane(&mut self, swept: &mut Swept, now: UnixMs, fx: &mut Effects) -> bool {
        let Some(lane) = self.lanes.get_mut(swept.at) else { return false };
        let draining = self.phase == Phase::Draining;
        while fx.settlements.len() < GIVE_BACK_MAX {
            let Some((delivery, outcome)) = unwanted(lane, draining, now, self.config.spill_after_ms) else { break };
            self.estimate.left(usize::from(lane.prompt));
            self.stall.given(1);
            fx.settlements.push(super::untried(delivery, outcome));
        }
        if fx.settlements.len() >= GIVE_BACK_MAX {
            return true;
        }
        lane.note_given_back();
        lane.trim();
        swept.failing += i64::from(lane.health.is_failing());
        let head = lane.queue.front();
        let oldest = super::earliest(lane.stored_due, head.map(|delivery| delivery.due));
        swept.oldest_due_ms = swept.oldest_due_ms.max(oldest.map_or(0, |due| now.since(due)));
        swept.stuck +=
            i64::from(head.is_some_and(|delivery| {
                in_memory(delivery) && now.since(delivery.due) > 2 * self.config.spill_after_ms
            }));
        let idle_ms = if lane.health.is_failing() { IDLE_FAILING_MS } else { IDLE_MS };
        if lane.is_idle() && now.since(lane.idle_since) > idle_ms {
            self.drop_lane(swept.at);
        }
        false
    }

    fn stuck_flights(&self, now: UnixMs) -> i64 {
        let stuck = self.flights.iter().flatten().filter(|flight| now.since(flight.started) > STUCK_MS).count();
        i64::try_from(stuck).unwrap_or(i64::MAX)
    }

    /// The figures of a finished round.
    pub(crate) fn gauges(&self, swept: &mut Swept) -> Gauges {
        let seen = std::mem::take(swept);
        Gauges {
            in_flight_fast: i64::from(self.permits.fast()),
            in_flight_slow: i64::from(self.permits.slow()),
            in_memory: i64::try_from(self.memory.held()).unwrap_or(i64::MAX),
            lanes: i64::try_from(self.lanes.len()).unwrap_or(i64::MAX),
            failing: seen.failing,
            oldest_due_ms: i64::try_from(seen.oldest_due_ms).unwrap_or(i64::MAX),
            stuck: seen.stuck,
            lag_ms: i64::try_from(self.estimate.lag_ms()).unwrap_or(i64::MAX),
            stalled: i64::from(self.stall.is_stalled()),
        }
    }

    /// How far deliveries lag behind.
    pub(crate) fn lag_ms(&self) -> u64 {
        self.estimate.lag_ms()
    }
}

fn in_memory(delivery: &Delivery) -> bool {
    matches!(delivery.hold, Hold::Memory { .. })
}

/// The next delivery that should not wait in memory any longer, and what becomes of it. Rows that were claimed are
/// not given back merely for their age: each claim is counted against them.
fn unwanted(lane: &mut Lane, draining: bool, now: UnixMs, spill_after_ms: u64) -> Option<(Delivery, Outcome)> {
    if lane.removed {
        let cancelled = Outcome::End(DeliveryState::Cancelled, Cause::EndpointDeleted);
        return lane.queue.pop_front().map(|delivery| (delivery, cancelled));
    }
    let wait = |delivery: Delivery| {
        let due = delivery.due;
        (delivery, Outcome::Wait { due })
    };
    if draining || lane.gives_back || !lane.is_enabled() {
        return lane.queue.pop_front().map(wait);
    }
    if lane.health.is_failing() && lane.queue.len() > FAILING_SLOTS {
        return lane.queue.pop_back().map(wait);
    }
    let head = lane.queue.front()?;
    if in_memory(head) && now.since(head.due) > spill_after_ms { lane.queue.pop_front().map(wait) } else { None }
}
