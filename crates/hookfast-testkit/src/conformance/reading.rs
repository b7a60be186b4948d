//! Promises of `Reading`: what happened reads back as it was, filtered and counted, to its own application only.

use crate::world::{any_attempt, any_event, first_page};
use crate::{Backend, Grants, World};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{Attempt, NewEvent};
use hookfast_core::ports::{AttemptFilter, EndpointStats, EventFilter, Outcome, Thing};
use hookfast_core::{AppId, EndpointId, ErrorKind, EventId, UnixMs};

const HOUR_MS: i64 = 3_600_000;

/// Things of other applications do not exist.
pub async fn an_event_is_found_by_id_and_uid_in_its_application_only<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept(NewEvent { uid: Some("order-1".to_owned()), ..world.event(app) }).await;
    let delivery = world.claim_one(endpoint).await;
    let settlement = world.delivered(&delivery);
    let attempt = settlement.attempt.as_ref().unwrap().id;
    world.settle(vec![settlement]).await;
    let reading = &world.store().reading;
    for reference in ["order-1", &event.to_string()] {
        assert_eq!(reading.event(app, reference).await.unwrap().id, event);
        assert_eq!(reading.event(other, reference).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(reading.attempt(app, event, attempt).await.unwrap().id, attempt);
    assert_eq!(reading.attempt(other, event, attempt).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(reading.destinations(other, event).await.unwrap_err().kind(), ErrorKind::NotFound);
    let of_event = reading.attempts_of_event(other, event, any_attempt(), first_page()).await;
    assert!(of_event.map_or_else(|error| error.kind() == ErrorKind::NotFound, |page| page.items.is_empty()));
    let to_endpoint = reading.attempts_of_endpoint(other, endpoint, any_attempt(), first_page()).await;
    assert!(to_endpoint.map_or_else(|error| error.kind() == ErrorKind::NotFound, |page| page.items.is_empty()));
    assert!(reading.events(other, any_event(), first_page()).await.unwrap().items.is_empty());
}

/// By type, channel and time, alone and together; bodies only when asked for.
pub async fn events_are_filtered<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let mut events: Vec<NewEvent> = Vec::new();
    for n in 0..24 {
        world.clock.advance_ms(1_000);
        let channels = if n % 4 == 0 { vec!["eu".to_owned(), "vip".to_owned()] } else { Vec::new() };
        let event = NewEvent { event_type: format!("type-{}", n % 3), channels, ..world.event(app) };
        world.accept(event.clone()).await;
        events.push(event);
    }
    let (after, before) = (events[6].id.time(), events[18].id.time());
    let filters = [
        EventFilter { event_types: vec!["type-1".to_owned()], ..any_event() },
        EventFilter { event_types: vec!["type-1".to_owned(), "type-2".to_owned()], ..any_event() },
        EventFilter { event_types: vec!["no-such".to_owned()], ..any_event() },
        EventFilter { channel: Some("vip".to_owned()), ..any_event() },
        EventFilter { channel: Some("vi".to_owned()), ..any_event() },
        EventFilter { after, before, with_body: false, ..any_event() },
        EventFilter {
            event_types: vec!["type-0".to_owned()],
            channel: Some("eu".to_owned()),
            after,
            before,
            with_body: true,
        },
    ];
    for filter in filters {
        let wanted: Vec<EventId> = events
            .iter()
            .filter(|event| filter.event_types.is_empty() || filter.event_types.contains(&event.event_type))
            .filter(|event| filter.channel.as_ref().is_none_or(|channel| event.channels.contains(channel)))
            .filter(|event| event.id.time() >= filter.after && event.id.time() < filter.before)
            .map(|event| event.id)
            .collect();
        let found = world.store().reading.events(app, filter.clone(), first_page()).await.unwrap();
        assert_eq!(found.items.iter().map(|event| event.id).collect::<Vec<_>>(), wanted, "{filter:?}");
        assert!(found.items.iter().all(|event| event.body.is_some() == filter.with_body));
        assert!(found.done);
    }
}

/// First tries that ended, first tries that did not, later ones: whole, one by one and in both lists.
pub async fn attempts_read_back_whole<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let event = world.accept_plain(app).await;
    let mut kept: Vec<Attempt> = Vec::new();
    let first = world.dispatch.take_handed(1).await.remove(0);
    let mut settlement = world.retried(&first, 1_000);
    let excerpt = "é".repeat(hookfast_core::limits::EXCERPT_BYTES_MAX / 2);
    settlement.attempt.as_mut().unwrap().excerpt = excerpt;
    kept.extend(settlement.attempt.clone());
    world.settle(vec![settlement]).await;
    world.clock.advance_ms(1_000);
    let second = world.claim_one(endpoint).await;
    let mut settlement = world.delivered(&second);
    settlement.attempt.as_mut().unwrap().url = "https://example.com/other?q=1".to_owned();
    kept.extend(settlement.attempt.clone());
    world.settle(vec![settlement]).await;
    let quick = world.accept_plain(app).await;
    let delivery = world.dispatch.take_handed(1).await.remove(0);
    let mut settlement = world.delivered(&delivery);
    settlement.attempt.as_mut().unwrap().excerpt = String::new();
    let quick_attempt = settlement.attempt.clone().unwrap();
    world.settle(vec![settlement]).await;
    world.restart().await;

    assert_eq!(world.attempts(app, event).await, kept);
    assert_eq!(world.attempts(app, quick).await, std::slice::from_ref(&quick_attempt));
    kept.push(quick_attempt);
    let reading = &world.store().reading;
    let to_endpoint = reading.attempts_of_endpoint(app, endpoint, any_attempt(), first_page()).await.unwrap();
    assert_eq!(to_endpoint.items, kept);
    for attempt in &kept {
        assert_eq!(reading.attempt(app, attempt.event, attempt.id).await.unwrap(), *attempt);
    }
    let wrong = reading.attempt(app, event, kept[2].id).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::NotFound);
}

