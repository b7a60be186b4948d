//! Promises of `Replays`: a resend is one more run, a recover is a task that outlives the process.

use crate::{Backend, Grants, World};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::{CallerKey, NewEvent, Trigger};
use hookfast_core::ports::{Duty, EndpointPatch, TaskKind, TaskStatus};
use hookfast_core::{AppId, EndpointId, Error, ErrorKind, EventId, OrgId, TaskId};
use std::collections::BTreeSet;

/// An event that ended at its first try.
async fn ended<B: Backend>(world: &World<B>, app: AppId, endpoint: EndpointId, good: bool) -> EventId {
    let event = world.accept_plain(app).await;
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![if good { world.delivered(&delivery) } else { world.dead(&delivery) }]).await;
    event
}

/// Run 1, then run 2, by hand; the latest is the one that is shown, all attempts are kept.
pub async fn a_resend_is_the_next_run<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = ended(&world, app, endpoint, false).await;
    for run in 1..=2 {
        world.store().replays.resend(app, event, endpoint, None).await.unwrap();
        let waiting = world.destination(app, event, endpoint).await;
        assert_eq!((waiting.state, waiting.run, waiting.tries), (DeliveryState::Pending, run, 0));
        world.restart().await;
        let delivery = world.claim_one(endpoint).await;
        assert_eq!((delivery.key.run, delivery.tries, delivery.trigger), (run, 0, Trigger::Manual));
        world.settle(vec![world.delivered(&delivery)]).await;
        let done = world.destination(app, event, endpoint).await;
        assert_eq!((done.state, done.run, done.tries), (DeliveryState::Delivered, run, 1));
    }
    let attempts = world.attempts(app, event).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.run).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(attempts[0].trigger, Trigger::Scheduled);
    assert_eq!(attempts[2].trigger, Trigger::Manual);
}

/// In the queue or in memory: it will be tried anyhow.
pub async fn a_resend_while_one_is_unfinished_queues_nothing<B: Backend>() {
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let resend = || world.store().replays.resend(app, event, endpoint, None);
    let delivery = world.dispatch.take_handed(1).await.remove(0);
    resend().await.unwrap();
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty(), "it is in memory");
    world.settle(vec![world.retried(&delivery, 1_000)]).await;
    resend().await.unwrap();
    world.clock.advance_ms(1_000);
    let delivery = world.claim_one(endpoint).await;
    assert_eq!(delivery.key.run, 0);
    resend().await.unwrap();
    world.settle(vec![world.delivered(&delivery)]).await;
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
    assert_eq!(world.destination(app, event, endpoint).await.run, 0);
}

/// Unknown events and endpoints, those of others, and disabled endpoints.
pub async fn a_resend_that_cannot_be_is_refused<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let endpoint = world.endpoint(app).await.id;
    let event = ended(&world, app, endpoint, false).await;
    let foreign = world.endpoint(other).await.id;
    let cases = [
        (app, EventId::from_u128(5), endpoint),
        (app, event, EndpointId::from_u128(5)),
        (app, event, foreign),
        (other, event, foreign),
    ];
    for (app, event, endpoint) in cases {
        let refused = world.store().replays.resend(app, event, endpoint, None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
    let patch = EndpointPatch { disabled: Some(true), ..EndpointPatch::default() };
    world.store().endpoints.update_endpoint(app, endpoint, patch).await.unwrap();
    let refused = world.store().replays.resend(app, event, endpoint, None).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "endpoint_disabled", .. }), "{refused:?}");
}

/// With a caller key, also over a restart and after the run has ended.
pub async fn a_repeated_resend_is_one<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = ended(&world, app, endpoint, false).await;
    let key = Some(CallerKey { key_hash: [4; 16], body_hash: [1; 16] });
    world.store().replays.resend(app, event, endpoint, key).await.unwrap();
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.delivered(&delivery)]).await;
    world.restart().await;
    world.store().replays.resend(app, event, endpoint, key).await.unwrap();
    assert!(world.claim(endpoint, 10).await.deliveries.is_empty());
    assert_eq!(world.destination(app, event, endpoint).await.run, 1);
}

/// An endpoint that the event was never routed to gets it, and shows among its destinations.
pub async fn a_resend_ignores_filters<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let event = world.accept_plain(app).await;
    let endpoint = world.endpoint_with(app, |new| new.event_types = Some(vec!["other".to_owned()])).await.id;
    world.store().replays.resend(app, event, endpoint, None).await.unwrap();
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Pending);
    let delivery = world.claim_one(endpoint).await;
    assert_eq!(delivery.key.event, event);
    world.settle(vec![world.delivered(&delivery)]).await;
    assert_eq!(world.state(app, event, endpoint).await, DeliveryState::Delivered);
}

/// Dead ones of this endpoint and time; not the delivered, not those before or after, not those of others.
pub async fn recover_replays_the_dead_of_its_time_and_no_others<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint_with(app, |new| new.channels = None).await.id;
    let step = async |good| {
        world.clock.advance_ms(60_000);
        ended(&world, app, endpoint, good).await
    };
    step(false).await;
    world.clock.advance_ms(60_000);
    let since = world.now();
    let dead = BTreeSet::from([step(false).await, step(false).await]);
    step(true).await;
    world.clock.advance_ms(60_000);
    let until = world.now();
    world.clock.advance_ms(60_000);
    ended(&world, app, endpoint, false).await;
    let replays = &world.store().replays;
    let task = replays.recover(app, endpoint, since, until, None).await.unwrap();
    assert_eq!(task.kind, TaskKind::Recover);
    world.run(Duty::Tasks).await;
    let task = replays.task(&OrgId::default_org(), task.id).await.unwrap();
    assert_eq!((task.status, task.queued), (TaskStatus::Finished, 2));
    let claim = world.claim(endpoint, 10).await;
    assert!(claim.deliveries.iter().all(|delivery| delivery.key.run == 1 && delivery.trigger == Trigger::Manual));
    assert_eq!(claim.deliveries.iter().map(|delivery| delivery.key.event).collect::<BTreeSet<_>>(), dead);
    let org = OrgId::default_org();
    assert_eq!(replays.task(&org, TaskId::from_u128(1)).await.unwrap_err().kind(), ErrorKind::NotFound);
    let stranger: OrgId = "org_stranger".parse().unwrap();
    assert_eq!(replays.task(&stranger, task.id).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A restart in the middle: each dead delivery is queued once, and the task ends.
pub async fn a_recover_goes_on_after_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let since = world.now();
    let batch: Vec<NewEvent> = (0..1_500).map(|_| world.event(app)).collect();
    assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    let handed = world.dispatch.take_handed(1_500).await;
    world.settle(handed.iter().map(|delivery| world.dead(delivery)).collect()).await;
    world.clock.advance_ms(60_000);
    let task = world.store().replays.recover(app, endpoint, since, world.now(), None).await.unwrap().id;
    assert_eq!(world.store().replays.task(&OrgId::default_org(), task).await.unwrap().status, TaskStatus::Running);
    world.store().maintenance.step(Duty::Tasks).await.unwrap();
    world.restart().await;
    world.run(Duty::Tasks).await;
    let ended = world.store().replays.task(&OrgId::default_org(), task).await.unwrap();
    assert_eq!((ended.status, ended.queued), (TaskStatus::Finished, 1_500));
    let claimed = world.claim(endpoint, 5_000).await.deliveries;
    assert_eq!(claimed.len(), 1_500);
    assert!(claimed.iter().all(|delivery| delivery.key.run == 1));
}
