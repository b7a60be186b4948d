//! Whose turn it is: lanes that want a try stand in a ring, or among the paced, and start it when permits allow.

use super::{Effects, Job, State};
use crate::lane::LaneNo;
use crate::permits::Class;
use hookfast_core::UnixMs;
use std::sync::Arc;

/// A try in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) lane: LaneNo,
    pub(super) started: UnixMs,
    pub(super) class: Class,
}

impl State {
    /// Puts a lane where its next try is waited for: into a ring, or among the paced.
    pub(super) fn line_up(&mut self, no: LaneNo, now: UnixMs, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        if lane.in_ring || !lane.wants_try() {
            return;
        }
        let not_before = lane.not_before();
        if let Some(key) = lane.paced_until {
            if key == not_before && not_before > now {
                return;
            }
            lane.paced_until = None;
            self.paced.remove(&(key, no));
        }
        if not_before > now {
            lane.paced_until = Some(not_before);
            self.paced.insert((not_before, no));
            if not_before < self.pacer_wakes {
                self.pacer_wakes = not_before;
                fx.wake_pacer = true;
            }
            return;
        }
        lane.in_ring = true;
        let unproven = usize::from(!lane.health.is_proven(now));
        self.rings[unproven].push_back(no);
    }

    /// Lines up the paced lanes whose time has come; answers when the next one's does.
    pub(crate) fn unpace(&mut self, now: UnixMs, fx: &mut Effects) -> UnixMs {
        while let Some(&(at, no)) = self.paced.first().filter(|(at, _)| *at <= now) {
            self.paced.remove(&(at, no));
            if let Some(lane) = self.lanes.get_mut(no) {
                lane.paced_until = None;
            }
            self.line_up(no, now, fx);
        }
        self.dispatch(now, fx);
        self.pacer_wakes = self.paced.first().map_or(UnixMs::MAX, |(at, _)| *at);
        self.pacer_wakes
    }

    /// Starts tries while there are permits and lanes that want one, each lane in its turn.
    pub(super) fn dispatch(&mut self, now: UnixMs, fx: &mut Effects) {
        while self.is_open() && self.permits.has_fast() {
            let Some(no) = self.pick(now, fx) else { return };
            if let Some(job) = self.start(no, now, fx) {
                fx.push(job);
            }
            self.line_up(no, now, fx);
        }
    }

    /// The next lane whose turn it is.
    fn pick(&mut self, now: UnixMs, fx: &mut Effects) -> Option<LaneNo> {
        loop {
            let allow_unproven = self.permits.allow_unproven();
            let others = allow_unproven && !self.rings[1].is_empty();
            let unproven = others && (self.turn || self.rings[0].is_empty());
            self.turn = !self.turn;
            let no = self.rings[usize::from(unproven)].pop_front()?;
            let Some(lane) = self.lanes.get_mut(no) else { continue };
            lane.in_ring = false;
            if !lane.wants_try() {
                continue;
            }
            if lane.not_before() > now {
                self.line_up(no, now, fx);
                continue;
            }
            if !unproven && !lane.health.is_proven(now) {
                lane.in_ring = true;
                self.rings[1].push_back(no);
                continue;
            }
            let others_wait = !self.rings[0].is_empty() || (allow_unproven && !self.rings[1].is_empty());
            if others_wait && self.permits.is_scarce() && lane.in_flight >= self.permits.share() {
                // It holds its share: the next of its tries to end lines it up again.
                continue;
            }
            return Some(no);
        }
    }

    fn start(&mut self, no: LaneNo, now: UnixMs, fx: &mut Effects) -> Option<Job> {
        let lane = self.lanes.get_mut(no)?;
        if lane.queue.is_empty() || !self.permits.take() {
            return None;
        }
        let delivery = lane.queue.pop_front()?;
        if lane.prompt {
            self.estimate.left(1);
        }
        lane.note_start(now);
        let endpoint = Arc::clone(&lane.endpoint);
        if lane.stored_due.is_some() {
            self.reindex(no, fx);
        }
        let flight = self.take_off(Flight { lane: no, started: now, class: Class::Fast });
        Some(Job { lane: no, flight, endpoint, delivery, started: now })
    }

    fn take_off(&mut self, flight: Flight) -> u32 {
        if let Some(at) = self.free_flights.pop() {
            self.flights[at as usize] = Some(flight);
            return at;
        }
        self.flights.push(Some(flight));
        u32::try_from(self.flights.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn land(&mut self, at: u32) {
        if let Some(flight) = self.flights.get_mut(at as usize).and_then(Option::take) {
            self.permits.release(flight.class);
            self.free_flights.push(at);
        }
    }
}
