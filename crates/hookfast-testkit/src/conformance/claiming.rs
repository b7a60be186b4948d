//! Promises of `Queue::claim` and `Queue::waiting`: who may work on a row, and in which order.

use crate::{Backend, Grants, World};
use hookfast_core::model::{NewEvent, Trigger};
use hookfast_core::ports::{Hold, Outcome};
use hookfast_core::{EndpointId, EventId, UnixMs};
use std::collections::HashSet;
use std::sync::Arc;

/// A page of claims is the oldest due, in order; the next claim goes on behind it.
pub async fn the_oldest_due_come_first_and_no_more_than_asked_for<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let mut events = Vec::new();
    for _ in 0..10 {
        events.push(world.accept_plain(app).await);
        world.clock.advance_ms(10);
    }
    let mut claimed = Vec::new();
    for (size, left) in [(3, true), (3, true), (4, false)] {
        let claim = world.claim(endpoint, size).await;
        assert_eq!(claim.deliveries.len(), size as usize);
        assert!(claim.deliveries.is_sorted_by_key(|delivery| delivery.due));
        assert_eq!(claim.next_due.is_some(), left);
        claimed.extend(claim.deliveries.iter().map(|delivery| delivery.key.event));
        if let Some(next_due) = claim.next_due {
            assert_eq!(next_due, events[claimed.len()].time());
        }
    }
    assert_eq!(claimed, events);
}

/// Before its time a row is only announced.
pub async fn nothing_is_given_before_it_is_due<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.retried(&delivery, 60_000)]).await;
    let due = world.now().plus_ms(60_000);
    let claim = world.claim(endpoint, 10).await;
    assert!(claim.deliveries.is_empty());
    assert_eq!(claim.next_due, Some(due));
    world.clock.advance_ms(59_999);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
    world.clock.advance_ms(1);
    assert_eq!(world.claim_one(endpoint).await.due, due);
}

/// A claimed row is in nobody else's reach, and no reason to come again.
pub async fn what_is_held_is_given_to_nobody_else<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    world.claim_one(endpoint).await;
    world.clock.advance_ms(1_000);
    let claim = world.claim(endpoint, 10).await;
    assert!(claim.deliveries.is_empty() && claim.next_due.is_none());
    let empty = world.claim(EndpointId::from_u128(3), 10).await;
    assert!(empty.deliveries.is_empty() && empty.next_due.is_none());
}

/// Given back untried: free again, under a higher fencing number.
pub async fn what_is_given_back_is_given_again_under_a_new_lease<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    let mut last = 0;
    for _ in 0..4 {
        let delivery = world.claim_one(endpoint).await;
        let Hold::Queue { lease_no } = delivery.hold else { panic!("a claimed row is held by the queue") };
        assert!(lease_no > last);
        last = lease_no;
        world.settle(vec![world.untried(&delivery, Outcome::Wait { due: world.now() })]).await;
    }
}

/// One call asks for many endpoints; a long queue of one leaves the others theirs.
pub async fn many_rows_of_one_endpoint_stand_in_nobodys_way<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (busy_app, calm_app) = (world.app().await.id, world.app().await.id);
    let busy = world.endpoint(busy_app).await.id;
    let batch: Vec<NewEvent> = (0..2_000).map(|_| world.event(busy_app)).collect();
    assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    let mut endpoints = vec![busy];
    for _ in 0..5 {
        endpoints.push(world.endpoint(calm_app).await.id);
    }
    world.clock.advance_ms(10);
    for _ in 0..3 {
        world.accept_plain(calm_app).await;
    }
    let claims = world.claim_all(&endpoints, 5).await;
    for endpoint in &endpoints {
        let claim = claims.iter().find(|claim| claim.endpoint == *endpoint).unwrap();
        assert_eq!(claim.deliveries.len(), if *endpoint == busy { 5 } else { 3 });
        assert!(claim.deliveries.iter().all(|delivery| delivery.key.endpoint == *endpoint));
    }
}

/// However claims race, each row is given once.
pub async fn claims_at_once_never_give_a_row_twice<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoints = [world.endpoint(app).await.id, world.endpoint(app).await.id];
    let batch: Vec<NewEvent> = (0..150).map(|_| world.event(app)).collect();
    assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (queue, now) = (Arc::clone(&world.store().queue), world.now());
        let wanted = endpoints.map(|endpoint| hookfast_core::ports::ClaimWanted { endpoint, rows_max: 10 }).to_vec();
        tasks.spawn(async move { queue.claim(wanted, now).await.unwrap() });
    }
    let mut seen = HashSet::new();
    for claim in tasks.join_all().await.into_iter().flatten() {
        for delivery in claim.deliveries {
            assert!(seen.insert(delivery.key), "given twice");
        }
    }
    assert_eq!(seen.len(), 300);
}

/// A claimed delivery carries all that sending needs.
pub async fn a_claimed_delivery_is_whole<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let sent = NewEvent {
        content_type: Some("text/csv".to_owned()),
        body: bytes::Bytes::from_static(&[0, 159, 146, 150]),
        ..world.event(app)
    };
    world.accept(sent.clone()).await;
    let delivery = world.claim_one(endpoint).await;
    assert_eq!((delivery.key.event, delivery.key.endpoint, delivery.key.run), (sent.id, endpoint, 0));
    assert_eq!(delivery.event.id, sent.id);
    assert_eq!(delivery.event.event_type, sent.event_type);
    assert_eq!(delivery.event.content_type, sent.content_type);
    assert_eq!(delivery.event.body, Some(sent.body));
    assert_eq!((delivery.tries, delivery.crashes, delivery.trigger), (0, 0, Trigger::Scheduled));
    assert!(delivery.due <= world.now());
}

/// `waiting` names each endpoint with free rows once, by id, with its earliest due, a page at a time.
pub async fn waiting_lists_endpoints_with_free_rows<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let mut expected: Vec<(EndpointId, UnixMs)> = Vec::new();
    for n in 0..7 {
        let only = format!("type-{n}");
        let endpoint = world.endpoint_with(app, |new| new.event_types = Some(vec![only.clone()])).await.id;
        let mut events: Vec<EventId> = Vec::new();
        for _ in 0..3 {
            world.clock.advance_ms(5);
            events.push(world.accept(NewEvent { event_type: only.clone(), ..world.event(app) }).await);
        }
        match n {
            // All of its rows are held.
            2 => assert_eq!(world.claim(endpoint, 10).await.deliveries.len(), 3),
            // Its oldest is held.
            4 => {
                assert_eq!(world.claim(endpoint, 1).await.deliveries.len(), 1);
                expected.push((endpoint, events[1].time()));
            }
            _ => expected.push((endpoint, events[0].time())),
        }
    }
    expected.sort();
    for limit in [1, 2, 100] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = world.store().queue.waiting(after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.endpoint.id);
            found.extend(page.iter().map(|one| (one.endpoint.id, one.due)));
            assert!(found.len() <= expected.len(), "an endpoint is named twice");
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
}
