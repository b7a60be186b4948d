//! The judge: compares what a server acknowledged with what arrived, and with what the server says of itself.
//!
//! It reads the producers' and the receivers' logs and the API, never the store, so that it cannot share a mistake
//! with it. It works after the fact, on a quiet server.

mod repeats;
mod standing;

pub use repeats::{Kill, Repeat, RepeatCause, RepeatRules};
pub use standing::{Standing, Standings, Violation, ViolationKind, read_standings};

use crate::EventKey;
use crate::journal::{Entry, Journal, PathId, Signature};
use hookfast_core::delivery::DeliveryState;
use std::collections::BTreeMap;

/// Events that a server acknowledged, and where each of them has to go.
#[derive(Clone, Debug)]
pub struct Obligation {
    /// The application, for questions to the API.
    pub app: String,
    /// The acknowledged events.
    pub events: Vec<EventKey>,
    /// Where every one of them goes.
    pub endpoints: Vec<Expected>,
}

/// An endpoint as the judge knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its id in the API.
    pub endpoint: String,
    /// Where its deliveries arrive.
    pub path: PathId,
}

/// One acknowledged event at one of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The application.
    pub app: String,
    /// The event.
    pub event: EventKey,
    /// The endpoint's id.
    pub endpoint: String,
    /// How often it arrived.
    pub arrivals: u32,
    /// One of the arrivals was answered 2xx.
    pub accepted: bool,
}

/// What the two logs say, before the server is heard.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Acknowledged events times their endpoints.
    pub pairs: u64,
    /// Pairs whose receiver accepted.
    pub delivered: u64,
    /// Pairs that no receiver accepted: lost, unless the server can say how they stand.
    pub suspects: Vec<Pair>,
    /// Arrivals of pairs that had been accepted before, each with its cause.
    pub repeats: Vec<Repeat>,
    /// The most repeats that the faults explain.
    pub repeats_bound: u64,
    /// Events that arrived though nobody was told that they were accepted (their producers got no answer).
    pub unasked: u64,
    /// Arrivals whose signature does not hold.
    pub bad_signatures: u64,
    /// Arrivals that a journal had no room for: above 0 there is no judgement.
    pub entries_dropped: u64,
}

impl Findings {
    /// Repeats without a cause.
    #[must_use]
    pub fn repeats_unexplained(&self) -> u64 {
        self.repeats.iter().filter(|repeat| repeat.cause == RepeatCause::Unexplained).count() as u64
    }
}

/// The arrivals of one event at one path, in order of time.
#[derive(Clone, Copy)]
struct Run<'a> {
    event: EventKey,
    path: PathId,
    entries: &'a [Entry],
}

/// Arrivals sorted by event, path and time.
pub(crate) struct Arrivals(Vec<Entry>);

impl Arrivals {
    fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.event, entry.path, entry.at_us, entry.ordinal));
        Self(entries)
    }

    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let same = |a: &Entry, b: &Entry| (a.event, a.path) == (b.event, b.path);
        self.0.chunk_by(same).map(|entries| Run { event: entries[0].event, path: entries[0].path, entries })
    }

    fn of(&self, event: EventKey, path: PathId) -> &[Entry] {
        let start = self.0.partition_point(|entry| (entry.event, entry.path) < (event, path));
        let length = self.0[start..].partition_point(|entry| (entry.event, entry.path) == (event, path));
        &self.0[start..start + length]
    }
}

/// Compares what was acknowledged with what arrived.
#[must_use]
pub fn compare(obligations: &[Obligation], journal: &Journal, rules: &RepeatRules) -> Findings {
    let arrivals = Arrivals::new(journal.entries());
    let mut findings = Findings { entries_dropped: journal.dropped(), ..Findings::default() };
    for pair in pairs(obligations, &arrivals) {
        findings.pairs += 1;
        if pair.accepted {
            findings.delivered += 1;
        } else {
            findings.suspects.push(pair);
        }
    }
    let mut asked: Vec<EventKey> =
        obligations.iter().flat_map(|obligation| obligation.events.iter().copied()).collect();
    asked.sort_unstable();
    let mut last = None;
    for run in arrivals.runs() {
        if last != Some(run.event) && asked.binary_search(&run.event).is_err() {
            findings.unasked += 1;
        }
        last = Some(run.event);
        findings.bad_signatures += run.entries.iter().filter(|entry| entry.signature == Signature::Bad).count() as u64;
        repeats::of_run(&run, rules, &mut findings.repeats);
    }
    findings.repeats_bound = repeats::bound(&arrivals, rules);
    findings
}

