//! Promises of `Accept`: what is answered is durable, in order, and either handed over or in the queue.

use crate::{Backend, Grants, World};
use bytes::Bytes;
use hookfast_core::delivery::DeliveryState;
use hookfast_core::limits::ROUTED_INLINE_MAX;
use hookfast_core::model::{Name, NewEvent, Origin, Trigger};
use hookfast_core::ports::{Duty, Hold};
use hookfast_core::{AppId, EndpointId, EventId};
use std::collections::HashSet;
use std::sync::Arc;

/// Body, type, channels, uid and content type come back as they came, whatever bytes they are.
pub async fn accepted_events_survive_a_restart_byte_for_byte<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let bodies: [Bytes; 4] = [
        Bytes::from_static(b"{ \"spaced\" :  1 }\n"),
        Bytes::from_static(&[0, 255, 254, 13, 10, 0]),
        Bytes::new(),
        Bytes::from(vec![b'x'; hookfast_core::limits::BODY_BYTES_MAX]),
    ];
    let mut accepted = Vec::new();
    for (n, body) in bodies.into_iter().enumerate() {
        let event = NewEvent {
            body,
            uid: Some(format!("uid-{n}")),
            channels: vec!["eu".to_owned(), "vip".to_owned()],
            content_type: (n % 2 == 0).then(|| "text/plain".to_owned()),
            ..world.event(app)
        };
        let answer = world.try_accept(event.clone()).await.unwrap();
        assert!(answer.id == event.id && !answer.repeat);
        accepted.push(event);
    }
    world.restart().await;
    for sent in accepted {
        let kept = world.store().reading.event(app, &sent.id.to_string()).await.unwrap();
        assert_eq!(kept.id, sent.id);
        assert_eq!(kept.app, app);
        assert_eq!(kept.event_type, sent.event_type);
        assert_eq!(kept.uid, sent.uid);
        assert_eq!(kept.channels, sent.channels);
        assert_eq!(kept.content_type, sent.content_type);
        assert_eq!(kept.body, Some(sent.body));
    }
}

/// Where an event came in and by whom is kept with it, also that nobody said; a repeat changes nothing of it.
pub async fn the_origin_of_an_event_is_kept_and_stays_that_of_the_first<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let longest = || Name::new(&"ü".repeat(100));
    let origins = [
        None,
        Some(Origin::of("emitter:demo")),
        Some(Origin { source: Name::new("api"), by: Some(Name::new("tok_1 (ci)")) }),
        Some(Origin { source: longest(), by: Some(longest()) }),
    ];
    let event = |n: usize, origin: &Option<Origin>| NewEvent {
        uid: Some(format!("uid-{n}")),
        origin: origin.clone(),
        ..world.event(app)
    };
    let events = origins.iter().enumerate().map(|(n, origin)| event(n, origin)).collect();
    assert!(world.store().accept.accept(events).await.iter().all(Result::is_ok));
    for n in 0..origins.len() {
        let repeat = world.try_accept(event(n, &Some(Origin::of("kafka:orders")))).await.unwrap();
        assert!(repeat.repeat);
    }
    world.restart().await;
    for (n, origin) in origins.iter().enumerate() {
        let kept = world.store().reading.event(app, &format!("uid-{n}")).await.unwrap();
        assert_eq!(kept.origin, *origin);
    }
}

/// A granted slot: the delivery goes out from memory, whole, and no row stands for it.
pub async fn a_delivery_with_a_slot_is_handed_over<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await;
    let event = NewEvent { content_type: Some("text/plain".to_owned()), ..world.event(app) };
    world.accept(event.clone()).await;
    let handed = world.dispatch.take_handed(1).await;
    assert_eq!(handed.len(), 1);
    let delivery = &handed[0];
    assert_eq!((delivery.key.event, delivery.key.endpoint, delivery.key.run), (event.id, endpoint.id, 0));
    assert!(matches!(delivery.hold, Hold::Memory { .. }));
    assert_eq!((delivery.tries, delivery.crashes, delivery.trigger), (0, 0, Trigger::Scheduled));
    assert_eq!(delivery.event.id, event.id);
    assert_eq!(delivery.event.event_type, event.event_type);
    assert_eq!(delivery.event.content_type, event.content_type);
    assert_eq!(delivery.event.body, Some(event.body));
    assert!(world.claim(endpoint.id, 10).await.deliveries.is_empty());
    assert!(world.store().queue.waiting(None, 10).await.unwrap().is_empty());
    assert_eq!(world.state(app, event.id, endpoint.id).await, DeliveryState::Pending);
}

/// No slot: the delivery is a queue row at once, and the engine is told.
pub async fn a_delivery_without_a_slot_is_a_row_that_can_be_claimed<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let told = world.dispatch.until("the queue to be announced", |record| record.queued.first().copied()).await;
    assert!(told.0 == endpoint && told.1 <= world.now());
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Pending);
    let delivery = world.claim_one(endpoint).await;
    assert_eq!((delivery.key.event, delivery.key.run, delivery.tries), (event, 0, 0));
    assert!(matches!(delivery.hold, Hold::Queue { .. }));
    assert!(world.dispatch.record().handed.is_empty());
}

