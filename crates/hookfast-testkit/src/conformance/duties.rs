//! Promises of `Maintenance`: what is old goes, what is unfinished ends, and a sound store stays as it is.

use crate::world::{any_attempt, any_event, first_page, new_application};
use crate::{Backend, Grants, World};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Duty, EndpointPatch, NewApplication, OnExisting, Step};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{AppId, ErrorKind, EventId};
use std::collections::BTreeSet;

async fn app_kept_for<B: Backend>(world: &World<B>, days: u16) -> AppId {
    let new = NewApplication { retention_days: Some(days), ..new_application() };
    let created = world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap();
    assert_eq!(created.value.retention_days, days);
    created.value.id
}

async fn is_kept<B: Backend>(world: &World<B>, app: AppId, event: EventId) -> bool {
    match world.store().reading.event(app, &event.to_string()).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            false
        }
    }
}

/// No duty finds work in it, and it answers.
pub async fn an_empty_store_has_nothing_to_do<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    world.store().maintenance.ping().await.unwrap();
    for duty in Duty::ALL {
        assert_eq!(world.store().maintenance.step(duty).await.unwrap(), Step::default(), "{}", duty.as_str());
    }
}

/// Events with their deliveries, attempts and keys, counted, in small steps; younger ones are whole.
pub async fn retention_takes_what_is_old_and_nothing_else<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = app_kept_for(&world, 7).await;
    let endpoint = world.endpoint(app).await.id;
    let keyed =
        |world: &World<B>| NewEvent { idempotency: Some([5; 16]), uid: Some("order-1".to_owned()), ..world.event(app) };
    let mut old = vec![world.accept(keyed(&world)).await];
    for _ in 0..20 {
        old.push(world.accept_plain(app).await);
    }
    let handed = world.dispatch.take_handed(21).await;
    world.settle(handed.iter().map(|delivery| world.retried(delivery, 1)).collect()).await;
    world.clock.advance_ms(1);
    let claimed = world.claim(endpoint, 100).await.deliveries;
    world.settle(claimed.iter().map(|delivery| world.delivered(delivery)).collect()).await;
    world.clock.advance_days(5);
    let young = world.accept_plain(app).await;
    let delivery = world.dispatch.take_handed(1).await.remove(0);
    world.settle(vec![world.delivered(&delivery)]).await;
    world.run_all_duties().await;
    assert!(is_kept(&world, app, old[0]).await, "not old enough yet");
    world.clock.advance_days(5);
    world.run_all_duties().await;
    assert_eq!(world.store().reading.totals().await.unwrap().purged_events, 21);
    for _ in 0..2 {
        let reading = &world.store().reading;
        for event in &old {
            assert!(!is_kept(&world, app, *event).await);
            assert_eq!(reading.destinations(app, *event).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        let left = reading.events(app, any_event(), first_page()).await.unwrap().items;
        assert_eq!(left.iter().map(|event| event.id).collect::<Vec<_>>(), [young]);
        let attempts = reading.attempts_of_endpoint(app, endpoint, any_attempt(), first_page()).await.unwrap().items;
        assert_eq!(attempts.iter().map(|attempt| attempt.event).collect::<Vec<_>>(), [young]);
        assert_eq!(world.state(app, young, endpoint).await, DeliveryState::Delivered);
        world.restart().await;
    }
    let again = world.try_accept(keyed(&world)).await.unwrap();
    assert!(!again.repeat, "its keys went with it");
}

/// Each application's own time counts.
pub async fn retention_is_by_application<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let mut kept = Vec::new();
    for days in [7, 30, 90] {
        let app = app_kept_for(&world, days).await;
        kept.push((app, world.accept_plain(app).await, u64::from(days)));
    }
    for age_days in [10u64, 40, 100] {
        world.clock.advance_days(if age_days == 100 { 60 } else { 10 * (age_days / 20 + 1) });
        let age = world.now().since(kept[0].1.time()) / (24 * 3_600_000);
        assert_eq!(age, age_days);
        world.run_all_duties().await;
        for (app, event, days) in &kept {
            assert_eq!(is_kept(&world, *app, *event).await, age < *days, "kept for {days}, now {age}");
        }
    }
}

