//! Everything the engine knows, behind one lock: lanes, rings, permits, memory. Methods are short, never wait and do
//! no I/O; what is to be done outside the lock comes back as [`Effects`]. Must not know the store, the sink or tasks.

mod changes;
mod claims;
mod memory;
mod rings;
mod sharing;
mod sweep;
mod tries;

use memory::Memory;
use rings::Flight;
pub(crate) use sweep::Swept;
pub(crate) use tries::{Ended, Lost, Why};

use crate::EngineConfig;
use crate::admission::Estimate;
use crate::agenda::{Agenda, Who};
use crate::apps::Apps;
use crate::lane::{Lane, LaneNo};
use crate::lanes::Lanes;
use crate::permits::Permits;
use crate::stall::Stall;
use hookfast_core::UnixMs;
use hookfast_core::model::Endpoint;
use hookfast_core::ports::{Delivery, HealthMark, Outcome, Settlement};
use std::collections::VecDeque;
use std::sync::Arc;

/// Above this many lanes, idle ones are dropped at once.
const LANES_EASY: usize = 16_384;

/// The life of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No store to settle with yet.
    Waiting,
    /// At work.
    Running,
    /// No try starts any more; what is held is given back.
    Draining,
}

/// One try to be made.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) lane: LaneNo,
    pub(crate) flight: u32,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) delivery: Delivery,
    pub(crate) started: UnixMs,
}

/// What is to be done once the lock is free.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// A try for whoever calls.
    pub(crate) next: Option<Job>,
    /// Tries that need a task of their own.
    pub(crate) jobs: Vec<Job>,
    /// To be settled without a try.
    pub(crate) settlements: Vec<Settlement>,
    /// Marks wait in the state.
    pub(crate) has_marks: bool,
    pub(crate) wake_claimer: bool,
    pub(crate) wake_pacer: bool,
    pub(crate) close_gate: bool,
    /// So many callers may pass the gate.
    pub(crate) let_go: usize,
    /// The last thing held was given back.
    pub(crate) drained: bool,
}

impl Effects {
    fn push(&mut self, job: Job) {
        if self.next.is_none() {
            self.next = Some(job);
        } else {
            self.jobs.push(job);
        }
    }
}

/// The state of one engine.
pub(crate) struct State {
    config: Arc<EngineConfig>,
    phase: Phase,
    lanes: Lanes,
    /// Applications with a throttle.
    apps: Apps,
    /// Lanes that want a try and lack only a permit: those that answered lately, and the others.
    rings: [VecDeque<Who>; 2],
    /// The other ring goes next.
    turn: bool,
    /// Lanes that fail or are throttled, by the time of their next try.
    paced: Agenda,
    /// Lanes with rows that can be claimed, by the time from which they can.
    claims: Agenda,
    /// A claim waits for memory.
    claims_starved: bool,
    permits: Permits,
    flights: Vec<Option<Flight>>,
    free_flights: Vec<u32>,
    stall: Stall,
    /// The store says that tries may start.
    sure: bool,
    estimate: Estimate,
    memory: Memory,
    marks: Vec<HealthMark>,
}

impl State {
    pub(crate) fn new(config: Arc<EngineConfig>) -> Self {
        Self {
            phase: Phase::Waiting,
            lanes: Lanes::default(),
            apps: Apps::default(),
            rings: [VecDeque::new(), VecDeque::new()],
            turn: false,
            paced: Agenda::new(),
            claims: Agenda::new(),
            claims_starved: false,
            permits: Permits::new(config.in_flight_max, config.slow_in_flight_max),
            flights: Vec::new(),
            free_flights: Vec::new(),
            stall: Stall::default(),
            sure: true,
            estimate: Estimate::new(config.admission_lag_ms),
            memory: Memory::default(),
            marks: Vec::new(),
            config,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Starts work, or ends it.
    pub(crate) fn set_phase(&mut self, phase: Phase, now: UnixMs, fx: &mut Effects) {
        self.phase = phase;
        fx.wake_claimer = true;
        for no in 0..self.lanes.end() {
            self.reindex(no, fx);
        }
        self.dispatch(now, fx);
        self.note_drained(fx);
    }

    pub(crate) fn take_marks(&mut self) -> Vec<HealthMark> {
        std::mem::take(&mut self.marks)
    }

    fn is_open(&self) -> bool {
        self.phase == Phase::Running && self.sure && !self.stall.is_stalled()
    }

    /// The lane of an endpoint, made if it is not there; `None` when there are too many. What it asks for may be left to
    /// the next tick.
    fn lane_of(&mut self, endpoint: &Arc<Endpoint>, now: UnixMs) -> Option<LaneNo> {
        if let Some(no) = self.lanes.find(endpoint.id) {
            if self.lanes.get_mut(no).is_some_and(|lane| lane.refresh(endpoint, now)) {
                self.regroup(no, endpoint.app_throttle, now, &mut Effects::default());
            }
            return Some(no);
        }
        if self.lanes.len() >= self.config.lanes_max {
            return None;
        }
        Some(self.new_lane(endpoint, now))
    }

    fn new_lane(&mut self, endpoint: &Arc<Endpoint>, now: UnixMs) -> LaneNo {
        let no = self.lanes.insert(Lane::new(endpoint, self.config.in_flight_per_endpoint_max, now));
        self.regroup(no, endpoint.app_throttle, now, &mut Effects::default());
        no
    }

    fn drop_lane(&mut self, no: LaneNo) {
        let mut unheard = Effects::default();
        self.part(no, &mut unheard);
        if let Some(lane) = self.lanes.get_mut(no) {
            unheard.wake_claimer |= self.claims.put(Who::Lane(no), &mut lane.index_key, None);
            unheard.wake_pacer |= self.paced.put(Who::Lane(no), &mut lane.paced_until, None);
            self.lanes.remove(no);
        }
    }

    /// Settles a delivery without a try.
    fn settle_untried(&mut self, delivery: Delivery, outcome: Outcome, fx: &mut Effects) {
        self.stall.given(1);
        fx.settlements.push(untried(delivery, outcome));
    }

    fn note_drained(&self, fx: &mut Effects) {
        fx.drained |= self.phase == Phase::Draining && self.is_drained();
    }

    /// Nothing is held any more: all that was is settled and durable.
    pub(crate) fn is_drained(&self) -> bool {
        self.memory.held() == 0 && self.stall.open() == 0 && self.in_flight() == 0
    }

    /// Tries in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.permits.fast() + self.permits.slow()
    }

    /// Deliveries that memory answers for.
    pub(crate) fn held(&self) -> usize {
        self.memory.held()
    }
}

/// Changes whether a lane counts in the estimate of the lag.
fn set_prompt(lane: &mut Lane, estimate: &mut Estimate, prompt: bool) {
    match (std::mem::replace(&mut lane.prompt, prompt), prompt) {
        (true, false) => estimate.left(lane.queue.len()),
        (false, true) => estimate.joined(lane.queue.len()),
        _ => {}
    }
}

fn untried(delivery: Delivery, outcome: Outcome) -> Settlement {
    Settlement {
        key: delivery.key,
        hold: delivery.hold,
        attempt: None,
        tries: delivery.tries,
        crashes: delivery.crashes,
        outcome,
        body_bytes: delivery.event.body_bytes(),
        retention_days: delivery.retention_days,
    }
}

fn earliest(a: Option<UnixMs>, b: Option<UnixMs>) -> Option<UnixMs> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
