//! Promises of endpoints that keep order: of the events of one key, each is given once the one before it has ended.

use crate::world::new_application;
use crate::{Backend, Grants, World};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::limits::ROUTED_INLINE_MAX;
use hookfast_core::model::{NewEvent, OnDead, Ordering, Route};
use hookfast_core::ports::{Delivery, Duty, EndpointPatch, NewApplication, OnExisting, Outcome};
use hookfast_core::{AppId, EndpointId, EventId};

/// An endpoint that keeps order by the events' own keys.
async fn ordered<B: Backend>(world: &World<B>, app: AppId, on_dead: OnDead) -> EndpointId {
    world.endpoint_with(app, |new| new.ordering = Some(Ordering { pointer: None, on_dead })).await.id
}

async fn accept<B: Backend>(world: &World<B>, app: AppId, key: &str) -> EventId {
    world.accept(NewEvent { ordering_key: Some(key.to_owned()), ..world.event(app) }).await
}

/// What is given now, however much is asked for.
async fn given<B: Backend>(world: &World<B>, endpoint: EndpointId) -> Vec<EventId> {
    events(&world.claim(endpoint, 1_000).await.deliveries)
}

fn events(deliveries: &[Delivery]) -> Vec<EventId> {
    deliveries.iter().map(|delivery| delivery.key.event).collect()
}

/// Delivers one after the other until nothing is due; answers their order.
async fn deliver_all<B: Backend>(world: &World<B>, endpoint: EndpointId) -> Vec<EventId> {
    let mut order = Vec::new();
    loop {
        let claim = world.claim(endpoint, 1_000).await;
        if claim.deliveries.is_empty() {
            assert_eq!(claim.next_due, None, "what is parked is no reason to come again");
            return order;
        }
        order.extend(events(&claim.deliveries));
        world.settle(claim.deliveries.iter().map(|delivery| world.delivered(delivery)).collect()).await;
    }
}

/// The first of each key, whatever is asked for; the others show no next try, and are no reason to come again.
pub async fn only_the_first_of_each_key_is_given<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut firsts = Vec::new();
    for key in ["a", "b", "c"] {
        world.clock.advance_ms(5);
        firsts.push(accept(&world, app, key).await);
        for _ in 0..2 {
            let later = accept(&world, app, key).await;
            let shown = world.destination(app, later, endpoint).await;
            assert_eq!((shown.state, shown.next_due, shown.tries), (DeliveryState::Pending, None, 0));
        }
    }
    let waiting = world.store().queue.waiting(None, 10).await.unwrap();
    assert_eq!(
        waiting.iter().map(|one| (one.endpoint.id, one.due)).collect::<Vec<_>>(),
        [(endpoint, firsts[0].time())]
    );
    assert_eq!(world.destination(app, firsts[1], endpoint).await.next_due, Some(firsts[1].time()));
    let claim = world.claim(endpoint, 1_000).await;
    assert_eq!((events(&claim.deliveries), claim.next_due), (firsts, None));
    world.clock.advance_days(1);
    let claim = world.claim(endpoint, 1_000).await;
    assert!(claim.deliveries.is_empty() && claim.next_due.is_none());
    assert!(world.store().queue.waiting(None, 10).await.unwrap().is_empty());
}

/// In the commit that ends one, and the engine is told.
pub async fn the_next_is_due_when_the_one_before_it_has_ended<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(accept(&world, app, "k").await);
        world.clock.advance_ms(10);
    }
    for event in &sent {
        let delivery = world.claim_one(endpoint).await;
        assert_eq!(delivery.key.event, *event);
        world.clock.advance_ms(10);
        world.dispatch.record().queued.clear();
        world.settle(vec![world.delivered(&delivery)]).await;
        if event != sent.last().unwrap() {
            let told = (endpoint, world.now());
            world.dispatch.until("the next to be told", |record| record.queued.contains(&told).then_some(())).await;
        }
    }
    assert!(given(&world, endpoint).await.is_empty());
    // The key is free again.
    let last = accept(&world, app, "k").await;
    assert_eq!(given(&world, endpoint).await, [last]);
}

/// One that is tried again, or was given back, stays the first.
pub async fn retries_keep_their_place<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Skip).await;
    let sent = [accept(&world, app, "k").await, accept(&world, app, "k").await];
    for tries in 0..3 {
        let delivery = world.claim_one(endpoint).await;
        assert_eq!((delivery.key.event, delivery.tries), (sent[0], tries));
        world.settle(vec![world.retried(&delivery, 60_000)]).await;
        world.clock.advance_ms(59_999);
        assert!(given(&world, endpoint).await.is_empty(), "neither the first before its time nor the second");
        world.clock.advance_ms(1);
        let delivery = world.claim_one(endpoint).await;
        world.settle(vec![world.untried(&delivery, Outcome::Wait { due: world.now() })]).await;
    }
    assert_eq!(deliver_all(&world, endpoint).await, sent);
}

