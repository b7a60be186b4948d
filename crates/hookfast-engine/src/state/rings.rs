//! Whose turn it is: lanes that want a try stand in a ring, or among the paced, and start it when permits allow. Lanes
//! that share a throttle stand in the line of their application, and that in their place.

use super::{Effects, Job, State};
use crate::agenda::Who;
use crate::lane::{LaneNo, Place};
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
    /// Puts a lane where its next try is waited for: into a ring or a line, or among the paced.
    pub(super) fn line_up(&mut self, no: LaneNo, now: UnixMs, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        if lane.place != Place::Nowhere || !lane.wants_try() {
            return;
        }
        let not_before = Some(lane.not_before()).filter(|at| *at > now);
        fx.wake_pacer |= self.paced.put(Who::Lane(no), &mut lane.paced_until, not_before);
        if not_before.is_some() {
            return;
        }
        let unproven = !lane.health.is_proven(now);
        let Some(app_no) = lane.app else {
            lane.place = Place::Ring;
            self.rings[usize::from(unproven)].push_back(Who::Lane(no));
            return;
        };
        lane.place = Place::Line;
        if let Some(app) = self.apps.get_mut(app_no) {
            app.line_up(no, unproven);
        }
        self.recount(no, fx);
        self.line_up_app(app_no, now, fx);
    }

    /// Lines up the paced lanes whose time has come; answers when the next one's does.
    pub(crate) fn unpace(&mut self, now: UnixMs, fx: &mut Effects) -> UnixMs {
        while let Some(who) = self.paced.pop_due(now) {
            match who {
                Who::Lane(no) => {
                    if let Some(lane) = self.lanes.get_mut(no) {
                        lane.paced_until = None;
                    }
                    self.line_up(no, now, fx);
                }
                Who::App(no) => {
                    if let Some(app) = self.apps.get_mut(no) {
                        app.paced_until = None;
                    }
                    self.line_up_app(no, now, fx);
                }
            }
        }
        self.dispatch(now, fx);
        self.paced.sleep(UnixMs::MAX)
    }

    /// Starts tries while there are permits and lanes that want one, each lane in its turn.
    pub(super) fn dispatch(&mut self, now: UnixMs, fx: &mut Effects) {
        while self.is_open() && self.permits.has_fast() {
            let Some(no) = self.pick(now, fx) else { return };
            if let Some(job) = self.start(no, now, fx) {
                fx.push(job);
            }
            self.line_up(no, now, fx);
            self.recount(no, fx);
        }
    }

    /// The next lane whose turn it is.
    fn pick(&mut self, now: UnixMs, fx: &mut Effects) -> Option<LaneNo> {
        loop {
            let allow_unproven = self.permits.allow_unproven();
            let others = allow_unproven && !self.rings[1].is_empty();
            let class = usize::from(others && (self.turn || self.rings[0].is_empty()));
            self.turn = !self.turn;
            let called = match self.rings[class].pop_front()? {
                Who::Lane(no) => Some((no, class)),
                Who::App(no) => self.call(no, class, allow_unproven, now, fx),
            };
            if let Some((no, class)) = called
                && self.is_next(no, class, now, fx)
            {
                return Some(no);
            }
        }
    }

    /// May this lane start a try, now that it is its turn? If not, it waits where it belongs.
    fn is_next(&mut self, no: LaneNo, class: usize, now: UnixMs, fx: &mut Effects) -> bool {
        let others_wait = !self.rings[0].is_empty() || (self.permits.allow_unproven() && !self.rings[1].is_empty());
        let Some(lane) = self.lanes.get_mut(no) else { return false };
        let has_joined = lane.place == Place::Ring && lane.app.is_some();
        let is_misplaced = has_joined || (class == 0 && !lane.health.is_proven(now));
        lane.place = Place::Nowhere;
        if is_misplaced || lane.not_before() > now {
            self.line_up(no, now, fx);
        } else if lane.wants_try() {
            // One that holds its share is lined up again by the next of its tries to end.
            let holds_share = self.permits.is_scarce() && lane.in_flight >= self.permits.share();
            if !(others_wait && holds_share) {
                return true;
            }
        }
        self.recount(no, fx);
        false
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
        if let Some(app) = lane.app.and_then(|app| self.apps.get_mut(app)) {
            app.throttle.take(now);
        }
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
