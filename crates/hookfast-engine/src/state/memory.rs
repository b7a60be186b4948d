//! Memory: who gets a slot, what comes in, and when a slot is free again.

use super::{Effects, LANES_EASY, Phase, State};
use crate::lane::{FAILING_SLOTS, Lane, LaneNo};
use hookfast_core::UnixMs;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::limits::{BODY_BYTES_MAX, CRASHES_MAX};
use hookfast_core::model::Endpoint;
use hookfast_core::ports::{Delivery, Hold, Outcome, Settlement, Wanted};
use std::sync::Arc;

/// Claims may hold this many rows whatever else fills the memory, so that what waits is always worked on.
const CLAIM_SLOTS_MIN: usize = 256;
/// The same while bodies fill it.
const CLAIM_ROWS_MIN: usize = 8;

/// What is held in memory. A slot is held until the settlement of its delivery is durable.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Deliveries without a row, reserved ones included.
    slots: usize,
    /// Claimed rows.
    claimed: usize,
    bytes: usize,
}

impl Memory {
    pub(crate) fn held(&self) -> usize {
        self.slots + self.claimed
    }

    fn take(&mut self, body_bytes: usize) {
        self.slots += 1;
        self.bytes += body_bytes;
    }

    pub(super) fn claim(&mut self, body_bytes: usize) {
        self.claimed += 1;
        self.bytes += body_bytes;
    }

    fn give_back(&mut self, hold: Hold, body_bytes: usize) {
        let count = match hold {
            Hold::Memory { .. } => &mut self.slots,
            Hold::Queue { .. } => &mut self.claimed,
        };
        *count = count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(body_bytes);
    }
}

impl State {
    /// Grants slots for deliveries about to be committed.
    pub(crate) fn reserve(&mut self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>, now: UnixMs) {
        let open = self.is_open() && self.config.memory_slots > 0;
        granted.extend(wanted.iter().map(|wish| open && self.grant(wish, now)));
    }

    fn grant(&mut self, wish: &Wanted<'_>, now: UnixMs) -> bool {
        if self.memory.held() >= self.config.memory_slots
            || self.memory.bytes + wish.body_bytes > self.config.memory_bytes_max
        {
            return false;
        }
        let Some(no) = self.lane_of(wish.endpoint, now) else { return false };
        let Some(lane) = self.lanes.get_mut(no) else { return false };
        if !lane.is_enabled() || lane.has_rows_due(now) || lane.held >= self.config.lane_slots_max {
            return false;
        }
        if lane.is_throttled() {
            // What waits for a rate waits in the queue, where it takes no memory.
            return false;
        }
        let waiting = lane.queue.len() + lane.reserved as usize;
        if lane.health.is_failing() && waiting >= FAILING_SLOTS {
            return false;
        }
        let wait_ms = lane.rate.expected_wait_ms(u32::try_from(waiting).unwrap_or(u32::MAX), now);
        if wait_ms > self.config.spill_after_ms / 2 {
            return false;
        }
        lane.reserved += 1;
        lane.held += 1;
        self.memory.take(wish.body_bytes);
        true
    }