/// Of every two wishes one is refused: each delivery is either handed over or claimable, and every slot is used.
pub async fn no_slot_is_lost_when_some_are_refused<B: Backend>() {
    let world = World::<B>::new(Grants::EverySecond).await;
    let app = world.app().await.id;
    let endpoints = [world.endpoint(app).await.id, world.endpoint(app).await.id, world.endpoint(app).await.id];
    let mut batch: Vec<NewEvent> = (0..21).map(|_| world.event(app)).collect();
    // These take no slot that they keep: an unknown application, and a repeated key.
    batch.push(world.event(AppId::from_u128(7)));
    batch.push(NewEvent { uid: Some("one".to_owned()), ..world.event(app) });
    batch.push(NewEvent { uid: Some("one".to_owned()), ..world.event(app) });
    let results = world.store().accept.accept(batch).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 23);
    let pairs = 22 * endpoints.len();
    let handed = world.dispatch.take_handed(pairs / 2).await;
    let mut seen: HashSet<(EventId, EndpointId)> =
        handed.iter().map(|delivery| (delivery.key.event, delivery.key.endpoint)).collect();
    for claim in world.claim_all(&endpoints, 100).await {
        for delivery in claim.deliveries {
            assert!(seen.insert((delivery.key.event, delivery.key.endpoint)), "handed over and queued");
        }
    }
    assert_eq!(seen.len(), pairs);
    assert_eq!(world.dispatch.record().slots_open(), 0);
}

/// Each event for itself, in the order given.
pub async fn results_come_in_order_and_one_bad_event_spoils_no_other<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let batch: Vec<NewEvent> =
        (0..9).map(|n| if n % 3 == 1 { world.event(AppId::from_u128(n)) } else { world.event(app) }).collect();
    let ids: Vec<EventId> = batch.iter().map(|event| event.id).collect();
    let results = world.store().accept.accept(batch).await;
    assert_eq!(results.len(), ids.len());
    for (n, (result, id)) in results.into_iter().zip(ids).enumerate() {
        if n % 3 == 1 {
            assert_eq!(result.unwrap_err().kind(), hookfast_core::ErrorKind::NotFound);
        } else {
            assert_eq!(result.unwrap().id, id);
            world.store().reading.event(app, &id.to_string()).await.unwrap();
        }
    }
}

/// An event without endpoints is kept and has no destinations.
pub async fn an_event_that_nobody_wants_is_kept<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let event = world.accept_plain(app).await;
    assert!(world.store().reading.destinations(app, event).await.unwrap().is_empty());
    assert_eq!(world.store().reading.event(app, &event.to_string()).await.unwrap().id, event);
    assert_eq!(world.dispatch.record().slots_open(), 0);
}

/// Above `ROUTED_INLINE_MAX` endpoints the queue rows are made in steps, also over a restart in the middle; every pair
/// is `pending` from the start and is claimed once.
pub async fn an_event_with_very_many_endpoints_reaches_each_once<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let many = ROUTED_INLINE_MAX + 50;
    let mut endpoints = Vec::with_capacity(many);
    for _ in 0..many {
        endpoints.push(world.endpoint(app).await.id);
    }
    let event = world.accept_plain(app).await;
    let destinations = world.store().reading.destinations(app, event).await.unwrap();
    assert_eq!(destinations.len(), many);
    assert!(destinations.iter().all(|one| one.state == DeliveryState::Pending));
    world.store().maintenance.step(Duty::FanOut).await.unwrap();
    world.restart().await;
    world.run(Duty::FanOut).await;
    let claims = world.claim_all(&endpoints, 10).await;
    let claimed: usize = claims.iter().map(|claim| claim.deliveries.len()).sum();
    assert_eq!(claimed, many);
    assert!(claims.iter().all(|claim| claim.deliveries.len() <= 1));
    assert!(world.dispatch.record().handed.is_empty());
}

/// Events of many tasks share commits and none is lost.
pub async fn accepting_at_once_from_many_tasks_keeps_every_event<B: Backend>() {
    let world = World::<B>::new(Grants::EverySecond).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let accept = Arc::clone(&world.store().accept);
        let events: Vec<NewEvent> = (0..25).map(|_| world.event(app)).collect();
        tasks.spawn(async move {
            let mut kept = Vec::new();
            for event in events {
                kept.push(accept.accept(vec![event]).await.remove(0).unwrap().id);
            }
            kept
        });
    }
    let mut accepted: Vec<EventId> = tasks.join_all().await.into_iter().flatten().collect();
    let handed = world.dispatch.take_handed(200).await;
    let rows = world.claim(endpoint, 1_000).await.deliveries;
    let mut placed: Vec<EventId> = handed.iter().chain(&rows).map(|delivery| delivery.key.event).collect();
    accepted.sort();
    placed.sort();
    assert_eq!(accepted.len(), 400);
    assert_eq!(placed, accepted);
}
