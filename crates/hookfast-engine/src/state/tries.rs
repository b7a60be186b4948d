//! What the end of a try means for its lane, and for the next one.

use super::{Effects, Phase, State, set_prompt};
use crate::EngineConfig;
use crate::flow::Wish;
use crate::health::{HealthLimits, Turn};
use crate::lane::{Lane, LaneNo};
use hookfast_core::UnixMs;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::{HealthMark, Outcome, Settlement};

/// With so many tries in flight in all, endpoints that answer fast need no more connections: they wait for this node.
const CROWDED: u32 = 256;
/// Up to this limit a lane always may grow, and below it it is never cut.
const EASY_LIMIT: u32 = 8;
/// Endpoints whose shortest tries take this long are waited for, so more at once help even then.
const LONG_TRY_MS: f32 = 20.0;

/// A try that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) lane: LaneNo,
    pub(crate) flight: u32,
    pub(crate) started: UnixMs,
    pub(crate) cause: Cause,
    pub(crate) duration_ms: u32,
}

/// Why a try did not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It panicked.
    Panicked,
    /// Its task was given up: the runtime is going away.
    GivenUp,
    /// It was not begun: the node may have been taken for dead.
    Unsure,
}

/// A try whose task ended before the try did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) lane: LaneNo,
    pub(crate) flight: u32,
    pub(crate) why: Why,
}

impl State {
    /// Books a try that ended, and finds the next one.
    pub(crate) fn finished(&mut self, ended: Ended, settlement: &mut Settlement, now: UnixMs, fx: &mut Effects) {
        let crowded = self.in_flight() >= CROWDED;
        self.land(ended.flight);
        self.stall.given(1);
        if let Some(lane) = self.lanes.get_mut(ended.lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.rate.tried(ended.duration_ms, now);
            judge(lane, ended, crowded, now, &self.config, &mut self.marks);
            let prompt = lane.judge_prompt();
            set_prompt(lane, &mut self.estimate, prompt);
            if prompt {
                fx.let_go += self.estimate.ended();
            }
            cancel_if_removed(lane, settlement);
            if lane.stored_due.is_some() {
                self.reindex(ended.lane, fx);
            }
        }
        fx.has_marks = !self.marks.is_empty();
        self.line_up(ended.lane, now, fx);
        self.recount(ended.lane, fx);
        self.dispatch(now, fx);
    }

    /// Books a try that was not made or not ended. After one that was given up nothing starts any more.
    pub(crate) fn lost(&mut self, lost: Lost, settlement: &mut Settlement, now: UnixMs, fx: &mut Effects) {
        self.land(lost.flight);
        self.stall.given(1);
        if let Some(lane) = self.lanes.get_mut(lost.lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            cancel_if_removed(lane, settlement);
        }
        match lost.why {
            Why::Panicked => {}
            Why::GivenUp => self.phase = Phase::Draining,
            Why::Unsure => self.sure = false,
        }
        self.line_up(lost.lane, now, fx);
        self.recount(lost.lane, fx);
        self.dispatch(now, fx);
    }
}

/// What would wait for a deleted endpoint ends instead.
fn cancel_if_removed(lane: &Lane, settlement: &mut Settlement) {
    if lane.removed && !matches!(settlement.outcome, Outcome::End(..)) {
        settlement.outcome = Outcome::End(DeliveryState::Cancelled, Cause::EndpointDeleted);
    }
}

/// What a result means for an endpoint's health and its limit.
fn judge(
    lane: &mut Lane,
    ended: Ended,
    crowded: bool,
    now: UnixMs,
    config: &EngineConfig,
    marks: &mut Vec<HealthMark>,
) {
    let turn = if ended.cause == Cause::Ok {
        let wish = wish(lane, crowded);
        lane.flow.succeeded(wish, config.in_flight_per_endpoint_max);
        lane.health.succeeded(lane.id, now, marks)
    } else {
        if matches!(ended.cause, Cause::Timeout | Cause::Throttled | Cause::Connect) {
            lane.flow.overloaded(ended.started, now);
        }
        let gap_ms_max = config.gap_ms_max(&lane.endpoint);
        let limits = HealthLimits { gap_ms_max, disable_after_ms: config.disable_after_ms };
        lane.health.failed(lane.id, ended.cause, ended.started, now, limits, marks)
    };
    if turn != Turn::Same {
        lane.flow.restart(now);
    }
}

/// Which way a lane's limit should go.
fn wish(lane: &Lane, crowded: bool) -> Wish {
    let limit = lane.flow.limit();
    let answers_fast = lane.rate.best_ms() < LONG_TRY_MS;
    if crowded && answers_fast && limit > EASY_LIMIT {
        Wish::Fewer
    } else if !lane.queue.is_empty()
        && (lane.in_flight + 1) * 2 >= limit
        && !(crowded && answers_fast && limit == EASY_LIMIT)
    {
        Wish::More
    } else {
        Wish::Same
    }
}
