//! Lanes that share the throttle of their application: which they are, and what is known of them together.

use super::{Effects, Phase, State, set_prompt};
use crate::agenda::Who;
use crate::apps::AppNo;
use crate::lane::{LaneNo, Place};
use hookfast_core::model::AppThrottle;
use hookfast_core::{AppId, UnixMs};

impl State {
    /// What an application allows its endpoints changed: it is in force for all their lanes at once.
    pub(crate) fn app_throttle_changed(&mut self, id: AppId, throttle: AppThrottle, now: UnixMs, fx: &mut Effects) {
        let known = self.apps.find(id);
        let rate = known.and_then(|app| self.apps.get_mut(app)).map(|app| app.throttle.per_s());
        if rate == throttle.rate {
            return;
        }
        if let (Some(app), None) = (known.and_then(|app| self.apps.get_mut(app)), throttle.rate) {
            for no in app.take_line() {
                if let Some(lane) = self.lanes.get_mut(no) {
                    (lane.place, lane.counted) = (Place::Nowhere, 0);
                }
            }
        }
        for no in 0..self.lanes.end() {
            if self.lanes.get(no).is_some_and(|lane| lane.endpoint.app == id) {
                self.regroup(no, throttle, now, fx);
            }
        }
        self.dispatch(now, fx);
    }

    /// A lane's application was heard to allow this, perhaps by an endpoint that was read a while ago.
    pub(super) fn regroup(&mut self, no: LaneNo, heard: AppThrottle, now: UnixMs, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        let AppThrottle { rate, as_of } = self.apps.latest(lane.endpoint.app, heard);
        if as_of < lane.app_as_of {
            return;
        }
        lane.app_as_of = as_of;
        match (lane.app, rate) {
            (None, None) => {}
            (None, Some(per_s)) => self.join_app(no, per_s, now, fx),
            (Some(_), None) => self.leave_app(no, now, fx),
            (Some(app), Some(per_s)) => {
                if self.apps.set(app, per_s, as_of, now) {
                    self.line_up_app(app, now, fx);
                    self.reindex_app(app, fx);
                }
            }
        }
    }

    fn join_app(&mut self, no: LaneNo, per_s: u16, now: UnixMs, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        fx.wake_claimer |= self.claims.put(Who::Lane(no), &mut lane.index_key, None);
        lane.app = Some(self.apps.join(lane.endpoint.app, per_s, lane.app_as_of, now));
        lane.change_owner();
        set_prompt(lane, &mut self.estimate, false);
        self.reindex(no, fx);
    }

    fn leave_app(&mut self, no: LaneNo, now: UnixMs, fx: &mut Effects) {
        self.part(no, fx);
        let Some(lane) = self.lanes.get_mut(no) else { return };
        if lane.place == Place::Line {
            lane.place = Place::Nowhere;
        }
        lane.change_owner();
        let prompt = lane.judge_prompt();
        set_prompt(lane, &mut self.estimate, prompt);
        self.reindex(no, fx);
        self.line_up(no, now, fx);
    }

    /// Its application knows nothing of a lane any more; with its last lane it is forgotten itself.
    pub(super) fn part(&mut self, no: LaneNo, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        let Some(app_no) = lane.app.take() else { return };
        if let Some(app) = self.apps.get_mut(app_no) {
            app.index(no, &mut lane.index_key, None);
        }
        if let Some(mut gone) = self.apps.leave(app_no, no, &mut lane.counted, lane.place == Place::Line) {
            fx.wake_claimer |= self.claims.put(Who::App(app_no), &mut gone.index_key, None);
            fx.wake_pacer |= self.paced.put(Who::App(app_no), &mut gone.paced_until, None);
        }
    }

    /// Brings up to date for how much a lane counts in its application's line.
    pub(super) fn recount(&mut self, no: LaneNo, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        let Some(app_no) = lane.app else { return };
        let tries = if lane.place == Place::Line { lane.startable() } else { 0 };
        if let Some(app) = self.apps.get_mut(app_no) {
            app.recount(&mut lane.counted, tries);
        }
        self.reindex_app(app_no, fx);
    }

    /// Brings an application's place in the claim index up to date.
    pub(super) fn reindex_app(&mut self, no: AppNo, fx: &mut Effects) {
        let Some(app) = self.apps.get_mut(no) else { return };
        let key = app.claim_at().filter(|_| self.phase == Phase::Running);
        fx.wake_claimer |= self.claims.put(Who::App(no), &mut app.index_key, key);
    }

    /// Puts an application where its next try is waited for: into the rings of its waiting lanes, or among the paced.
    pub(super) fn line_up_app(&mut self, no: AppNo, now: UnixMs, fx: &mut Effects) {
        let Some(app) = self.apps.get_mut(no) else { return };
        let not_before = app.throttle.not_before();
        let waits = not_before > now && (app.has_line(0) || app.has_line(1));
        fx.wake_pacer |= self.paced.put(Who::App(no), &mut app.paced_until, waits.then_some(not_before));
        if not_before > now {
            return;
        }
        for (class, ring) in self.rings.iter_mut().enumerate() {
            if app.has_line(class) && !std::mem::replace(&mut app.in_ring[class], true) {
                ring.push_back(Who::App(no));
            }
        }
    }

    /// It is an application's turn in a ring: the lane that makes use of it, and of which kind that was.
    pub(super) fn call(
        &mut self,
        no: AppNo,
        class: usize,
        allow_unproven: bool,
        now: UnixMs,
        fx: &mut Effects,
    ) -> Option<(LaneNo, usize)> {
        let app = self.apps.get_mut(no)?;
        app.in_ring[class] = false;
        let next = if app.throttle.not_before() <= now { app.next(allow_unproven) } else { None };
        self.line_up_app(no, now, fx);
        next
    }
}
