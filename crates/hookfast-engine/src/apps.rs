//! Applications with a throttle, which all their lanes share: whose turn it is to start a try, and for whom to claim.
//! Pure bookkeeping; must not know what else a lane does.

use crate::lane::LaneNo;
use crate::throttle::Throttle;
use hookfast_core::model::AppThrottle;
use hookfast_core::{AppId, UnixMs};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Number of an application in its table; never used for another one.
pub(crate) type AppNo = u64;

/// What the engine knows of one application with a throttle.
#[derive(Debug)]
pub(crate) struct App {
    id: AppId,
    pub(crate) throttle: Throttle,
    /// When the application had this rate.
    as_of: UnixMs,
    /// So many lanes are its.
    lanes: u32,
    /// Lanes that lack nothing but the application's turn: those that answered lately, and the others; with the number
    /// that each drew when it came.
    line: [VecDeque<(u64, LaneNo)>; 2],
    drawn: u64,
    /// Tries that the lanes in line could start.
    ready: u32,
    /// Lanes with rows that can be claimed, by the time from which they can.
    due: BTreeSet<(UnixMs, LaneNo)>,
    /// Nothing of it is claimed before.
    pub(crate) claim_after: UnixMs,
    /// Its key in the claim index.
    pub(crate) index_key: Option<UnixMs>,
    /// Its key among the paced.
    pub(crate) paced_until: Option<UnixMs>,
    /// It stands in these rings.
    pub(crate) in_ring: [bool; 2],
}

impl App {
    fn new(id: AppId, per_s: u16, as_of: UnixMs, now: UnixMs) -> Self {
        Self {
            id,
            throttle: Throttle::new(per_s, now),
            as_of,
            lanes: 0,
            line: [VecDeque::new(), VecDeque::new()],
            drawn: 0,
            ready: 0,
            due: BTreeSet::new(),
            claim_after: UnixMs::ZERO,
            index_key: None,
            paced_until: None,
            in_ring: [false; 2],
        }
    }

    /// A lane waits for its turn, behind those that came before.
    pub(crate) fn line_up(&mut self, no: LaneNo, unproven: bool) {
        self.drawn += 1;
        self.line[usize::from(unproven)].push_back((self.drawn, no));
    }

    /// Does a lane of this kind wait for its turn?
    pub(crate) fn has_line(&self, class: usize) -> bool {
        !self.line[class].is_empty()
    }

    /// The lane whose turn it is, and of which kind it was when it came: of those that may go the one that waited longest.
    pub(crate) fn next(&mut self, allow_unproven: bool) -> Option<(LaneNo, usize)> {
        let number = |class: usize| self.line[class].front().map(|(number, _)| *number);
        let class = match (number(0), number(1).filter(|_| allow_unproven)) {
            (Some(proven), Some(other)) => usize::from(other < proven),
            (proven, other) => usize::from(proven.is_none() && other.is_some()),
        };
        self.line[class].pop_front().map(|(_, no)| (no, class))
    }

    /// Everybody leaves the line.
    pub(crate) fn take_line(&mut self) -> Vec<LaneNo> {
        self.ready = 0;
        self.line.iter_mut().flat_map(std::mem::take).map(|(_, no)| no).collect()
    }

    /// A lane in line counts for so many tries now.
    pub(crate) fn recount(&mut self, counted: &mut u32, tries: u32) {
        self.ready = (self.ready + tries).saturating_sub(std::mem::replace(counted, tries));
    }

    /// A lane can be claimed for from another time on, or not at all.
    pub(crate) fn index(&mut self, no: LaneNo, at: &mut Option<UnixMs>, new: Option<UnixMs>) {
        if let Some(old) = std::mem::replace(at, new) {
            self.due.remove(&(old, no));
        }
        self.due.extend(new.map(|at| (at, no)));
    }

