//! Promises about deleting: names are free at once, and whatever waited ends as cancelled.

use crate::world::new_application;
use crate::{Backend, Grants, World};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::{Duty, NewApplication, OnExisting};
use hookfast_core::{ErrorKind, OrgId};

/// Its uid is free, the engine is told, nothing new is routed to it, and its rows end.
pub async fn a_deleted_endpoint_is_gone_and_what_waited_ends_cancelled<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let make = || world.endpoint_with(app, |new| new.uid = Some("hook".to_owned()));
    let endpoint = make().await.id;
    let kept = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let endpoints = &world.store().endpoints;
    endpoints.delete_endpoint(app, endpoint).await.unwrap();
    world.dispatch.until("the removal to be told", |record| record.removed.contains(&endpoint).then_some(())).await;
    for reference in ["hook", &endpoint.to_string()] {
        assert_eq!(endpoints.endpoint(app, reference).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(endpoints.delete_endpoint(app, endpoint).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.run(Duty::Cancel).await;
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
    let ended = world.destination(app, event, endpoint).await;
    assert_eq!((ended.state, ended.cause), (DeliveryState::Cancelled, Some(Cause::EndpointDeleted)));
    assert_eq!(world.claim(kept, 10).await.deliveries.len(), 1, "others keep theirs");
    let next = world.accept_plain(app).await;
    assert_eq!(world.store().reading.destinations(app, next).await.unwrap().len(), 1);
    assert_ne!(make().await.id, endpoint);
}

/// Everything of it is gone for its callers; no row of it can be claimed; its uid is free.
pub async fn a_deleted_application_is_gone_with_all_that_waited<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let org = OrgId::default_org();
    let new = || NewApplication { uid: Some("acme".to_owned()), ..new_application() };
    let create = |world: &World<B>| world.store().applications.clone();
    let app = create(&world).create_application(new(), OnExisting::Refuse, None).await.unwrap().value.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    create(&world).delete_application(app).await.unwrap();
    world.dispatch.until("the removal to be told", |record| record.removed.contains(&endpoint).then_some(())).await;
    for _ in 0..2 {
        let store = world.store();
        for reference in ["acme", &app.to_string()] {
            assert!(store.applications.application_cached(&org, reference).is_none());
            let refused = store.applications.application(&org, reference).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NotFound);
        }
        assert_eq!(world.try_accept(world.event(app)).await.unwrap_err().kind(), ErrorKind::NotFound);
        let found = store.endpoints.endpoint(app, &endpoint.to_string()).await;
        assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
        world.run(Duty::Cancel).await;
        assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
        assert_eq!(world.store().reading.totals().await.unwrap().queue_rows, 0);
        world.restart().await;
    }
    let again = create(&world).create_application(new(), OnExisting::Refuse, None).await.unwrap();
    assert!(again.is_new && again.value.id != app);
}

/// A try was under way when its endpoint was deleted: its attempt is kept, it is not tried again, no row is left.
pub async fn a_try_that_ends_after_its_endpoint_is_deleted_leaves_nothing_behind<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let (first, second) = (world.accept_plain(app).await, world.accept_plain(app).await);
    let handed = world.dispatch.take_handed(2).await;
    world.store().endpoints.delete_endpoint(app, endpoint).await.unwrap();
    world.settle(vec![world.retried(&handed[0], 1_000), world.delivered(&handed[1])]).await;
    world.run(Duty::Cancel).await;
    world.clock.advance_ms(5_000);
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
    assert_eq!(world.state(app, first, endpoint).await, DeliveryState::Cancelled);
    assert_eq!(world.attempts(app, first).await.len(), 1);
    assert_eq!(world.state(app, second, endpoint).await, DeliveryState::Delivered);
    assert_eq!(world.store().reading.totals().await.unwrap().queue_rows, 0);
}
