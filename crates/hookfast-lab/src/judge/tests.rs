//! The judge finds what is planted, and nothing else.

use super::*;

const SECOND: u64 = 1_000_000;

fn key(n: u128) -> EventKey {
    EventKey::from_u128(n)
}

fn arrive(journal: &Journal, event: u128, path: &str, at_us: u64, status: u16) {
    let entry = Entry {
        event: key(event),
        at_us,
        lag_us: Entry::NONE,
        open_us: Entry::NONE,
        path: journal.path_id(path),
        ordinal: 0,
        status: 0,
        signature: Signature::Unchecked,
    };
    let (_, ticket) = journal.record(entry, |_| status);
    journal.ended(ticket.unwrap(), at_us + 1000);
}

/// Events 1 to 3 are owed to endpoints a and b.
fn owed(journal: &Journal) -> Vec<Obligation> {
    let expected = |name: &str| Expected { endpoint: format!("ep_{name}"), path: journal.path_id(&format!("/{name}")) };
    let endpoints = vec![expected("a"), expected("b")];
    vec![Obligation { app: "app_1".into(), events: vec![key(1), key(2), key(3)], endpoints }]
}

fn all_delivered(journal: &Journal) {
    for event in 1..=3 {
        arrive(journal, event, "/a", SECOND, 200);
        arrive(journal, event, "/b", SECOND, 204);
    }
}

fn standings(states: &[(u128, &str, DeliveryState)]) -> Standings {
    let mut standings = Standings::default();
    for event in 1..=3 {
        let of_event = states.iter().filter(|(of, _, _)| *of == event);
        let standing = |(_, endpoint, state): &(u128, &str, DeliveryState)| Standing {
            endpoint: (*endpoint).to_owned(),
            state: *state,
            tries: None,
        };
        standings.insert("app_1", key(event), of_event.map(standing).collect());
    }
    standings
}

fn every(state: DeliveryState) -> Vec<(u128, &'static str, DeliveryState)> {
    (1..=3).flat_map(|event| [(event, "ep_a", state), (event, "ep_b", state)]).collect()
}

#[test]
fn a_clean_run_has_no_findings() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    all_delivered(&journal);
    let findings = compare(&owed, &journal, &RepeatRules::default());
    assert_eq!((findings.pairs, findings.delivered, findings.suspects.len()), (6, 6, 0));
    assert_eq!((findings.repeats.len(), findings.repeats_bound, findings.unasked), (0, 0, 0));
    let verdict = conserve(&owed, &journal, &standings(&every(DeliveryState::Delivered)));
    assert!(verdict.violations.is_empty());
    assert_eq!(verdict.states, BTreeMap::from([("delivered", 6)]));
}

#[test]
fn a_planted_loss_is_found() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    for (event, path) in [(1, "/a"), (1, "/b"), (2, "/a"), (3, "/a"), (3, "/b")] {
        arrive(&journal, event, path, SECOND, 200);
    }
    let findings = compare(&owed, &journal, &RepeatRules::default());
    assert_eq!(findings.suspects.len(), 1);
    assert_eq!((findings.suspects[0].event, findings.suspects[0].endpoint.as_str()), (key(2), "ep_b"));
    // The server does not know it, or claims what is not so: lost. Every other state accounts for it.
    assert_eq!(hear(&findings, &standings(&[])).lost(), 1);
    assert_eq!(hear(&findings, &standings(&[(2, "ep_b", DeliveryState::Delivered)])).lost(), 1);
    use DeliveryState::{Cancelled, Dead, Pending, Retrying};
    for state in [Cancelled, Dead, Pending, Retrying] {
        let verdict = hear(&findings, &standings(&[(2, "ep_b", state)]));
        assert!(verdict.violations.is_empty());
        assert_eq!(verdict.states, BTreeMap::from([(state.as_str(), 1)]));
    }
    assert_eq!(hear(&findings, &Standings::default()).unheard, 1);
}

#[test]
fn an_arrival_that_was_not_accepted_delivers_nothing() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    all_delivered(&journal);
    let failing = Journal::new(100);
    for event in 1..=3 {
        arrive(&failing, event, "/a", SECOND, 500);
        arrive(&failing, event, "/b", SECOND, 0);
    }
    assert_eq!(compare(&owed, &failing, &RepeatRules::default()).suspects.len(), 6);
    assert_eq!(conserve(&owed, &failing, &standings(&every(DeliveryState::Retrying))).violations, []);
}

