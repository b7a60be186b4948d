//! Promises about who gets an event: filters, and since when a change is in force.

use crate::{Backend, Grants, World};
use hookfast_core::model::{Endpoint, NewEvent, Route};
use hookfast_core::ports::EndpointPatch;
use hookfast_core::{AppId, EndpointId, ErrorKind, EventId};
use std::collections::BTreeSet;
use std::sync::Arc;

async fn routed<B: Backend>(world: &World<B>, app: AppId, event: EventId) -> BTreeSet<EndpointId> {
    let found = world.store().reading.destinations(app, event).await.unwrap();
    found.into_iter().map(|one| one.endpoint.id).collect()
}

async fn disable<B: Backend>(world: &World<B>, endpoint: &Endpoint, disabled: bool) {
    let patch = EndpointPatch { disabled: Some(disabled), ..EndpointPatch::default() };
    world.store().endpoints.update_endpoint(endpoint.app, endpoint.id, patch).await.unwrap();
}

/// Whatever types and channels endpoints and events have: exactly those get it that `routing::wants` names.
pub async fn filters_choose_the_endpoints<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let mut random = fastrand::Rng::with_seed(7);
    let types = ["a", "b", "c"];
    let channels = ["x", "y"];
    let mut some = |names: &[&str]| -> Vec<String> {
        let chosen = names.iter().filter(|_| random.bool()).map(|name| (*name).to_owned());
        chosen.collect()
    };
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for _ in 0..12 {
        let (event_types, on) = (some(&types), some(&channels));
        let endpoint = world.endpoint_with(app, |new| {
            new.event_types = (!event_types.is_empty()).then_some(event_types);
            new.channels = (!on.is_empty()).then_some(on);
        });
        endpoints.push(endpoint.await);
    }
    for event_type in types {
        for _ in 0..4 {
            let on = some(&channels);
            let event = NewEvent { event_type: event_type.to_owned(), channels: on, ..world.event(app) };
            let wanted: BTreeSet<EndpointId> = endpoints
                .iter()
                .filter(|endpoint| hookfast_core::routing::wants(endpoint, event_type, &event.channels))
                .map(|endpoint| endpoint.id)
                .collect();
            let id = world.accept(event).await;
            assert_eq!(routed(&world, app, id).await, wanted);
        }
    }
}

/// An event that comes after a change was answered sees it, every time.
pub async fn a_change_is_in_force_for_the_next_event<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await;
    for n in 0..20 {
        let off = n % 2 == 0;
        disable(&world, &endpoint, off).await;
        let event = world.accept_plain(app).await;
        assert_eq!(routed(&world, app, event).await.is_empty(), off, "change {n}");
        let types = Some(Some(vec![if off { "other" } else { "invoice.paid" }.to_owned()]));
        let patch = EndpointPatch { event_types: types, disabled: Some(false), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, endpoint.id, patch).await.unwrap();
        let event = world.accept_plain(app).await;
        assert_eq!(routed(&world, app, event).await.is_empty(), off, "filter {n}");
        let patch = EndpointPatch { event_types: Some(None), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, endpoint.id, patch).await.unwrap();
    }
}

/// A new endpoint gets the events that come after it, not those before.
pub async fn a_new_endpoint_gets_what_comes_after_it<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let before = world.accept_plain(app).await;
    let mut known = BTreeSet::new();
    for _ in 0..5 {
        known.insert(world.endpoint(app).await.id);
        let event = world.accept_plain(app).await;
        assert_eq!(routed(&world, app, event).await, known);
    }
    assert!(routed(&world, app, before).await.is_empty());
    let other = world.app().await.id;
    let event = world.accept_plain(other).await;
    assert!(routed(&world, other, event).await.is_empty(), "endpoints of another application");
}

/// What waited stays and can be claimed when it is enabled; what came in between was not routed.
pub async fn a_disabled_endpoint_keeps_what_waits_and_gets_nothing_new<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await;
    let before = world.accept_plain(app).await;
    disable(&world, &endpoint, true).await;
    world.accept_plain(app).await;
    world.dispatch.record().changed.clear();
    disable(&world, &endpoint, false).await;
    let changed = world.dispatch.until("the change to be told", |record| record.changed.last().cloned()).await;
    assert!(changed.id == endpoint.id && changed.disabled.is_none());
    assert_eq!(world.claim_one(endpoint.id).await.key.event, before);
}

/// A route to an endpoint goes there and nowhere else; one that is unknown or another's is `NotFound`.
pub async fn a_route_to_one_endpoint_ignores_filters<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    world.endpoint(app).await;
    let only = world.endpoint_with(app, |new| new.event_types = Some(vec!["other".to_owned()])).await.id;
    let foreign = world.endpoint(other).await.id;
    let to = |endpoint| NewEvent { route: Route::Endpoint(endpoint), ..world.event(app) };
    let event = world.accept(to(only)).await;
    assert_eq!(routed(&world, app, event).await, BTreeSet::from([only]));
    for endpoint in [foreign, EndpointId::from_u128(1)] {
        let refused = world.try_accept(to(endpoint)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}