fn pairs<'a>(obligations: &'a [Obligation], arrivals: &'a Arrivals) -> impl Iterator<Item = Pair> + 'a {
    obligations.iter().flat_map(move |obligation| {
        obligation.events.iter().flat_map(move |event| {
            obligation.endpoints.iter().map(move |expected| {
                let run = arrivals.of(*event, expected.path);
                Pair {
                    app: obligation.app.clone(),
                    event: *event,
                    endpoint: expected.endpoint.clone(),
                    arrivals: u32::try_from(run.len()).unwrap_or(u32::MAX),
                    accepted: run.iter().any(Entry::accepted),
                }
            })
        })
    })
}

/// The judgement, after the server was heard.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pairs that are lost, or stand as they must not.
    pub violations: Vec<Violation>,
    /// Pairs by the state the server gave.
    pub states: BTreeMap<&'static str, u64>,
    /// Pairs that the server was not asked about.
    pub unheard: u64,
}

impl Verdict {
    /// Pairs that nobody received and nobody knows of any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.count(ViolationKind::Lost) + self.count(ViolationKind::FalselyDelivered)
    }

    /// Violations of one kind.
    #[must_use]
    pub fn count(&self, kind: ViolationKind) -> u64 {
        self.violations.iter().filter(|violation| violation.kind == kind).count() as u64
    }
}

/// Judges the suspects by what the server says of them (see [`read_standings`]): a suspect that stands as `dead`,
/// `cancelled`, `pending` or `retrying` is accounted for; one that the server does not know, or calls delivered, is lost.
#[must_use]
pub fn hear(findings: &Findings, standings: &Standings) -> Verdict {
    let mut verdict = Verdict::default();
    for suspect in &findings.suspects {
        if standings.heard(&suspect.app, suspect.event) {
            weigh(suspect, standings, &mut verdict);
        } else {
            verdict.unheard += 1;
        }
    }
    verdict
}

/// Conservation (G3) over every pair of the events that the server was asked about: each stands in exactly one state,
/// and in `delivered` if and only if its receiver accepted it. For a quiet server.
#[must_use]
pub fn conserve(obligations: &[Obligation], journal: &Journal, standings: &Standings) -> Verdict {
    let arrivals = Arrivals::new(journal.entries());
    let mut verdict = Verdict::default();
    for pair in pairs(obligations, &arrivals) {
        if standings.heard(&pair.app, pair.event) {
            weigh(&pair, standings, &mut verdict);
        } else {
            verdict.unheard += 1;
        }
    }
    let expected: u64 = obligations
        .iter()
        .flat_map(|obligation| obligation.events.iter().map(move |event| (obligation, event)))
        .filter(|(obligation, event)| standings.heard(&obligation.app, **event))
        .map(|(obligation, _)| obligation.endpoints.len() as u64)
        .sum();
    let surplus = standings.len().saturating_sub(expected);
    *verdict.states.entry("not expected").or_default() += surplus;
    verdict.states.retain(|_, count| *count > 0);
    verdict
}

fn weigh(pair: &Pair, standings: &Standings, verdict: &mut Verdict) {
    let mut violate = |kind| verdict.violations.push(Violation { pair: pair.clone(), kind });
    match standings.of(&pair.app, pair.event, &pair.endpoint) {
        [] => violate(ViolationKind::Lost),
        [standing] => {
            match (standing.state, pair.accepted) {
                (DeliveryState::Delivered, false) => violate(ViolationKind::FalselyDelivered),
                (DeliveryState::Delivered, true) | (_, false) => {}
                (_, true) => violate(ViolationKind::NotSettled),
            }
            *verdict.states.entry(standing.state.as_str()).or_default() += 1;
        }
        _ => violate(ViolationKind::Twice),
    }
}

#[cfg(test)]
mod tests;
