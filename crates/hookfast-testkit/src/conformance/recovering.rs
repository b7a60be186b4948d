//! Promises over restarts: what one life had in its hands is there for the next, exactly.

use crate::{Backend, Grants, World};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Duty, Hold};
use hookfast_core::{AttemptId, EndpointId, EventId};
use std::collections::BTreeSet;

/// Handed over and unsettled pairs come back as rows once, however often it restarts; settled ones never.
pub async fn what_was_in_memory_comes_back_once_and_what_was_settled_does_not<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoints = [world.endpoint(app).await.id, world.endpoint(app).await.id];
    let batch: Vec<NewEvent> = (0..250).map(|_| world.event(app)).collect();
    assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    let handed = world.dispatch.take_handed(500).await;
    let mut lost: BTreeSet<(EventId, EndpointId)> = BTreeSet::new();
    let mut settlements = Vec::new();
    for (n, delivery) in handed.iter().enumerate() {
        match n % 5 {
            0 => settlements.push(world.delivered(delivery)),
            1 => settlements.push(world.dead(delivery)),
            2 => settlements.push(world.retried(delivery, 3_600_000)),
            _ => {
                lost.insert((delivery.key.event, delivery.key.endpoint));
            }
        }
    }
    world.settle(settlements).await;
    world.restart().await;
    assert_eq!(world.store().reading.totals().await.unwrap().recovered, lost.len() as u64);
    world.restart().await;
    assert_eq!(world.store().reading.totals().await.unwrap().recovered, 0);
    let mut back = BTreeSet::new();
    for claim in world.claim_all(&endpoints, 1_000).await {
        for delivery in claim.deliveries {
            assert_eq!((delivery.tries, delivery.key.run), (0, 0));
            assert!(delivery.event.body.is_some());
            assert!(back.insert((delivery.key.event, delivery.key.endpoint)), "came back twice");
        }
    }
    assert_eq!(back, lost);
    assert!(world.dispatch.record().handed.is_empty());
}

/// A row that the last life had claimed is free at once.
pub async fn claimed_rows_are_free_after_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    for _ in 0..3 {
        assert_eq!(world.claim_one(endpoint).await.key.event, event);
        world.restart().await;
    }
    assert_eq!(world.store().queue.waiting(None, 10).await.unwrap().len(), 1);
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.delivered(&delivery)]).await;
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Delivered);
}

/// A settlement by the right of an earlier life, whose row nobody has claimed since, ends nothing.
pub async fn a_lease_of_an_earlier_life_is_stale<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let late = world.claim_one(endpoint).await;
    assert!(matches!(late.hold, Hold::Queue { .. }));
    world.restart().await;
    world.settle(vec![world.dead(&late)]).await;
    assert!(!world.state(app, event, endpoint).await.is_end());
    assert_eq!(world.attempts(app, event).await.len(), 1);
    let fresh = world.claim_one(endpoint).await;
    world.settle(vec![world.delivered(&fresh)]).await;
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Delivered);
}

/// Of one event one endpoint is settled and one is not: only the other comes back.
pub async fn half_settled_events_come_back_for_the_other_half<B: Backend>() {
    let mut world = World::<B>::new(Grants::EverySecond).await;
    let app = world.app().await.id;
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        endpoints.push(world.endpoint(app).await.id);
    }
    let event = world.accept_plain(app).await;
    let handed = world.dispatch.take_handed(3).await;
    let done = handed[0].key.endpoint;
    world.settle(vec![world.delivered(&handed[0])]).await;
    world.restart().await;
    for endpoint in endpoints {
        let rows = world.claim(endpoint, 10).await.deliveries.len();
        assert_eq!(rows, usize::from(endpoint != done));
        let wanted = if endpoint == done { DeliveryState::Delivered } else { DeliveryState::Pending };
        assert_eq!(world.state(app, event, endpoint).await, wanted);
    }
}

/// Its endpoint was deleted while it was in memory, and then the process died.
pub async fn what_was_in_memory_for_a_deleted_endpoint_ends_cancelled<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    world.dispatch.take_handed(1).await;
    world.store().endpoints.delete_endpoint(app, endpoint).await.unwrap();
    world.restart().await;
    world.run(Duty::Cancel).await;
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Cancelled);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
}

/// The incarnation is a number that only rises.
pub async fn each_life_has_a_higher_incarnation<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let mut last = world.store().reading.totals().await.unwrap().incarnation;
    for _ in 0..3 {
        world.restart().await;
        let next = world.store().reading.totals().await.unwrap().incarnation;
        assert!(next > last);
        last = next;
    }
}

/// The clock went back while it was down: new ids are above those of events, and of attempts made long after them.
pub async fn ids_never_go_backwards_over_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    world.dispatch.take_handed(1).await;
    world.clock.back_ms(3_600_000);
    world.restart().await;
    assert!(EventId::from_u128(world.ids.next(world.now())).high() > event.high());

    world.clock.advance_ms(7_200_000);
    let delivery = world.claim_one(endpoint).await;
    let settlement = world.retried(&delivery, 1_000);
    let attempt: AttemptId = settlement.attempt.as_ref().unwrap().id;
    world.settle(vec![settlement]).await;
    world.clock.back_ms(3_600_000);
    world.restart().await;
    assert!(AttemptId::from_u128(world.ids.next(world.now())).high() > attempt.high());
}

/// While one process has the place a second one is told so; the first goes on unharmed.
pub async fn a_place_belongs_to_one_process<B: Backend>() {
    if !B::EXCLUSIVE {
        return;
    }
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    assert!(B::open(world.ground(), world.place()).await.is_err());
    world.accept_plain(app).await;
}
