//! What a change of an endpoint's configuration does. What it makes pointless in memory is left to the sweep, in
//! bounded steps.

use super::{Effects, State, set_prompt};
use hookfast_core::model::Endpoint;
use hookfast_core::{EndpointId, UnixMs};
use std::sync::Arc;

impl State {
    /// The endpoint has a new configuration, in force from the next try on.
    pub(crate) fn endpoint_changed(&mut self, endpoint: &Arc<Endpoint>, now: UnixMs, fx: &mut Effects) {
        let known = self.lanes.find(endpoint.id);
        // Rows of a disabled endpoint are not kept in mind: when it is enabled, a claim finds out.
        let mut look = known.is_none();
        let Some(no) = known.or_else(|| self.lane_of(endpoint, now)) else { return };
        if let Some(lane) = self.lanes.get_mut(no) {
            if lane.endpoint.disabled.is_some() && endpoint.disabled.is_none() {
                lane.health.enabled(endpoint.failing_since);
                look = true;
            }
            lane.configure(endpoint, now);
            lane.health.configured();
            lane.idle_since = now;
            let prompt = lane.judge_prompt();
            set_prompt(lane, &mut self.estimate, prompt);
        }
        self.regroup(no, endpoint.app_throttle, now, fx);
        if endpoint.disabled.is_some() {
            self.forget_stored(no);
        } else if look {
            self.note_stored(no, now, fx);
        }
        self.reindex(no, fx);
        self.line_up(no, now, fx);
        self.dispatch(now, fx);
    }

    /// The endpoint was deleted: what waits for it ends as cancelled.
    pub(crate) fn endpoint_removed(&mut self, id: EndpointId, fx: &mut Effects) {
        let Some(no) = self.lanes.find(id) else { return };
        if let Some(lane) = self.lanes.get_mut(no) {
            lane.removed = true;
            set_prompt(lane, &mut self.estimate, false);
        }
        self.forget_stored(no);
        self.reindex(no, fx);
    }
}