/// A store with attempts of every kind: two endpoints, types, channels, several tries.
async fn with_attempts<B: Backend>() -> (World<B>, AppId, [EndpointId; 2], Vec<(NewEvent, Attempt)>) {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoints = [world.endpoint(app).await.id, world.endpoint(app).await.id];
    let causes = [Cause::Ok, Cause::Status, Cause::Timeout, Cause::Gone];
    let mut made = Vec::new();
    for n in 0..8 {
        world.clock.advance_ms(1_000);
        let channels = if n % 3 == 0 { vec!["vip".to_owned()] } else { Vec::new() };
        let event = NewEvent { event_type: format!("type-{}", n % 2), channels, ..world.event(app) };
        world.accept(event.clone()).await;
        for (m, endpoint) in endpoints.iter().enumerate() {
            for last in [false, true] {
                world.clock.advance_ms(10);
                let delivery = world.claim_one(*endpoint).await;
                let cause = if last { causes[(n + m) % 4] } else { causes[1 + n % 3] };
                let end = if cause == Cause::Ok { DeliveryState::Delivered } else { DeliveryState::Dead };
                let outcome = if last { Outcome::End(end, cause) } else { Outcome::Retry { due: world.now() } };
                let settlement = world.tried(&delivery, cause, outcome);
                made.push((event.clone(), settlement.attempt.clone().unwrap()));
                world.settle(vec![settlement]).await;
            }
        }
    }
    (world, app, endpoints, made)
}

fn passes(filter: &AttemptFilter, event: &NewEvent, attempt: &Attempt) -> bool {
    let time = attempt.id.time();
    filter.endpoint.is_none_or(|endpoint| endpoint == attempt.endpoint)
        && filter.succeeded.is_none_or(|good| good == (attempt.cause == Cause::Ok))
        && filter.status_class.is_none_or(|class| class == attempt.status / 100 * 100)
        && (filter.event_types.is_empty() || filter.event_types.contains(&event.event_type))
        && filter.channel.as_ref().is_none_or(|channel| event.channels.contains(channel))
        && (filter.after..filter.before).contains(&time)
}

/// By endpoint, success, class of status, type, channel and time, in both lists.
pub async fn attempts_are_filtered<B: Backend>() {
    let (world, app, endpoints, made) = with_attempts::<B>().await;
    let (after, before) = (made[7].1.id.time(), made[24].1.id.time());
    let filters = [
        any_attempt(),
        AttemptFilter { endpoint: Some(endpoints[1]), ..any_attempt() },
        AttemptFilter { succeeded: Some(true), ..any_attempt() },
        AttemptFilter { succeeded: Some(false), ..any_attempt() },
        AttemptFilter { status_class: Some(0), ..any_attempt() },
        AttemptFilter { status_class: Some(200), ..any_attempt() },
        AttemptFilter { status_class: Some(400), succeeded: Some(false), ..any_attempt() },
        AttemptFilter { status_class: Some(500), ..any_attempt() },
        AttemptFilter { event_types: vec!["type-1".to_owned()], ..any_attempt() },
        AttemptFilter { channel: Some("vip".to_owned()), ..any_attempt() },
        AttemptFilter { after, before, ..any_attempt() },
        AttemptFilter { after, succeeded: Some(false), channel: Some("vip".to_owned()), ..any_attempt() },
    ];
    let reading = &world.store().reading;
    for filter in filters {
        for event in made.iter().map(|(event, _)| event.id).collect::<std::collections::BTreeSet<_>>() {
            let found = reading.attempts_of_event(app, event, filter.clone(), first_page()).await.unwrap().items;
            let wanted = made.iter().filter(|(of, one)| of.id == event && passes(&filter, of, one));
            assert_eq!(found, wanted.map(|(_, one)| one.clone()).collect::<Vec<_>>(), "{filter:?}");
        }
        let filter = AttemptFilter { endpoint: None, ..filter };
        for endpoint in endpoints {
            let found = reading.attempts_of_endpoint(app, endpoint, filter.clone(), first_page()).await.unwrap().items;
            let wanted = made.iter().filter(|(of, one)| one.endpoint == endpoint && passes(&filter, of, one));
            assert_eq!(found, wanted.map(|(_, one)| one.clone()).collect::<Vec<_>>(), "{filter:?}");
        }
    }
}

