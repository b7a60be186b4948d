//! Why something arrived again, and how often it may (G2). Pure.

use super::{Arrivals, Pair, Run};
use crate::EventKey;
use crate::journal::{Entry, PathId};
use std::collections::HashMap;

/// One hard end of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Just before it was killed, in µs since the epoch.
    pub from_us: u64,
    /// When it was surely dead: at the latest just before the next one was started. What arrives until then is its.
    pub to_us: u64,
}

/// What may be repeated, and why.
#[derive(Clone, Debug)]
pub struct RepeatRules {
    /// The kills of the run.
    pub kills: Vec<Kill>,
    /// What was answered so long before a kill may not have been written down by the server yet.
    pub unsettled_us: u64,
    /// Deadline of a try: an exchange that lasted as long may have succeeded without the sender's knowing. `None`: no
    /// such allowance.
    pub timeout_us: Option<u64>,
    /// Leases that expired while their holder lived.
    pub leases_expired: u64,
    /// How often somebody asked for an event to be sent again, per event and path.
    pub resends: HashMap<(EventKey, PathId), u32>,
}

impl Default for RepeatRules {
    /// No fault, so no repeat.
    fn default() -> Self {
        Self {
            kills: Vec::new(),
            unsettled_us: 100_000,
            timeout_us: Some(15_000_000),
            leases_expired: 0,
            resends: HashMap::new(),
        }
    }
}

/// How much earlier than the receiver sees it a sender's deadline may strike, in µs.
const TIMEOUT_SLACK_US: u64 = 50_000;

impl RepeatRules {
    fn in_flight(&self, entry: &Entry, kill: &Kill) -> bool {
        let overlaps_start = entry.in_flight_at(kill.from_us, self.unsettled_us);
        overlaps_start || (kill.from_us..=kill.to_us).contains(&entry.at_us)
    }

    fn is_ambiguous(&self, entry: &Entry) -> bool {
        let lasted = |timeout_us: u64| u64::from(entry.open_us).saturating_add(TIMEOUT_SLACK_US) >= timeout_us;
        self.timeout_us.is_some_and(lasted)
    }
}

/// Why something arrived again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatCause {
    /// The arrival before it was in flight at a kill (number in [`RepeatRules::kills`]).
    Kill(usize),
    /// The exchange before it lasted until the sender's deadline.
    Ambiguous,
    /// Somebody asked for it.
    Resend,
    /// Nothing explains it.
    Unexplained,
}

/// One arrival too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The event.
    pub event: EventKey,
    /// Where it arrived again.
    pub path: PathId,
    /// When.
    pub at_us: u64,
    /// When the arrival that was accepted before it was answered; `None`: never.
    pub answered_us: Option<u64>,
    /// Why.
    pub cause: RepeatCause,
}

/// Kills so long before an arrival are told with it, in µs.
const NEAR_US: u64 = 5_000_000;

impl Repeat {
    /// How the judge names it in reports: all times from the answer before it.
    #[must_use]
    pub fn describe(&self, rules: &RepeatRules) -> String {
        let Self { event, path, at_us, answered_us, cause } = self;
        let Some(answered_us) = *answered_us else {
            return format!("event {event} at {path:?} again, {cause:?}, after an arrival that was never answered");
        };
        let since = |us: u64| us.cast_signed() - answered_us.cast_signed();
        let kills = rules.kills.iter().filter(|kill| kill.to_us + NEAR_US >= answered_us && kill.from_us <= *at_us);
        let kills: Vec<_> = kills.map(|kill| format!("{}..{}", since(kill.from_us), since(kill.to_us))).collect();
        format!(
            "event {event} at {path:?} again, {cause:?}, {} us after it was answered; kills {kills:?}",
            since(*at_us)
        )
    }
}

/// The repeats among the arrivals of one pair: whatever came after an arrival that was accepted.
pub(super) fn of_run(run: &Run<'_>, rules: &RepeatRules, repeats: &mut Vec<Repeat>) {
    if run.entries.len() < 2 {
        return;
    }
    let mut resends = rules.resends.get(&(run.event, run.path)).copied().unwrap_or(0);
    let mut accepted: Option<&Entry> = None;
    for entry in run.entries {
        if let Some(before) = accepted {
            let killed = |kill: &Kill| rules.in_flight(before, kill) && entry.at_us > kill.from_us;
            let cause = match rules.kills.iter().position(killed) {
                Some(kill) => RepeatCause::Kill(kill),
                None if rules.is_ambiguous(before) => RepeatCause::Ambiguous,
                None if resends > 0 => {
                    resends -= 1;
                    RepeatCause::Resend
                }
                None => RepeatCause::Unexplained,
            };
            let answered_us = before.answered_us();
            repeats.push(Repeat { event: run.event, path: run.path, at_us: entry.at_us, answered_us, cause });
        }
        if entry.accepted() {
            accepted = Some(entry);
        }
    }
}

/// The most repeats that G2 allows: what was in flight at each kill, ambiguous exchanges, expired leases, resends.
pub(super) fn bound(arrivals: &Arrivals, rules: &RepeatRules) -> u64 {
    let accepted = || arrivals.0.iter().filter(|entry| entry.accepted());
    let at_kills: usize =
        rules.kills.iter().map(|kill| accepted().filter(|entry| rules.in_flight(entry, kill)).count()).sum();
    let ambiguous = accepted().filter(|entry| rules.is_ambiguous(entry)).count();
    let resends: u64 = rules.resends.values().map(|count| u64::from(*count)).sum();
    (at_kills + ambiguous) as u64 + rules.leases_expired + resends
}

impl Pair {
    /// How the judge names it in reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { app, event, endpoint, arrivals, accepted } = self;
        format!("event {event} of {app} at {endpoint}: {arrivals} arrivals, accepted: {accepted}")
    }
}
