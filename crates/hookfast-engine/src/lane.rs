//! One endpoint's lane: what waits for it in memory, what it holds, how it does, and what is known of its rows in the
//! queue. Pure bookkeeping; must not know the other lanes.

use crate::apps::AppNo;
use crate::flow::Flow;
use crate::health::Health;
use crate::rate::Rate;
use crate::throttle::Throttle;
use hookfast_core::model::Endpoint;
use hookfast_core::ports::Delivery;
use hookfast_core::{EndpointId, UnixMs};
use std::collections::VecDeque;
use std::sync::Arc;

/// A failing endpoint holds at most so many deliveries in memory.
pub(crate) const FAILING_SLOTS: usize = 4;
/// An endpoint whose tries take longer on average is bound by itself, not by this node.
const PROMPT_TRY_MS: f32 = 50.0;
/// A healthy lane is refilled from the queue up to at least this many.
const REFILL_MIN: u32 = 16;
/// While claims are scarce nothing is claimed for a throttle earlier than this before a start.
pub(crate) const CLAIM_LEAD_SCARCE_MS: u64 = 50;

/// Number of a lane in its table.
pub(crate) type LaneNo = u32;

/// Where a lane that wants a try waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does not, or for a time to come.
    Nowhere,
    /// In a ring.
    Ring,
    /// In the line of its application.
    Line,
}

/// What the engine knows of one endpoint.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: EndpointId,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Deliveries waiting in memory.
    pub(crate) queue: VecDeque<Delivery>,
    /// Everything of this endpoint that memory answers for: reserved, waiting, in flight, settled but unconfirmed.
    pub(crate) held: u32,
    /// Slots granted whose deliveries have not come yet.
    pub(crate) reserved: u32,
    pub(crate) in_flight: u32,
    pub(crate) flow: Flow,
    pub(crate) health: Health,
    pub(crate) rate: Rate,
    /// How often its tries may start, if its endpoint says so.
    throttle: Option<Throttle>,
    /// Its application, if that has a throttle, and when that was known to be so.
    pub(crate) app: Option<AppNo>,
    pub(crate) app_as_of: UnixMs,
    /// As a part of its application's line it counts for so many tries.
    pub(crate) counted: u32,
    /// It came under a throttle: what waits in memory goes back to the queue, where the throttle's owner finds it.
    pub(crate) gives_back: bool,
    /// When the earliest known row of the queue is due.
    pub(crate) stored_due: Option<UnixMs>,
    /// A claim is under way; what is heard of the queue meanwhile is kept apart.
    pub(crate) claiming: bool,
    pub(crate) heard_due: Option<UnixMs>,
    /// It is not claimed for before: lanes take turns.
    pub(crate) claim_after: UnixMs,
    /// Its key in the claim index.
    pub(crate) index_key: Option<UnixMs>,
    pub(crate) place: Place,
    /// Its key among the paced lanes.
    pub(crate) paced_until: Option<UnixMs>,
    /// Its endpoint was deleted.
    pub(crate) removed: bool,
    /// Its tries are short, so that what waits for it tells how busy this node is.
    pub(crate) prompt: bool,
    pub(crate) idle_since: UnixMs,
}

impl Lane {
    pub(crate) fn new(endpoint: &Arc<Endpoint>, in_flight_max: u32, now: UnixMs) -> Self {
        Self {
            id: endpoint.id,
            endpoint: Arc::clone(endpoint),
            queue: VecDeque::new(),
            held: 0,
            reserved: 0,
            in_flight: 0,
            flow: Flow::new(in_flight_max),
            health: Health::new(endpoint.failing_since),
            rate: Rate::new(now),
            throttle: endpoint.throttle_rate.map(|per_s| Throttle::new(per_s, now)),
            app: None,
            app_as_of: UnixMs::ZERO,
            counted: 0,
            gives_back: false,
            stored_due: None,
            claiming: false,
            heard_due: None,
            claim_after: UnixMs::ZERO,
            index_key: None,
            place: Place::Nowhere,
            paced_until: None,
            removed: false,
            prompt: endpoint.failing_since.is_none() && endpoint.throttle_rate.is_none(),
            idle_since: now,
        }
    }

    /// Takes over a configuration if it is not older. Answers whether it was read anew.
    pub(crate) fn refresh(&mut self, endpoint: &Arc<Endpoint>, now: UnixMs) -> bool {
        let is_new = !Arc::ptr_eq(&self.endpoint, endpoint);
        if is_new && endpoint.updated_at >= self.endpoint.updated_at {
            self.configure(endpoint, now);
        }
        is_new
    }