    /// Takes the first lane that can be claimed for.
    pub(crate) fn pop_due(&mut self, now: UnixMs) -> Option<LaneNo> {
        let first = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&first);
        Some(first.1)
    }

    /// How many rows its lanes could take together.
    pub(crate) fn room(&self) -> u32 {
        self.throttle.ahead().saturating_sub(self.ready)
    }

    /// When to claim for it; `None` while its lanes have enough to start, or no rows.
    pub(crate) fn claim_at(&self) -> Option<UnixMs> {
        let (first, _) = self.due.first().filter(|_| self.ready <= self.throttle.ahead() / 2)?;
        Some(self.throttle.claim_not_before().max(self.claim_after).max(*first))
    }
}

/// All applications with a throttle that have lanes.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    by_no: HashMap<AppNo, App>,
    by_id: HashMap<AppId, AppNo>,
    last_no: AppNo,
}

impl Apps {
    pub(crate) fn find(&self, id: AppId) -> Option<AppNo> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get_mut(&mut self, no: AppNo) -> Option<&mut App> {
        self.by_no.get_mut(&no)
    }

    /// What is in force for an application: what was heard, or what is known if that is later.
    pub(crate) fn latest(&self, id: AppId, heard: AppThrottle) -> AppThrottle {
        let known = self.by_id.get(&id).and_then(|no| self.by_no.get(no)).filter(|app| app.as_of > heard.as_of);
        known.map_or(heard, |app| AppThrottle { rate: Some(app.throttle.per_s()), as_of: app.as_of })
    }

    /// One more lane is this application's.
    pub(crate) fn join(&mut self, id: AppId, per_s: u16, as_of: UnixMs, now: UnixMs) -> AppNo {
        let no = *self.by_id.entry(id).or_insert_with(|| {
            self.last_no += 1;
            self.last_no
        });
        let app = self.by_no.entry(no).or_insert_with(|| App::new(id, per_s, as_of, now));
        app.lanes += 1;
        no
    }

    /// An application has this rate; answers whether it had another one.
    pub(crate) fn set(&mut self, no: AppNo, per_s: u16, as_of: UnixMs, now: UnixMs) -> bool {
        let Some(app) = self.by_no.get_mut(&no) else { return false };
        app.as_of = as_of;
        let changed = app.throttle.per_s() != per_s;
        if changed {
            app.throttle.set(per_s, now);
        }
        changed
    }

    /// A lane leaves, with what it counted for. Answers the application if that was its last lane.
    pub(crate) fn leave(&mut self, no: AppNo, lane: LaneNo, counted: &mut u32, in_line: bool) -> Option<App> {
        let app = self.by_no.get_mut(&no)?;
        app.recount(counted, 0);
        if in_line {
            app.line.iter_mut().for_each(|line| line.retain(|(_, other)| *other != lane));
        }
        app.lanes -= 1;
        if app.lanes > 0 {
            return None;
        }
        self.by_id.remove(&app.id);
        self.by_no.remove(&no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_go_in_the_order_in_which_they_came_and_the_unproven_only_when_allowed() {
        let mut app = App::new(AppId::from_u128(1), 10, UnixMs(0), UnixMs(0));
        for (no, unproven) in [(1, false), (2, true), (3, false), (4, true)] {
            app.line_up(no, unproven);
        }
        assert_eq!([app.next(true), app.next(true)], [Some((1, 0)), Some((2, 1))]);
        assert_eq!([app.next(false), app.next(false)], [Some((3, 0)), None]);
        assert!(app.has_line(1) && !app.has_line(0));
        assert_eq!([app.next(true), app.next(true)], [Some((4, 1)), None]);
    }

    #[test]
    fn memory_is_given_back_with_the_last_lane() {
        let mut apps = Apps::default();
        let id = AppId::from_u128(1);
        let no = apps.join(id, 10, UnixMs(5), UnixMs(5));
        assert_eq!(apps.join(id, 10, UnixMs(5), UnixMs(5)), no);
        assert_eq!(apps.latest(id, AppThrottle::default()), AppThrottle { rate: Some(10), as_of: UnixMs(5) });
        assert!(apps.leave(no, 1, &mut 0, false).is_none());
        assert!(apps.leave(no, 2, &mut 0, false).is_some());
        assert!(apps.by_no.is_empty() && apps.by_id.is_empty());
        assert_ne!(apps.join(id, 10, UnixMs(5), UnixMs(5)), no, "numbers are not used again");
    }
}
