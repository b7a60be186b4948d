//! Promises of `Queue::settle`: what a delivery came to is durable, read back, and never undone by a late one.

use crate::{Backend, Grants, World};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Delivery, Outcome, Settlement};
use hookfast_core::{AppId, EventId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a settlement must read back as.
struct Expected {
    state: DeliveryState,
    cause: Option<Cause>,
    tries: u32,
    waits: bool,
}

fn expect(state: DeliveryState, cause: Option<Cause>, tries: u32, waits: bool) -> Expected {
    Expected { state, cause, tries, waits }
}

fn cases<B: Backend>(world: &World<B>, delivery: &Delivery) -> Vec<(Settlement, Expected)> {
    let due = world.now().plus_ms(5_000);
    let blocked = Outcome::End(DeliveryState::Dead, Cause::BlockedAddress);
    vec![
        (world.delivered(delivery), expect(DeliveryState::Delivered, Some(Cause::Ok), 1, false)),
        (world.dead(delivery), expect(DeliveryState::Dead, Some(Cause::Status), 1, false)),
        (world.untried(delivery, blocked), expect(DeliveryState::Dead, Some(Cause::BlockedAddress), 0, false)),
        (
            world.untried(delivery, Outcome::End(DeliveryState::Cancelled, Cause::EndpointDeleted)),
            expect(DeliveryState::Cancelled, Some(Cause::EndpointDeleted), 0, false),
        ),
        (world.retried(delivery, 5_000), expect(DeliveryState::Retrying, Some(Cause::Timeout), 1, true)),
        (world.untried(delivery, Outcome::Wait { due }), expect(DeliveryState::Pending, None, 0, true)),
    ]
}

async fn every_outcome_reads_back<B: Backend>(grants: Grants) {
    let mut world = World::<B>::new(grants).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let mut expected = Vec::new();
    let due = world.now().plus_ms(5_000);
    for case in 0..6 {
        let event = world.accept_plain(app).await;
        let delivery = match grants {
            Grants::None => world.claim_one(endpoint).await,
            _ => world.dispatch.take_handed(1).await.remove(0),
        };
        assert_eq!(delivery.key.event, event);
        let (settlement, wanted) = cases(&world, &delivery).swap_remove(case);
        let attempt = settlement.attempt.clone();
        world.settle(vec![settlement]).await;
        expected.push((event, attempt, wanted));
    }
    for round in ["at once", "after a restart"] {
        for (event, attempt, wanted) in &expected {
            let found = world.destination(app, *event, endpoint).await;
            assert_eq!(
                (found.state, found.cause, found.tries, found.run),
                (wanted.state, wanted.cause, wanted.tries, 0)
            );
            assert_eq!(found.next_due, wanted.waits.then_some(due), "{:?} {round}", wanted.state);
            assert_eq!(world.attempts(app, *event).await, attempt.iter().cloned().collect::<Vec<_>>());
        }
        world.restart().await;
    }
    world.clock.advance_ms(5_000);
    let claim = world.claim(endpoint, 10).await;
    let waiting: BTreeSet<EventId> = claim.deliveries.iter().map(|delivery| delivery.key.event).collect();
    let wanted = expected.iter().filter(|(_, _, wanted)| wanted.waits).map(|(event, _, _)| *event);
    assert_eq!(waiting, wanted.collect());
}

/// From a memory slot: delivered, dead, cancelled, retrying, waiting.
pub async fn every_outcome_from_memory_reads_back<B: Backend>() {
    every_outcome_reads_back::<B>(Grants::All).await;
}

/// From a claimed row: the same.
pub async fn every_outcome_from_the_queue_reads_back<B: Backend>() {
    every_outcome_reads_back::<B>(Grants::None).await;
}

/// Handed over, failed, claimed, failed, claimed, delivered: each try is counted and kept in order.
pub async fn a_delivery_lives_through_retries_to_its_end<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let mut delivery = world.dispatch.take_handed(1).await.remove(0);
    for tries in 1..=3 {
        world.settle(vec![world.retried(&delivery, 1_000)]).await;
        let found = world.destination(app, event, endpoint).await;
        assert_eq!((found.state, found.tries), (DeliveryState::Retrying, tries));
        assert!(world.claim(endpoint, 10).await.deliveries.is_empty(), "not due yet");
        world.clock.advance_ms(1_000);
        delivery = world.claim_one(endpoint).await;
        assert_eq!(delivery.tries, tries);
    }
    world.settle(vec![world.delivered(&delivery)]).await;
    let found = world.destination(app, event, endpoint).await;
    assert_eq!((found.state, found.tries, found.next_due), (DeliveryState::Delivered, 4, None));
    let attempts = world.attempts(app, event).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(attempts.iter().filter(|attempt| attempt.cause == Cause::Ok).count(), 1);
    world.clock.advance_days(1);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
}