    /// Takes over a configuration; its throttle is in force at once.
    pub(crate) fn configure(&mut self, endpoint: &Arc<Endpoint>, now: UnixMs) {
        self.endpoint = Arc::clone(endpoint);
        match (&mut self.throttle, endpoint.throttle_rate) {
            (Some(throttle), Some(per_s)) if throttle.per_s() == per_s => {}
            (Some(throttle), Some(per_s)) => throttle.set(per_s, now),
            (throttle, per_s) => {
                *throttle = per_s.map(|per_s| Throttle::new(per_s, now));
                if self.app.is_none() {
                    self.change_owner();
                }
            }
        }
    }

    /// Another throttle paces it from now on: what waits here is perhaps no longer this node's to try.
    pub(crate) fn change_owner(&mut self) {
        self.gives_back = self.is_throttled() && (!self.queue.is_empty() || self.reserved > 0);
    }

    /// Nothing is left that is to be given back.
    pub(crate) fn note_given_back(&mut self) {
        self.gives_back &= !self.queue.is_empty() || self.reserved > 0;
    }

    /// Its tries start no faster than a rate: what waits for that lags behind nothing.
    pub(crate) fn is_throttled(&self) -> bool {
        self.throttle.is_some() || self.app.is_some()
    }

    /// No try may start before: it is paced because it fails, or by its own throttle.
    pub(crate) fn not_before(&self) -> UnixMs {
        let throttled = self.throttle.as_ref().map_or(UnixMs::ZERO, Throttle::not_before);
        self.health.not_before().max(throttled)
    }

    /// Nothing is to be claimed before: it could not start for a while, and would take the place of others.
    pub(crate) fn claim_not_before(&self) -> UnixMs {
        let throttled = self.throttle.as_ref().map(Throttle::claim_not_before);
        throttled.map_or(self.claim_after, |from| from.max(self.claim_after))
    }

    /// When rows claimed now would wait here for its throttle: the time to claim them when claims are scarce.
    pub(crate) fn claim_late(&self, now: UnixMs) -> Option<UnixMs> {
        let late = self.not_before().minus_ms(CLAIM_LEAD_SCARCE_MS);
        (self.is_throttled() && late > now).then_some(late)
    }

    /// A try starts.
    pub(crate) fn note_start(&mut self, now: UnixMs) {
        self.in_flight += 1;
        if let Some(throttle) = &mut self.throttle {
            throttle.take(now);
        }
    }

    /// Its endpoint may get deliveries.
    pub(crate) fn is_enabled(&self) -> bool {
        !self.removed && self.endpoint.disabled.is_none() && !self.health.is_disabling()
    }

    /// Its rows in the queue are to be claimed at some time.
    pub(crate) fn keeps_rows_in_mind(&self) -> bool {
        !self.removed && self.endpoint.disabled.is_none()
    }

    /// How many tries it may have in flight.
    pub(crate) fn allowed(&self) -> u32 {
        if self.health.is_failing() { 1 } else { self.flow.limit() }
    }

    /// There is something to try, and its own limits allow a try more; pacing aside.
    pub(crate) fn wants_try(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < self.allowed() && self.is_enabled()
    }

    /// How many tries it could start if it were always its turn.
    pub(crate) fn startable(&self) -> u32 {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        waiting.min(self.allowed().saturating_sub(self.in_flight))
    }

    /// Something is due in the queue that goes first.
    pub(crate) fn has_rows_due(&self, now: UnixMs) -> bool {
        self.claiming || self.stored_due.is_some_and(|due| due <= now)
    }

    /// How many rows it could take from the queue now; 0 while it is still well filled.
    pub(crate) fn room(&self) -> u32 {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let target = match (self.health.is_failing(), self.health.has_succeeded()) {
            (true, _) => 1,
            (false, true) => (self.flow.limit() * 2).max(REFILL_MIN),
            (false, false) => self.flow.limit() * 2,
        };
        let target = match &self.throttle {
            Some(throttle) if !self.health.is_failing() => throttle.ahead(),
            _ => target,
        };
        if waiting > target / 2 { 0 } else { target - waiting }
    }

    /// Is what waits for it a sign of how busy this node is?
    pub(crate) fn judge_prompt(&self) -> bool {
        self.is_enabled() && !self.is_throttled() && !self.health.is_failing() && self.rate.mean_ms() < PROMPT_TRY_MS
    }

    /// Nothing depends on it any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.held == 0 && !self.claiming && self.place == Place::Nowhere && self.stored_due.is_none()
    }

    /// It is idle, and a new lane of its endpoint would know as much.
    pub(crate) fn is_easily_dropped(&self) -> bool {
        self.is_idle() && !self.health.is_failing() && !self.is_throttled()
    }

    /// The memory its queue keeps is given back when it is empty and was large.
    pub(crate) fn trim(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
    }
}
