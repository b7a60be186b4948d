//! What is known of rows in the queue, which of them to claim next, and what a claim brought.

use super::{Effects, LANES_EASY, Phase, State, earliest};
use crate::agenda::Who;
use crate::apps::AppNo;
use crate::lane::{CLAIM_LEAD_SCARCE_MS, Lane, LaneNo};
use hookfast_core::UnixMs;
use hookfast_core::model::Endpoint;
use hookfast_core::ports::{Claim, ClaimWanted, Outcome, Waiting};
use std::sync::Arc;

/// Endpoints claimed for at once.
const CLAIM_LANES_MAX: usize = 256;
/// The claimer looks at least this often.
const WAKE_MS: u64 = 1_000;
/// A lane that may not be claimed for now is looked at again after this.
const POSTPONE_MS: u64 = 250;
/// When very many endpoints wait, only those due soon are kept in mind.
const SOON_MS: u64 = 60_000;

/// What to claim now, and when to look again.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) wanted: Vec<ClaimWanted>,
    pub(crate) wake_at: UnixMs,
}

/// What is picked to be claimed for.
#[derive(Default)]
struct Pick {
    /// Lanes at most.
    most: usize,
    /// So many more that must wait for their throttle.
    early: usize,
    /// Only lanes that answered lately.
    only_proven: bool,
    picked: Vec<(LaneNo, u32)>,
    /// Lanes that are put off, and applications that were looked at.
    later: Vec<LaneNo>,
    apps: Vec<AppNo>,
}

impl Pick {
    fn has_place(&self) -> bool {
        self.picked.len() < self.most
    }

    /// Picks a lane, which has left the index, or puts it off.
    fn add(&mut self, no: LaneNo, lane: &mut Lane, now: UnixMs) {
        lane.index_key = None;
        if self.only_proven && !lane.health.is_proven(now) {
            lane.claim_after = now.plus_ms(POSTPONE_MS);
            return self.later.push(no);
        }
        if let Some(late) = lane.claim_late(now) {
            if self.early == 0 {
                lane.claim_after = late;
                return self.later.push(no);
            }
            self.early -= 1;
        }
        self.picked.push((no, lane.room()));
    }
}

impl State {
    /// The queue holds rows of this lane, the earliest due then.
    pub(super) fn note_stored(&mut self, no: LaneNo, due: UnixMs, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        if !lane.keeps_rows_in_mind() {
            return;
        }
        if lane.claiming {
            lane.heard_due = earliest(lane.heard_due, Some(due));
        } else if lane.stored_due.is_none_or(|known| due < known) {
            lane.stored_due = Some(due);
            self.reindex(no, fx);
        }
    }

    /// Its rows are nobody's business here any more.
    pub(super) fn forget_stored(&mut self, no: LaneNo) {
        if let Some(lane) = self.lanes.get_mut(no) {
            lane.stored_due = None;
            lane.heard_due = None;
        }
    }

    /// Brings a lane's place in the claim index up to date.
    pub(super) fn reindex(&mut self, no: LaneNo, fx: &mut Effects) {
        let Some(lane) = self.lanes.get_mut(no) else { return };
        let claimable = self.phase == Phase::Running && !lane.claiming && lane.is_enabled();
        let key = match lane.stored_due {
            Some(due) if claimable && lane.room() > 0 => Some(due.max(lane.claim_not_before())),
            _ => None,
        };
        if key == lane.index_key {
            return;
        }
        let Some(app_no) = lane.app else {
            fx.wake_claimer |= self.claims.put(Who::Lane(no), &mut lane.index_key, key);
            return;
        };
        if let Some(app) = self.apps.get_mut(app_no) {
            app.index(no, &mut lane.index_key, key);
        }
        self.reindex_app(app_no, fx);
    }

    /// Rows of these endpoints were committed.
    pub(crate) fn queued(&mut self, waiting: &[(Arc<Endpoint>, UnixMs)], now: UnixMs, fx: &mut Effects) {
        for (endpoint, due) in waiting {
            if let Some(no) = self.lane_of(endpoint, now) {
                self.note_stored(no, *due, fx);
            }
        }
    }

    /// A walk over the queue found these endpoints.
    pub(crate) fn learn(&mut self, waiting: &[Waiting], now: UnixMs, fx: &mut Effects) {
        for one in waiting {
            if one.endpoint.disabled.is_some() {
                continue;
            }
            let is_new = self.lanes.find(one.endpoint.id).is_none();
            if is_new && self.lanes.len() > LANES_EASY && one.due > now.plus_ms(SOON_MS) {
                continue;
            }
            if let Some(no) = self.lane_of(&one.endpoint, now) {
                self.note_stored(no, one.due, fx);
            }
        }
    }