/// Where dead ones are skipped, the next goes on.
pub async fn a_dead_one_is_skipped_where_that_is_wanted<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Skip).await;
    let sent = [accept(&world, app, "k").await, accept(&world, app, "k").await];
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.dead(&delivery)]).await;
    assert_eq!(deliver_all(&world, endpoint).await, sent[1..]);
    // A replay of what was skipped goes at once, beside its key.
    accept(&world, app, "k").await;
    assert_eq!(given(&world, endpoint).await.len(), 1);
    world.store().replays.resend(app, sent[0], endpoint, None).await.unwrap();
    assert_eq!(given(&world, endpoint).await, [sent[0]]);
}

/// Where they block, nothing of their key goes on, new ones and restarts included, until one was replayed with success.
pub async fn a_dead_one_holds_up_its_key_until_it_was_replayed<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut sent = vec![accept(&world, app, "k").await, accept(&world, app, "k").await];
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.dead(&delivery)]).await;
    sent.push(accept(&world, app, "k").await);
    assert!(given(&world, endpoint).await.is_empty());
    let free = accept(&world, app, "free").await;
    assert_eq!(deliver_all(&world, endpoint).await, [free], "other keys go on");
    for run in 1..=2 {
        world.restart().await;
        sent.push(accept(&world, app, "k").await);
        assert!(given(&world, endpoint).await.is_empty());
        world.store().replays.resend(app, sent[0], endpoint, None).await.unwrap();
        let delivery = world.claim_one(endpoint).await;
        assert_eq!((delivery.key.event, delivery.key.run), (sent[0], run));
        assert!(given(&world, endpoint).await.is_empty(), "the replay is the first of its key");
        world.settle(vec![if run == 1 { world.dead(&delivery) } else { world.delivered(&delivery) }]).await;
    }
    assert_eq!(deliver_all(&world, endpoint).await, sent[1..]);
}

/// A recover of an endpoint replays what holds up its keys.
pub async fn a_recover_frees_the_keys_that_dead_ones_hold_up<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let since = world.now();
    let mut sent = Vec::new();
    for key in ["a", "b"] {
        sent.push([accept(&world, app, key).await, accept(&world, app, key).await]);
    }
    let dead = world.claim(endpoint, 10).await.deliveries;
    world.settle(dead.iter().map(|delivery| world.dead(delivery)).collect()).await;
    assert!(given(&world, endpoint).await.is_empty());
    world.clock.advance_ms(1_000);
    world.store().replays.recover(app, endpoint, since, world.now(), None).await.unwrap();
    world.run(Duty::Tasks).await;
    let order = deliver_all(&world, endpoint).await;
    assert_eq!(order.len(), 4);
    for [first, second] in sent {
        let place = |event| order.iter().position(|one| *one == event).unwrap();
        assert!(place(first) < place(second));
    }
}

/// What waits, and what comes in the next life.
pub async fn order_survives_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut sent = Vec::new();
    for life in 0..3 {
        for _ in 0..3 {
            sent.push(accept(&world, app, "k").await);
        }
        let delivery = world.claim_one(endpoint).await;
        assert_eq!(delivery.key.event, sent[life], "what was held is the first again");
        world.restart().await;
        let delivery = world.claim_one(endpoint).await;
        assert_eq!(delivery.key.event, sent[life]);
        world.settle(vec![world.delivered(&delivery)]).await;
    }
    assert_eq!(deliver_all(&world, endpoint).await, sent[3..]);
}

/// Only pairs with a key wait for one another, and only these are kept from memory.
pub async fn other_keys_and_events_without_a_key_are_not_held_up<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let (endpoint, other) = (ordered(&world, app, OnDead::Block).await, world.endpoint(app).await.id);
    let first = accept(&world, app, "a").await;
    accept(&world, app, "a").await;
    assert_eq!(given(&world, endpoint).await, [first]);
    let beside = accept(&world, app, "b").await;
    assert_eq!(given(&world, endpoint).await, [beside]);
    let free = world.accept_plain(app).await;
    let handed = world.dispatch.take_handed(5).await;
    let to = |id| handed.iter().filter(|one| one.key.endpoint == id).map(|one| one.key.event).collect::<Vec<_>>();
    assert_eq!((to(endpoint), to(other).len()), (vec![free], 4));
    assert_eq!(world.dispatch.record().slots_open(), 0, "a pair that keeps order asks for no slot");
}

