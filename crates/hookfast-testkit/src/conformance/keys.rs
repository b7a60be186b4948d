//! Promises about caller keys: a repeat has no second effect, and a key stands for one body.

use crate::world::new_application;
use crate::world::new_endpoint;
use crate::{Backend, Grants, World};
use hookfast_core::model::{CallerKey, EventType, NewEvent, SecretText};
use hookfast_core::ports::{NewApplication, OnExisting};
use hookfast_core::{AppId, ErrorKind, EventId, OrgId};
use std::collections::HashSet;
use std::sync::Arc;

const KEY: [u8; 16] = [9; 16];

fn keyed<B: Backend>(world: &World<B>, app: AppId) -> NewEvent {
    NewEvent { idempotency: Some(KEY), ..world.event(app) }
}

fn with_uid<B: Backend>(world: &World<B>, app: AppId) -> NewEvent {
    NewEvent { uid: Some("order-1".to_owned()), ..world.event(app) }
}

/// The answer is the first one's, and nothing more is delivered.
pub async fn the_same_key_and_body_is_one_event<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let first = world.try_accept(keyed(&world, app)).await.unwrap();
    assert!(!first.repeat);
    for _ in 0..3 {
        world.clock.advance_ms(1_000);
        let again = world.try_accept(keyed(&world, app)).await.unwrap();
        assert!(again.repeat && again.id == first.id);
    }
    assert_eq!(world.claim(endpoint, 10).await.deliveries.len(), 1);
}

/// Another body under the same key is refused and stored nowhere; another key is another event.
pub async fn the_same_key_with_another_body_is_a_conflict<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    for event in [keyed(&world, app), with_uid(&world, app)] {
        world.accept(event.clone()).await;
        let other = NewEvent { id: EventId::from_u128(world.ids.next(world.now())), body_hash: [2; 16], ..event };
        let id = other.id.to_string();
        assert_eq!(world.try_accept(other).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(world.store().reading.event(app, &id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    world.accept(NewEvent { idempotency: Some([8; 16]), ..world.event(app) }).await;
    assert_eq!(world.claim(endpoint, 10).await.deliveries.len(), 3);
}

/// However they race: one is stored, the others are repeats of it.
pub async fn a_hundred_at_once_with_one_key_are_one_event<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    world.endpoint(app).await;
    for make in [keyed::<B>, with_uid::<B>] {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (accept, event) = (Arc::clone(&world.store().accept), make(&world, app));
            tasks.spawn(async move { accept.accept(vec![event]).await.remove(0).unwrap() });
        }
        let answers = tasks.join_all().await;
        assert_eq!(answers.iter().map(|answer| answer.id).collect::<HashSet<_>>().len(), 1);
        assert_eq!(answers.iter().filter(|answer| !answer.repeat).count(), 1);
        assert_eq!(world.dispatch.take_handed(1).await.len(), 1);
    }
    assert_eq!(world.dispatch.record().slots_open(), 0);
}

/// A repeat after a restart is still a repeat, another body still a conflict.
pub async fn keys_survive_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let by_key = world.accept(keyed(&world, app)).await;
    let by_uid = world.accept(with_uid(&world, app)).await;
    world.restart().await;
    for (event, first) in [(keyed(&world, app), by_key), (with_uid(&world, app), by_uid)] {
        let again = world.try_accept(event.clone()).await.unwrap();
        assert!(again.repeat && again.id == first);
        let other = NewEvent { body_hash: [2; 16], ..event };
        assert_eq!(world.try_accept(other).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

/// A uid belongs to its application: the same one elsewhere is another event.
pub async fn the_same_uid_is_one_event_of_its_application<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let first = world.try_accept(with_uid(&world, app)).await.unwrap();
    let again = world.try_accept(with_uid(&world, app)).await.unwrap();
    let elsewhere = world.try_accept(with_uid(&world, other)).await.unwrap();
    assert!(!first.repeat && again.repeat && !elsewhere.repeat);
    assert_eq!(again.id, first.id);
    assert_ne!(elsewhere.id, first.id);
    assert_eq!(world.store().reading.event(other, "order-1").await.unwrap().id, elsewhere.id);
}

/// Repeats that share a batch are repeats.
pub async fn repeats_in_one_batch_are_one_event<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    world.endpoint(app).await;
    let other_body = NewEvent { body_hash: [2; 16], ..keyed(&world, app) };
    let batch = vec![keyed(&world, app), keyed(&world, app), other_body, with_uid(&world, app), with_uid(&world, app)];
    let results = world.store().accept.accept(batch).await;
    let seen: Vec<Result<bool, ErrorKind>> = results
        .iter()
        .map(|result| result.as_ref().map(|answer| answer.repeat).map_err(hookfast_core::Error::kind))
        .collect();
    assert_eq!(seen, [Ok(false), Ok(true), Err(ErrorKind::Conflict), Ok(false), Ok(true)]);
    assert_eq!(world.dispatch.take_handed(2).await.len(), 2);
    assert_eq!(world.dispatch.record().slots_open(), 0);
}

/// Applications, endpoints, event types and secrets: the same key and body makes one thing, another body a conflict.
pub async fn a_repeated_creation_answers_with_the_first<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let key = |n: u8| Some(CallerKey { key_hash: [n; 16], body_hash: [1; 16] });
    let other_body = |n: u8| Some(CallerKey { key_hash: [n; 16], body_hash: [2; 16] });

    let make_app = || NewApplication { uid: Some("acme".to_owned()), ..new_application() };
    let store = world.store();
    let app = store.applications.create_application(make_app(), OnExisting::Refuse, key(1)).await.unwrap();
    let again = store.applications.create_application(make_app(), OnExisting::Refuse, key(1)).await.unwrap();
    assert_eq!(again.value.id, app.value.id);
    assert!(app.is_new && again.is_new, "a repeat answers as the first call did");
    let refused = store.applications.create_application(make_app(), OnExisting::Refuse, other_body(1)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    let app = app.value.id;

    let endpoint = store.endpoints.create_endpoint(new_endpoint(app), key(2)).await.unwrap().value;
    world.restart().await;
    let store = world.store();
    let again = store.endpoints.create_endpoint(new_endpoint(app), key(2)).await.unwrap().value;
    assert_eq!(again.id, endpoint.id);
    let refused = store.endpoints.create_endpoint(new_endpoint(app), other_body(2)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);

    let now = world.now();
    let make_type = || EventType {
        org: OrgId::default_org(),
        name: "a".to_owned(),
        description: String::new(),
        archived: false,
        deprecated: false,
        feature_flags: Vec::new(),
        group_name: None,
        schemas: None,
        created_at: now,
        updated_at: now,
    };
    store.event_types.create_event_type(make_type(), key(3)).await.unwrap();
    assert_eq!(store.event_types.create_event_type(make_type(), key(3)).await.unwrap().value.name, "a");

    let rotate = |key| store.endpoints.rotate_secret(app, endpoint.id, SecretText::new("whsec_bmV3"), 60_000, key);
    rotate(key(4)).await.unwrap();
    let again = rotate(key(4)).await.unwrap();
    assert_eq!(again.secrets.old.len(), 1, "a repeat rotates nothing");
}
