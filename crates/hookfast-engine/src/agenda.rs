//! Whom to look at when: lanes and applications by time, and when whoever waits for the first of them wakes.

use crate::apps::AppNo;
use crate::lane::LaneNo;
use hookfast_core::UnixMs;
use std::collections::BTreeSet;

/// A lane, or all lanes of an application that share a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// One lane.
    Lane(LaneNo),
    /// An application.
    App(AppNo),
}

/// Times, and who is to be looked at then.
#[derive(Debug)]
pub(crate) struct Agenda {
    by_time: BTreeSet<(UnixMs, Who)>,
    wakes: UnixMs,
}

impl Agenda {
    pub(crate) fn new() -> Self {
        Self { by_time: BTreeSet::new(), wakes: UnixMs::MAX }
    }

    /// Moves `who` from the time it stands at to another, or off. Answers whether whoever waits must wake sooner for it.
    #[must_use]
    pub(crate) fn put(&mut self, who: Who, at: &mut Option<UnixMs>, new: Option<UnixMs>) -> bool {
        if *at == new {
            return false;
        }
        if let Some(old) = std::mem::replace(at, new) {
            self.by_time.remove(&(old, who));
        }
        let Some(new) = new else { return false };
        self.by_time.insert((new, who));
        let sooner = new < self.wakes;
        self.wakes = self.wakes.min(new);
        sooner
    }

    /// Takes the first whose time has come. What notes its time must be cleared by the caller.
    pub(crate) fn pop_due(&mut self, now: UnixMs) -> Option<Who> {
        let first = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&first);
        Some(first.1)
    }

    /// Whoever waits wakes with the next one, and at `latest` then. Answers when that is.
    pub(crate) fn sleep(&mut self, latest: UnixMs) -> UnixMs {
        self.wakes = self.by_time.first().map_or(latest, |(at, _)| latest.min(*at));
        self.wakes
    }

    /// Nobody waits for a time.
    pub(crate) fn sleep_on(&mut self) {
        self.wakes = UnixMs::MAX;
    }
}