    /// Takes granted slots back: their commit failed.
    pub(crate) fn unreserve(&mut self, wanted: &[Wanted<'_>], granted: &[bool], now: UnixMs, fx: &mut Effects) {
        for (wish, _) in wanted.iter().zip(granted).filter(|(_, granted)| **granted) {
            self.memory.give_back(Hold::Memory { handoff: 0 }, wish.body_bytes);
            if let Some(lane) = self.lanes.find(wish.endpoint.id).and_then(|no| self.lanes.get_mut(no)) {
                lane.reserved = lane.reserved.saturating_sub(1);
                lane.held = lane.held.saturating_sub(1);
                lane.idle_since = now;
            }
        }
        self.note_drained(fx);
    }

    /// Takes over deliveries that have slots, and starts what may start.
    pub(crate) fn hand_over(&mut self, deliveries: Vec<(Arc<Endpoint>, Delivery)>, now: UnixMs, fx: &mut Effects) {
        let (count, mut events, mut last) = (deliveries.len(), 0, None);
        for (endpoint, delivery) in deliveries {
            events += usize::from(last != Some(delivery.key.event));
            last = Some(delivery.key.event);
            // A slot was granted, so the lane is there; what comes without one is taken all the same.
            let no = self.lane_of(&endpoint, now).unwrap_or_else(|| self.new_lane(&endpoint, now));
            if let Some(lane) = self.lanes.get_mut(no) {
                if lane.reserved > 0 {
                    lane.reserved -= 1;
                } else {
                    lane.held += 1;
                    self.memory.take(delivery.event.body_bytes());
                }
            }
            self.enqueue(no, delivery, now, fx);
        }
        self.dispatch(now, fx);
        fx.close_gate = self.estimate.came(count, events);
    }

    /// Puts a delivery into its lane, or settles it if no try is to be made.
    pub(super) fn enqueue(&mut self, no: LaneNo, delivery: Delivery, now: UnixMs, fx: &mut Effects) {
        if let Some(outcome) = self.outcome_untried(no, &delivery) {
            self.settle_untried(delivery, outcome, fx);
            return;
        }
        if let Some(lane) = self.lanes.get_mut(no) {
            if lane.in_flight == 0 && lane.queue.is_empty() {
                lane.rate.resume(now);
            }
            lane.queue.push_back(delivery);
            self.estimate.joined(usize::from(lane.prompt));
        }
        self.line_up(no, now, fx);
        self.recount(no, fx);
    }

    fn outcome_untried(&self, no: LaneNo, delivery: &Delivery) -> Option<Outcome> {
        let lane = self.lanes.get(no)?;
        if lane.removed {
            Some(Outcome::End(DeliveryState::Cancelled, Cause::EndpointDeleted))
        } else if delivery.event.body.is_none() {
            Some(Outcome::End(DeliveryState::Dead, Cause::PayloadDeleted))
        } else if delivery.crashes >= CRASHES_MAX {
            Some(Outcome::End(DeliveryState::Dead, Cause::Crashed))
        } else if self.phase == Phase::Draining || !lane.is_enabled() {
            Some(Outcome::Wait { due: delivery.due })
        } else {
            None
        }
    }

    /// Frees what these settlements held: they are durable.
    pub(crate) fn settled(&mut self, settlements: &[Settlement], now: UnixMs, fx: &mut Effects) {
        self.stall.confirmed(settlements.len());
        for one in settlements {
            self.memory.give_back(one.hold, one.body_bytes);
            let Some(no) = self.lanes.find(one.key.endpoint) else { continue };
            if let Some(lane) = self.lanes.get_mut(no) {
                lane.held = lane.held.saturating_sub(1);
                lane.idle_since = now;
            }
            if let Outcome::Retry { due } | Outcome::Wait { due } = one.outcome {
                self.note_stored(no, due, fx);
            } else if self.lanes.len() > LANES_EASY && self.lanes.get(no).is_some_and(Lane::is_easily_dropped) {
                self.drop_lane(no);
            }
        }
        if self.stall.is_stalled() && self.stall.judge(now, self.config.settle_wait_ms) {
            fx.wake_claimer = true;
            self.dispatch(now, fx);
        }
        fx.wake_claimer |= std::mem::take(&mut self.claims_starved);
        self.note_drained(fx);
    }

    /// How many more rows may be claimed now.
    pub(super) fn claim_budget(&self) -> usize {
        let memory = &self.memory;
        let slots = self.config.memory_slots.saturating_sub(memory.slots).max(CLAIM_SLOTS_MIN);
        let rows = slots.min(self.config.claim_slots.max(1)).saturating_sub(memory.claimed);
        let bytes_left = self.config.memory_bytes_max.saturating_sub(memory.bytes);
        let by_bytes = if bytes_left == 0 {
            CLAIM_ROWS_MIN.saturating_sub(memory.claimed)
        } else {
            (bytes_left / BODY_BYTES_MAX).max(CLAIM_ROWS_MIN)
        };
        rows.min(by_bytes).min(self.config.claim_rows_max.max(1) as usize)
    }

    /// How many rows may be claimed until more than half of what claims may hold is in use. From then on only endpoints
    /// that answer get more, and only what can start soon.
    pub(super) fn claims_easy(&self) -> usize {
        self.config.claim_slots.div_ceil(2).saturating_sub(self.memory.claimed)
    }
}