    /// Chooses what to claim: lanes whose rows are due, each in its turn, a few rows each.
    pub(crate) fn plan_claims(&mut self, now: UnixMs) -> Planned {
        let mut planned = Planned { wanted: Vec::new(), wake_at: now.plus_ms(WAKE_MS) };
        let budget = if self.is_open() { self.claim_budget() } else { 0 };
        if budget == 0 {
            self.claims_starved = true;
            self.claims.sleep_on();
            return planned;
        }
        let picked = self.pick_due(now, budget);
        let rows = u32::try_from(budget / picked.len().max(1)).unwrap_or(u32::MAX).max(1);
        for (no, room) in picked {
            if let Some(lane) = self.lanes.get_mut(no) {
                lane.claiming = true;
                planned.wanted.push(ClaimWanted { endpoint: lane.id, rows_max: room.min(rows).max(1) });
            }
        }
        planned.wake_at = self.claims.sleep(planned.wake_at);
        planned
    }

    /// Lanes whose rows are due, with the number of rows that each could take.
    fn pick_due(&mut self, now: UnixMs, budget: usize) -> Vec<(LaneNo, u32)> {
        let early = self.claims_easy();
        let only_proven = early == 0 || !self.permits.allow_unproven();
        let mut pick = Pick { most: CLAIM_LANES_MAX.min(budget), early, only_proven, ..Pick::default() };
        while pick.has_place()
            && let Some(who) = self.claims.pop_due(now)
        {
            match who {
                Who::Lane(no) => {
                    if let Some(lane) = self.lanes.get_mut(no) {
                        pick.add(no, lane, now);
                    }
                }
                Who::App(no) => self.pick_of_app(no, &mut pick, now),
            }
        }
        let mut unheard = Effects::default();
        for no in pick.later {
            self.reindex(no, &mut unheard);
        }
        for no in pick.apps {
            self.reindex_app(no, &mut unheard);
        }
        pick.picked
    }

    /// Lanes of an application, as many as could start a try soon, which share what it can take.
    fn pick_of_app(&mut self, no: AppNo, pick: &mut Pick, now: UnixMs) {
        let Some(app) = self.apps.get_mut(no) else { return };
        app.index_key = None;
        pick.apps.push(no);
        let late = app.throttle.not_before().minus_ms(CLAIM_LEAD_SCARCE_MS);
        if pick.early == 0 && late > now {
            app.claim_after = late;
            return;
        }
        let (room, from) = (app.room(), pick.picked.len());
        while pick.picked.len() - from < room as usize
            && pick.has_place()
            && let Some(no) = app.pop_due(now)
        {
            if let Some(lane) = self.lanes.get_mut(no) {
                pick.add(no, lane, now);
            }
        }
        let lanes = u32::try_from(pick.picked.len() - from).unwrap_or(u32::MAX).max(1);
        for (_, rows) in &mut pick.picked[from..] {
            *rows = (*rows).min(room / lanes);
        }
    }

    /// A claim ended: `claims` of what was `wanted`, or nothing when it failed, to be tried again at `again_at`.
    pub(crate) fn claimed(
        &mut self,
        wanted: &[ClaimWanted],
        claims: Result<Vec<Claim>, UnixMs>,
        now: UnixMs,
        fx: &mut Effects,
    ) {
        let failed = claims.is_err();
        let again_at = claims.as_ref().err().copied().unwrap_or(now);
        for claim in claims.unwrap_or_default() {
            self.take_claim(claim, now, fx);
        }
        for want in wanted {
            let Some(no) = self.lanes.find(want.endpoint) else { continue };
            if let Some(lane) = self.lanes.get_mut(no)
                && std::mem::take(&mut lane.claiming)
            {
                // Not among the answers: nothing of it waits, unless the claim itself failed.
                let known = if failed { lane.stored_due } else { None };
                lane.stored_due = earliest(known, lane.heard_due.take()).filter(|_| lane.keeps_rows_in_mind());
                lane.claim_after = again_at;
            }
            self.reindex(no, fx);
            self.recount(no, fx);
        }
        self.dispatch(now, fx);
    }

    fn take_claim(&mut self, claim: Claim, now: UnixMs, fx: &mut Effects) {
        for delivery in &claim.deliveries {
            self.memory.claim(delivery.event.body_bytes());
        }
        let Some(no) = self.lanes.find(claim.endpoint) else {
            for delivery in claim.deliveries {
                let due = delivery.due;
                self.settle_untried(delivery, Outcome::Wait { due }, fx);
            }
            return;
        };
        if let Some(lane) = self.lanes.get_mut(no) {
            lane.claiming = false;
            lane.claim_after = claim.elsewhere_until.unwrap_or(now);
            lane.idle_since = now;
            if let (Some(until), Some(app)) = (claim.elsewhere_until, lane.app.and_then(|app| self.apps.get_mut(app))) {
                app.claim_after = until;
            }
            lane.stored_due = earliest(claim.next_due, lane.heard_due.take()).filter(|_| lane.keeps_rows_in_mind());
            lane.held += u32::try_from(claim.deliveries.len()).unwrap_or(u32::MAX);
        }
        for delivery in claim.deliveries {
            self.enqueue(no, delivery, now, fx);
        }
    }
}
