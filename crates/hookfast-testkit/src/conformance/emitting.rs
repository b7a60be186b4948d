//! Promises of `Emitters` and `Exclusive`: what runs is kept, counted and ended, and work has one owner.

use crate::{Backend, Grants, World};
use hookfast_core::ports::{EmitterProgress, EndpointPatch, NewEmitter, RunningEmitter};
use hookfast_core::{AppId, EndpointId, ErrorKind};

fn spec(app: AppId, endpoint: EndpointId) -> NewEmitter {
    let event_types = vec!["CREATED".to_owned(), "PAID".to_owned()];
    NewEmitter { app, endpoint, interval_ns: 5_000_000_000, count: None, event_types }
}

async fn list<B: Backend>(world: &World<B>) -> Vec<RunningEmitter> {
    world.store().emitters.emitters().await.unwrap()
}

async fn start<B: Backend>(world: &World<B>, new: NewEmitter) -> RunningEmitter {
    let started = world.store().emitters.start_emitter(new).await.unwrap();
    assert!(started.is_new);
    started.value
}

/// Whole, after a restart too; started again it stays as it is.
pub async fn a_started_emitter_is_kept_until_it_is_stopped<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let began = start(&world, spec(app, endpoint)).await;
    let expected = RunningEmitter {
        spec: spec(app, endpoint),
        progress: EmitterProgress::default(),
        started_at: world.now(),
        is_paused: false,
    };
    assert_eq!(began, expected);
    world.clock.advance_ms(1_000);
    let again = NewEmitter { interval_ns: 1_000_000, count: Some(1), ..spec(app, endpoint) };
    let again = world.store().emitters.start_emitter(again).await.unwrap();
    assert_eq!((again.value, again.is_new), (began.clone(), false));
    for _ in 0..2 {
        assert_eq!(list(&world).await, std::slice::from_ref(&began));
        world.restart().await;
    }
    let emitters = &world.store().emitters;
    assert_eq!(emitters.stop_emitter(app, endpoint).await.unwrap(), Some(began));
    assert_eq!(emitters.stop_emitter(app, endpoint).await.unwrap(), None);
    assert_eq!(list(&world).await, []);
}

/// The list is in the order they were started in.
pub async fn emitters_are_listed_by_when_they_were_started<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let mut endpoints = Vec::new();
    for _ in 0..4 {
        endpoints.push(world.endpoint(app).await.id);
    }
    endpoints.reverse();
    for endpoint in &endpoints {
        start(&world, spec(app, *endpoint)).await;
        world.clock.advance_ms(1);
    }
    assert_eq!(list(&world).await.iter().map(|one| one.spec.endpoint).collect::<Vec<_>>(), endpoints);
}

/// Numbers only grow, news of an earlier run changes nothing, and the last event ends it.
pub async fn progress_only_grows_and_ends_at_the_count<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let (some, endless) = (world.endpoint(app).await.id, world.endpoint(app).await.id);
    let earlier = start(&world, spec(app, some)).await;
    let emitters = &world.store().emitters;
    emitters.stop_emitter(app, some).await.unwrap();
    world.clock.advance_ms(1);
    let began = start(&world, NewEmitter { count: Some(10), ..spec(app, some) }).await.started_at;
    let other = start(&world, spec(app, endless)).await.started_at;
    let at = |made, skipped_ms, unsure| EmitterProgress { made, skipped_ms, unsure };
    let progress = vec![
        (some, began, at(7, 50, 2)),
        (endless, other, at(1_000_000, 8, 0)),
        (some, earlier.started_at, at(9, 99, 9)),
    ];
    emitters.emitted(progress).await.unwrap();
    emitters.emitted(vec![(some, began, at(5, 60, 0)), (endless, other, at(3, 4, 5))]).await.unwrap();
    emitters.emitted(Vec::new()).await.unwrap();
    let progress: Vec<EmitterProgress> = list(&world).await.iter().map(|one| one.progress).collect();
    assert_eq!(progress, [at(7, 60, 0), at(1_000_000, 8, 5)]);
    emitters.emitted(vec![(some, began, at(10, 0, 0))]).await.unwrap();
    assert_eq!(list(&world).await.iter().map(|one| one.spec.endpoint).collect::<Vec<_>>(), [endless]);
    emitters.emitted(vec![(some, began, at(11, 0, 0))]).await.unwrap();
}

/// It pauses while its endpoint is disabled, and is gone when that is deleted.
pub async fn an_emitter_follows_its_endpoint<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    start(&world, spec(app, endpoint)).await;
    for disabled in [true, false] {
        let patch = EndpointPatch { disabled: Some(disabled), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, endpoint, patch).await.unwrap();
        assert_eq!(list(&world).await[0].is_paused, disabled);
    }
    world.store().endpoints.delete_endpoint(app, endpoint).await.unwrap();
    assert_eq!(list(&world).await, []);
    let emitters = &world.store().emitters;
    let refused = emitters.start_emitter(spec(app, endpoint)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(emitters.stop_emitter(app, endpoint).await.unwrap(), None);
    let (other_app, other) = (world.app().await.id, world.endpoint(app).await.id);
    let foreign = emitters.start_emitter(spec(other_app, other)).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound, "an endpoint of another application");
}

/// Of many at once one is kept.
pub async fn starts_at_once_keep_one<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let mut starts = tokio::task::JoinSet::new();
    for count in 1..=20 {
        let emitters = std::sync::Arc::clone(&world.store().emitters);
        let new = NewEmitter { count: Some(count), ..spec(app, endpoint) };
        starts.spawn(async move { emitters.start_emitter(new).await.unwrap() });
    }
    let started = starts.join_all().await;
    assert_eq!(started.iter().filter(|one| one.is_new).count(), 1);
    assert!(started.iter().all(|one| one.value == started[0].value));
    assert_eq!(list(&world).await, [started[0].value.clone()]);
}

/// Alone, a node has what it asks for, and may have it again after it gave it up, and in its next life.
pub async fn exclusive_work_is_held_until_it_is_released<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    for _ in 0..2 {
        let exclusive = &world.store().exclusive;
        exclusive.release("nobody's").await.unwrap();
        for _ in 0..2 {
            assert!(exclusive.hold("emitters").await.unwrap() && exclusive.hold("another").await.unwrap());
            assert!(exclusive.may_act());
        }
        exclusive.release("another").await.unwrap();
        assert!(exclusive.hold("another").await.unwrap());
        world.restart().await;
    }
}