/// With a pointer: strings and numbers there are keys; what has none goes at once.
pub async fn the_key_is_found_in_the_payload<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let ordering = Ordering { pointer: Some("/data/id".to_owned()), on_dead: OnDead::Block };
    let endpoint = world.endpoint_with(app, |new| new.ordering = Some(ordering)).await.id;
    let send = async |body: &'static str| {
        let event = NewEvent { body: body.into(), ordering_key: Some("same".to_owned()), ..world.event(app) };
        world.accept(event).await
    };
    let mut firsts = Vec::new();
    for (body, again) in [
        (r#"{"data":{"id":"x"}}"#, Some(r#"{"n":1,"data":{"more":[1],"id":"\u0078"}}"#)),
        (r#"{"data":{"id":7}}"#, Some(r#"{ "data": { "id": 7 } }"#)),
        (r#"{"data":{"id":null}}"#, None),
        (r#"{"data":[]}"#, None),
        ("not json", None),
    ] {
        firsts.push(send(body).await);
        let second = send(again.unwrap_or(body)).await;
        if again.is_none() {
            firsts.push(second);
        }
    }
    let mut now = given(&world, endpoint).await;
    now.sort();
    assert_eq!(now, firsts);
}

/// A key with thousands of rows answers as one with two.
pub async fn very_many_rows_behind_one_key_are_no_burden<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut sent = Vec::new();
    for _ in 0..10 {
        let event = || NewEvent { ordering_key: Some("k".to_owned()), ..world.event(app) };
        let batch: Vec<NewEvent> = (0..500).map(|_| event()).collect();
        sent.extend(batch.iter().map(|event| event.id));
        assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    }
    for event in &sent[..100] {
        let claim = world.claim(endpoint, 1_000).await;
        assert_eq!((events(&claim.deliveries), claim.next_due), (vec![*event], None));
        world.settle(vec![world.delivered(&claim.deliveries[0])]).await;
    }
}

/// From blocking to skipping, or to no order: what was held up goes on, and what is queued keeps its place.
pub async fn a_change_of_order_frees_what_dead_ones_held_up<B: Backend>() {
    for change in [Some(Ordering { pointer: None, on_dead: OnDead::Skip }), None] {
        let world = World::<B>::new(Grants::None).await;
        let app = world.app().await.id;
        let endpoint = ordered(&world, app, OnDead::Block).await;
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.push(accept(&world, app, "k").await);
        }
        let delivery = world.claim_one(endpoint).await;
        world.settle(vec![world.dead(&delivery)]).await;
        world.dispatch.record().queued.clear();
        let patch = EndpointPatch { ordering: Some(change), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, endpoint, patch).await.unwrap();
        let told = (endpoint, world.now());
        world.dispatch.until("the next to be told", |record| record.queued.contains(&told).then_some(())).await;
        let delivery = world.claim_one(endpoint).await;
        assert_eq!(delivery.key.event, sent[1]);
        world.settle(vec![world.dead(&delivery)]).await;
        assert_eq!(deliver_all(&world, endpoint).await, sent[2..]);
    }
}

/// An event that goes with its time can be replayed by nobody, so it holds up nothing any more.
pub async fn what_is_too_old_holds_up_nothing<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let new = NewApplication { retention_days: Some(7), ..new_application() };
    let app = world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap().value.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    for key in ["dead", "waiting"] {
        accept(&world, app, key).await;
    }
    let dead = world.claim(endpoint, 1).await.deliveries;
    world.settle(vec![world.dead(&dead[0])]).await;
    world.clock.advance_days(5);
    let mut young = Vec::new();
    for key in ["dead", "waiting"] {
        young.push(accept(&world, app, key).await);
    }
    world.clock.advance_days(3);
    world.run(Duty::Retention).await;
    assert_eq!(deliver_all(&world, endpoint).await, young);
}

/// All of it, the parked ones too; nothing is left of its keys.
pub async fn a_deleted_endpoint_ends_what_waited_in_order<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    let mut sent = Vec::new();
    for key in ["a", "a", "a", "b", "b"] {
        sent.push(accept(&world, app, key).await);
    }
    let delivery = world.claim(endpoint, 1).await.deliveries.remove(0);
    world.settle(vec![world.dead(&delivery)]).await;
    world.store().endpoints.delete_endpoint(app, endpoint).await.unwrap();
    world.run(Duty::Cancel).await;
    for event in sent.iter().filter(|event| **event != delivery.key.event) {
        assert_eq!(world.state(app, *event, endpoint).await, DeliveryState::Cancelled);
    }
    assert!(given(&world, endpoint).await.is_empty());
}

/// Its place is that of its acceptance, however long its other endpoints take; and it comes once.
pub async fn an_event_with_very_many_endpoints_keeps_its_place<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = ordered(&world, app, OnDead::Block).await;
    for _ in 0..ROUTED_INLINE_MAX {
        world.endpoint(app).await;
    }
    let wide = accept(&world, app, "k").await;
    let to_one = NewEvent { route: Route::Endpoint(endpoint), ordering_key: Some("k".to_owned()), ..world.event(app) };
    let narrow = world.accept(to_one).await;
    assert_eq!(given(&world, endpoint).await, [wide]);
    let mut world = world;
    world.restart().await;
    assert_eq!(deliver_all(&world, endpoint).await, [wide, narrow]);
    world.run(Duty::FanOut).await;
    assert!(given(&world, endpoint).await.is_empty());
}