#[test]
fn states_that_contradict_the_receivers_are_found() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    all_delivered(&journal);
    let mut states = every(DeliveryState::Delivered);
    states[0].2 = DeliveryState::Retrying;
    states.remove(5);
    states.push((2, "ep_a", DeliveryState::Delivered));
    states.push((3, "ep_z", DeliveryState::Pending));
    let verdict = conserve(&owed, &journal, &standings(&states));
    let counts = [ViolationKind::NotSettled, ViolationKind::Lost, ViolationKind::Twice].map(|kind| verdict.count(kind));
    assert_eq!(counts, [1, 1, 1]);
    assert_eq!(verdict.states.get("not expected"), Some(&1));
}

#[test]
fn a_repeat_without_a_fault_is_unexplained() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    all_delivered(&journal);
    arrive(&journal, 2, "/a", 2 * SECOND, 200);
    let findings = compare(&owed, &journal, &RepeatRules::default());
    assert_eq!((findings.repeats.len(), findings.repeats_bound, findings.repeats_unexplained()), (1, 0, 1));
    assert_eq!((findings.repeats[0].event, findings.repeats[0].cause), (key(2), RepeatCause::Unexplained));
}

#[test]
fn retries_after_failures_are_no_repeats() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    arrive(&journal, 1, "/a", SECOND, 500);
    arrive(&journal, 1, "/a", 2 * SECOND, 0);
    arrive(&journal, 1, "/a", 3 * SECOND, 200);
    assert!(compare(&owed, &journal, &RepeatRules::default()).repeats.is_empty());
}

#[test]
fn a_kill_explains_what_was_in_flight_and_no_more() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    let kill = Kill { from_us: 10 * SECOND, to_us: 10 * SECOND + 40_000 };
    let rules = RepeatRules { kills: vec![kill], ..RepeatRules::default() };
    // Answered 50 ms before the kill; answered a second before; arrived from the dying server's socket.
    arrive(&journal, 1, "/a", 10 * SECOND - 50_000, 200);
    arrive(&journal, 2, "/a", 9 * SECOND, 200);
    arrive(&journal, 3, "/a", 10 * SECOND + 20_000, 200);
    for event in 1..=3 {
        arrive(&journal, event, "/a", 11 * SECOND, 200);
    }
    let findings = compare(&owed, &journal, &rules);
    let causes: Vec<_> = findings.repeats.iter().map(|repeat| repeat.cause).collect();
    assert_eq!(causes, [RepeatCause::Kill(0), RepeatCause::Unexplained, RepeatCause::Kill(0)]);
    assert_eq!(findings.repeats_bound, 2);
}

#[test]
fn ambiguous_timeouts_and_resends_are_allowed() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    let path = journal.path_id("/a");
    arrive(&journal, 1, "/a", SECOND, 200);
    journal.ended(0, 16 * SECOND);
    arrive(&journal, 1, "/a", 17 * SECOND, 200);
    arrive(&journal, 2, "/a", SECOND, 200);
    arrive(&journal, 2, "/a", 2 * SECOND, 200);
    let rules = RepeatRules { resends: [((key(2), path), 1)].into(), ..RepeatRules::default() };
    let findings = compare(&owed, &journal, &rules);
    let causes: Vec<_> = findings.repeats.iter().map(|repeat| repeat.cause).collect();
    assert_eq!(causes, [RepeatCause::Ambiguous, RepeatCause::Resend]);
    assert_eq!((findings.repeats_bound, findings.repeats_unexplained()), (2, 0));
}

#[test]
fn what_nobody_was_told_of_is_counted_once_per_event() {
    let journal = Journal::new(100);
    let owed = owed(&journal);
    arrive(&journal, 77, "/a", SECOND, 200);
    arrive(&journal, 77, "/b", SECOND, 200);
    assert_eq!(compare(&owed, &journal, &RepeatRules::default()).unasked, 1);
}

#[test]
fn a_full_journal_is_said_to_be_incomplete() {
    let journal = Journal::new(1);
    let owed = owed(&journal);
    arrive(&journal, 1, "/a", SECOND, 200);
    let entry = journal.entries()[0];
    journal.record(entry, |_| 200);
    assert_eq!(compare(&owed, &journal, &RepeatRules::default()).entries_dropped, 1);
}