/// What is unfinished when its event has become too old ends as dead, cause `expired`, and that can be read before the
/// event goes. Nothing of it comes back.
pub async fn unfinished_work_that_is_too_old_ends<B: Backend>() {
    let mut world = World::<B>::new(Grants::EverySecond).await;
    let app = app_kept_for(&world, 7).await;
    let endpoint = world.endpoint(app).await.id;
    let mut events = BTreeSet::new();
    for _ in 0..10 {
        events.insert(world.accept_plain(app).await);
    }
    world.dispatch.take_handed(5).await;
    let delivery = world.claim(endpoint, 1).await.deliveries.remove(0);
    world.settle(vec![world.retried(&delivery, 20 * 24 * 3_600_000)]).await;
    // Whoever had some in memory died with them.
    world.restart().await;
    let mut seen_dead = BTreeSet::new();
    for day in 1..=12 {
        world.clock.advance_days(1);
        world.run_all_duties().await;
        for event in &events {
            if is_kept(&world, app, *event).await {
                let found = world.destination(app, *event, endpoint).await;
                assert_eq!(found.state.is_end(), day > 7, "{:?} on day {day}", found.state);
                if found.state.is_end() {
                    assert_eq!((found.state, found.cause), (DeliveryState::Dead, Some(Cause::Expired)));
                    seen_dead.insert(*event);
                }
            }
        }
    }
    assert_eq!(seen_dead, events, "each was to be seen dead before it went");
    for event in events {
        assert!(!is_kept(&world, app, event).await);
    }
    let totals = world.store().reading.totals().await.unwrap();
    assert_eq!((totals.purged_events, totals.queue_rows, totals.strays), (10, 0, 0));
    world.clock.advance_days(30);
    assert!(world.claim(endpoint, 100).await.deliveries.is_empty());
    assert!(world.store().queue.waiting(None, 10).await.unwrap().is_empty());
}

/// Past its retry window it ends as dead, cause `endpoint_down`; before that, and for a healthy endpoint, it waits.
pub async fn what_waits_too_long_for_a_disabled_endpoint_ends<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let policy = RetryPolicy { delays_ms: vec![1_000], jitter: 0.0 };
    let window_ms = policy.window_ms();
    let down = world.endpoint_with(app, |new| new.retry = Some(policy.clone())).await.id;
    let healthy = world.endpoint_with(app, |new| new.retry = Some(policy)).await.id;
    let event = world.accept_plain(app).await;
    let patch = EndpointPatch { disabled: Some(true), ..EndpointPatch::default() };
    world.store().endpoints.update_endpoint(app, down, patch).await.unwrap();
    world.clock.advance_ms(window_ms / 2);
    world.run(Duty::Expire).await;
    assert_eq!(world.state(app, event, down).await, DeliveryState::Pending);
    world.clock.advance_ms(window_ms);
    world.run(Duty::Expire).await;
    let ended = world.destination(app, event, down).await;
    assert_eq!((ended.state, ended.cause), (DeliveryState::Dead, Some(Cause::EndpointDown)));
    assert_eq!(world.state(app, event, healthy).await, DeliveryState::Pending);
    assert_eq!(world.claim(healthy, 10).await.deliveries.len(), 1);
}

/// Pairs in memory, in the queue, held and ended: all are known, none is a stray, none is queued a second time.
pub async fn the_audit_of_a_sound_store_finds_nothing<B: Backend>() {
    let world = World::<B>::new(Grants::EverySecond).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    for _ in 0..20 {
        world.accept_plain(app).await;
    }
    let handed = world.dispatch.take_handed(10).await;
    world.settle(handed[..5].iter().map(|delivery| world.delivered(delivery)).collect()).await;
    let held = world.claim(endpoint, 5).await.deliveries;
    assert_eq!(held.len(), 5);
    world.clock.advance_ms(2 * 3_600_000);
    world.run(Duty::Audit).await;
    assert_eq!(world.store().reading.totals().await.unwrap().strays, 0);
    assert_eq!(world.claim(endpoint, 100).await.deliveries.len(), 5);
}