/// Tries by the hour they were made in; what is unfinished, by its state.
pub async fn stats_count_by_the_hour<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let hour = |now: UnixMs| UnixMs(now.0.div_euclid(HOUR_MS) * HOUR_MS);
    let first_hour = hour(world.now());
    let day_ms = 24 * 3_600_000;
    for n in 0..7 {
        world.accept_plain(app).await;
        let delivery = world.dispatch.take_handed(1).await.remove(0);
        if n == 6 {
            world.clock.advance_ms(3_600_000);
        }
        let settlement = match n {
            0 | 1 => world.delivered(&delivery),
            2 | 6 => world.dead(&delivery),
            3 => world.retried(&delivery, day_ms),
            4 => world.untried(&delivery, Outcome::End(DeliveryState::Cancelled, Cause::EndpointDeleted)),
            _ => world.untried(&delivery, Outcome::Wait { due: world.now() }),
        };
        world.settle(vec![settlement]).await;
    }
    let second_hour = hour(world.now());
    assert!(second_hour > first_hour);
    for _ in 0..2 {
        let stats = |since, until| world.store().reading.endpoint_stats(app, endpoint, since, until);
        let whole = stats(first_hour, second_hour.plus_ms(3_599_999)).await.unwrap();
        assert_eq!(whole, EndpointStats { success: 2, fail: 3, pending: 1, retrying: 1, cancelled: 1 });
        let first = stats(first_hour, second_hour.minus_ms(1)).await.unwrap();
        assert_eq!((first.success, first.fail), (2, 2));
        let second = stats(second_hour, second_hour.plus_ms(3_599_999)).await.unwrap();
        assert_eq!((second.success, second.fail), (0, 1));
        world.restart().await;
    }
}

/// Rows in the queue, held ones too; commits only grow.
pub async fn totals_count_what_waits<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let before = world.store().reading.totals().await.unwrap();
    for _ in 0..5 {
        world.accept_plain(app).await;
    }
    let claim = world.claim(endpoint, 3).await;
    let totals = world.store().reading.totals().await.unwrap();
    assert_eq!((before.queue_rows, totals.queue_rows), (0, 5));
    assert!(totals.commits > before.commits && totals.disk_bytes > 0 && totals.disk_free_bytes != Some(0));
    world.settle(claim.deliveries.iter().map(|delivery| world.delivered(delivery)).collect()).await;
    assert_eq!(world.store().reading.totals().await.unwrap().queue_rows, 2);
}

/// Of what waits for an endpoint, whatever is due first; of nobody else.
pub async fn the_oldest_that_waits_is_known<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let (endpoint, other) = (world.endpoint(app).await.id, world.endpoint(app).await.id);
    let reading = &world.store().reading;
    assert_eq!(reading.oldest_waiting(app, endpoint).await.unwrap(), None);
    let first = world.accept_plain(app).await;
    world.clock.advance_ms(5_000);
    let second = world.accept_plain(app).await;
    assert_eq!(reading.oldest_waiting(app, endpoint).await.unwrap(), Some(first.time()));
    let claim = world.claim(endpoint, 1).await;
    world.settle(claim.deliveries.iter().map(|delivery| world.retried(delivery, 3_600_000)).collect()).await;
    assert_eq!(reading.oldest_waiting(app, endpoint).await.unwrap(), Some(first.time()), "although it is due last");
    let claim = world.claim(other, 1).await;
    world.settle(claim.deliveries.iter().map(|delivery| world.delivered(delivery)).collect()).await;
    assert_eq!(reading.oldest_waiting(app, other).await.unwrap(), Some(second.time()));
    let stranger = world.app().await.id;
    assert_eq!(reading.oldest_waiting(stranger, endpoint).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// An id alone leads to its application, within the organisation; what is deleted leads nowhere.
pub async fn the_owner_of_an_id_is_found<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await, world.app().await);
    let endpoint = world.endpoint(app.id).await.id;
    let event = world.accept_plain(app.id).await;
    let elsewhere = world.accept_plain(other.id).await;
    let reading = &world.store().reading;
    for (thing, owner) in
        [(Thing::Event(event), app.id), (Thing::Endpoint(endpoint), app.id), (Thing::Event(elsewhere), other.id)]
    {
        assert_eq!(reading.owner(&app.org, thing).await.unwrap(), owner);
        let stranger = "org_stranger".parse().unwrap();
        assert_eq!(reading.owner(&stranger, thing).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let unknown = Thing::Event(EventId::from_halves(event.high(), event.low() ^ 1));
    assert_eq!(reading.owner(&app.org, unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.store().endpoints.delete_endpoint(app.id, endpoint).await.unwrap();
    assert_eq!(reading.owner(&app.org, Thing::Endpoint(endpoint)).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.store().applications.delete_application(app.id).await.unwrap();
    assert_eq!(reading.owner(&app.org, Thing::Event(event)).await.unwrap_err().kind(), ErrorKind::NotFound);
}