/// The row went on under another lease: the late one's attempt is kept as history, and nothing else of it.
pub async fn a_stale_lease_changes_nothing_but_keeps_its_attempt<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let late = world.claim_one(endpoint).await;
    world.settle(vec![world.untried(&late, Outcome::Wait { due: world.now() })]).await;
    let fresh = world.claim_one(endpoint).await;
    let stale = world.dead(&late);
    world.settle(vec![stale.clone()]).await;
    let found = world.destination(app, event, endpoint).await;
    assert!(!found.state.is_end(), "a stale end ends nothing");
    assert_eq!(world.attempts(app, event).await, [stale.attempt.unwrap()]);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty(), "a stale settlement frees nothing");

    world.settle(vec![world.delivered(&fresh)]).await;
    world.settle(vec![world.retried(&late, 0), world.dead(&late)]).await;
    let found = world.destination(app, event, endpoint).await;
    assert_eq!((found.state, found.cause), (DeliveryState::Delivered, Some(Cause::Ok)));
    assert_eq!(world.attempts(app, event).await.len(), 4);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
}

/// `Dispatch::settled` gets each settlement once, whatever it was, stale ones too.
pub async fn every_settlement_comes_back_once<B: Backend>() {
    let world = World::<B>::new(Grants::EverySecond).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    for _ in 0..50 {
        world.accept_plain(app).await;
    }
    let mut deliveries = world.dispatch.take_handed(25).await;
    deliveries.extend(world.claim(endpoint, 100).await.deliveries);
    assert_eq!(deliveries.len(), 50);
    let mut settlements = Vec::new();
    for (n, delivery) in deliveries.iter().enumerate() {
        settlements.push(cases(&world, delivery).swap_remove(n % 6).0);
    }
    for chunk in settlements.chunks(7) {
        world.store().queue.settle(chunk.to_vec());
    }
    let keys: BTreeSet<_> = settlements.iter().map(|settlement| settlement.key).collect();
    let come = |record: &mut crate::dispatch::Record| (record.settled.len() >= 50).then(|| record.settled.clone());
    let settled = world.dispatch.until("all settlements", come).await;
    assert_eq!(settled.len(), 50);
    assert_eq!(settled.iter().map(|settlement| settlement.key).collect::<BTreeSet<_>>(), keys);
    let bytes: usize = settled.iter().map(|settlement| settlement.body_bytes).sum();
    assert_eq!(bytes, settlements.iter().map(|settlement| settlement.body_bytes).sum::<usize>());
}

/// How often a worker died with a delivery is known to whoever claims it next.
pub async fn crashes_are_remembered<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    let mut delivery = world.dispatch.take_handed(1).await.remove(0);
    for crashes in 1..=3 {
        let wait = Outcome::Wait { due: world.now() };
        world.settle(vec![Settlement { crashes, ..world.untried(&delivery, wait) }]).await;
        world.restart().await;
        delivery = world.claim_one(endpoint).await;
        assert_eq!((delivery.crashes, delivery.tries), (crashes, 0));
    }
}

/// Settlements and accepts share commits; at the quiet point every pair has its one state.
pub async fn settling_and_accepting_at_once_lose_nothing<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let accept = Arc::clone(&world.store().accept);
    let events: Vec<NewEvent> = (0..300).map(|_| world.event(app)).collect();
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let accepting = tokio::spawn(async move {
        for event in events {
            accept.accept(vec![event]).await.remove(0).unwrap();
        }
    });
    let mut settled = 0;
    while settled < 300 {
        let handed = world.dispatch.take_handed(1).await;
        settled += handed.len();
        let settlements = handed.iter().map(|delivery| {
            if delivery.key.event.high() % 3 == 0 { world.dead(delivery) } else { world.delivered(delivery) }
        });
        world.store().queue.settle(settlements.collect());
    }
    accepting.await.unwrap();
    world.dispatch.until("all to be settled", |record| (record.settled.len() == 300).then_some(())).await;
    check_ends(&world, app, &ids, endpoint).await;
}

async fn check_ends<B: Backend>(world: &World<B>, app: AppId, ids: &[EventId], endpoint: hookfast_core::EndpointId) {
    for id in ids {
        let wanted = if id.high() % 3 == 0 { DeliveryState::Dead } else { DeliveryState::Delivered };
        assert_eq!(world.state(app, *id, endpoint).await, wanted);
    }
    assert_eq!(world.store().reading.totals().await.unwrap().queue_rows, 0);
}
