//! Promises about lists: every page, in both orders and both directions, holds what it should.

use crate::paging::check;
use crate::world::{any_attempt, any_event, first_page, new_application};
use crate::{Backend, Grants, World};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::limits::LOOKED_AT_MAX;
use hookfast_core::model::{EventType, NewEvent};
use hookfast_core::ports::{
    AttemptFilter, Duty, EndedFilter, EventFilter, Found, NewApplication, OnExisting, Order, Page, PageOf,
};
use hookfast_core::{AttemptId, EndpointId, EventId, OrgId, UnixMs};
use std::collections::BTreeMap;

const BOTH: [Order; 2] = [Order::Ascending, Order::Descending];

/// The keys of what was found where nothing kept the store from looking at all.
fn all_keys<T, K>(found: Found<T, K>, key: impl Fn(&T) -> K) -> PageOf<K> {
    assert!(found.stopped_at.is_none());
    keys(PageOf { items: found.items, done: found.done }, key)
}

fn keys<T, K>(page: PageOf<T>, key: impl Fn(&T) -> K) -> PageOf<K> {
    PageOf { items: page.items.iter().map(key).collect(), done: page.done }
}

/// Of one organisation, without deleted ones.
pub async fn applications_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let applications = &world.store().applications;
    let other: OrgId = "org_other".parse().unwrap();
    let mut expected = Vec::new();
    for n in 0..13 {
        let org = if n % 4 == 3 { other.clone() } else { OrgId::default_org() };
        let new = NewApplication { org: org.clone(), ..new_application() };
        let app = applications.create_application(new, OnExisting::Refuse, None).await.unwrap().value.id;
        if n == 5 {
            applications.delete_application(app).await.unwrap();
        } else if org != other {
            expected.push(app);
        }
    }
    check(&expected, &BOTH, async |page| {
        keys(applications.applications(OrgId::default_org(), page).await.unwrap(), |app| app.id)
    })
    .await;
}

/// Of one application, without deleted ones.
pub async fn endpoints_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let endpoints = &world.store().endpoints;
    let mut expected = Vec::new();
    for n in 0..13 {
        let id = world.endpoint(if n % 4 == 3 { other } else { app }).await.id;
        if n == 5 {
            endpoints.delete_endpoint(app, id).await.unwrap();
        } else if n % 4 != 3 {
            expected.push(id);
        }
    }
    check(&expected, &BOTH, async |page| keys(endpoints.endpoints(app, page).await.unwrap(), |one| one.id)).await;
}

/// By name, whatever the order of their making; archived ones when asked for.
pub async fn event_types_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let org = OrgId::default_org();
    let event_types = &world.store().event_types;
    let mut all: Vec<(String, bool)> = Vec::new();
    for n in 0..13u64 {
        let new = EventType {
            org: org.clone(),
            name: format!("type.{}", n * 7 % 13),
            description: String::new(),
            archived: n % 3 == 0,
            deprecated: false,
            feature_flags: Vec::new(),
            group_name: None,
            schemas: None,
            created_at: world.now(),
            updated_at: world.now(),
        };
        all.push((new.name.clone(), new.archived));
        event_types.create_event_type(new, None).await.unwrap();
    }
    all.sort();
    for with_archived in [false, true] {
        let shown = all.iter().filter(|(_, archived)| with_archived || !archived);
        let expected: Vec<String> = shown.map(|(name, _)| name.clone()).collect();
        check(&expected, &[Order::Ascending], async |page| {
            keys(event_types.event_types(org.clone(), with_archived, page).await.unwrap(), |one| one.name.clone())
        })
        .await;
    }
}

/// Of one application, among those of others made in between.
pub async fn events_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let mut random = fastrand::Rng::with_seed(11);
    let mut expected: Vec<EventId> = Vec::new();
    for _ in 0..60 {
        world.clock.advance_ms(random.u64(0..3));
        if random.bool() {
            expected.push(world.accept_plain(app).await);
        } else {
            world.accept_plain(other).await;
        }
    }
    let reading = &world.store().reading;
    check(&expected, &BOTH, async |page| {
        all_keys(reading.events(app, any_event(), page).await.unwrap(), |event| event.id)
    })
    .await;
}

/// By event and by endpoint: tries that ended a delivery and tries that did not, in one order, over runs.
pub async fn attempts_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoints = [world.endpoint(app).await.id, world.endpoint(app).await.id];
    let mut random = fastrand::Rng::with_seed(13);
    let mut events = Vec::new();
    for _ in 0..6 {
        events.push(world.accept_plain(app).await);
    }
    let mut of_event: BTreeMap<EventId, Vec<AttemptId>> = events.iter().map(|event| (*event, Vec::new())).collect();
    let mut to_endpoint: BTreeMap<EndpointId, Vec<AttemptId>> = BTreeMap::new();
    for _ in 0..12 {
        for endpoint in endpoints {
            world.clock.advance_ms(random.u64(0..2_000));
            let deliveries = world.claim(endpoint, random.u32(1..4)).await.deliveries;
            for delivery in deliveries {
                let settlement = match random.u8(0..5) {
                    0 => world.delivered(&delivery),
                    1 => world.dead(&delivery),
                    _ => world.retried(&delivery, random.u64(0..2_000)),
                };
                let attempt = settlement.attempt.as_ref().unwrap().id;
                of_event.get_mut(&delivery.key.event).unwrap().push(attempt);
                to_endpoint.entry(endpoint).or_default().push(attempt);
                world.settle(vec![settlement]).await;
            }
            let event = events[random.usize(0..events.len())];
            world.store().replays.resend(app, event, endpoint, None).await.unwrap();
        }
    }
    world.run(Duty::Audit).await;
    let reading = &world.store().reading;
    for (event, expected) in &of_event {
        check(expected, &BOTH, async |page| {
            keys(reading.attempts_of_event(app, *event, any_attempt(), page).await.unwrap(), |attempt| attempt.id)
        })
        .await;
    }
    for (endpoint, expected) in &to_endpoint {
        check(expected, &BOTH, async |page| {
            all_keys(reading.attempts_of_endpoint(app, *endpoint, any_attempt(), page).await.unwrap(), |attempt| {
                attempt.id
            })
        })
        .await;
    }
}

/// By state: the end of the latest run alone, and none while a later run is under way.
pub async fn ended_deliveries_page_both_ways<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let (mut dead, mut delivered) = (Vec::new(), Vec::new());
    for n in 0..20_u64 {
        world.clock.advance_ms(10);
        let event = world.accept_plain(app).await;
        let first = world.claim_one(endpoint).await;
        let end = if n % 3 == 0 { world.delivered(&first) } else { world.dead(&first) };
        let mut ended = end.attempt.as_ref().unwrap().id;
        world.settle(vec![end]).await;
        if n % 5 == 4 {
            world.store().replays.resend(app, event, endpoint, None).await.unwrap();
            // Of those, some are dead again, and some are still under way.
            if n % 10 == 4 {
                let again = world.dead(&world.claim_one(endpoint).await);
                ended = again.attempt.as_ref().unwrap().id;
                world.settle(vec![again]).await;
                dead.push(ended);
            } else {
                world.claim_one(endpoint).await;
            }
        } else if n % 3 == 0 {
            delivered.push(ended);
        } else {
            dead.push(ended);
        }
    }
    let mut all = [dead.as_slice(), &delivered].concat();
    all.sort();
    let reading = &world.store().reading;
    let filters = [
        (Some(DeliveryState::Dead), None, &dead),
        (Some(DeliveryState::Delivered), None, &delivered),
        (None, Some(Cause::Ok), &delivered),
        (None, None, &all),
    ];
    for (state, cause, expected) in filters {
        check(expected, &BOTH, async |page| {
            let filter = EndedFilter { state, cause, after: UnixMs(0), before: UnixMs(i64::MAX) };
            all_keys(reading.ended(app, endpoint, filter, page).await.unwrap(), |one| one.ended)
        })
        .await;
    }
    let every = EndedFilter { state: None, cause: None, after: UnixMs(0), before: UnixMs(i64::MAX) };
    for filter in [
        EndedFilter { state: Some(DeliveryState::Cancelled), ..every.clone() },
        EndedFilter { state: Some(DeliveryState::Dead), cause: Some(Cause::Dns), ..every.clone() },
        EndedFilter { before: UnixMs(1), ..every },
    ] {
        assert!(reading.ended(app, endpoint, filter, first_page()).await.unwrap().items.is_empty());
    }
}

/// Walks a list through all its pages in both orders and both directions, where the store has to stop looking on the way.
async fn walk<T, K: Copy + PartialEq + std::fmt::Debug>(
    expected: &[K],
    list: impl AsyncFn(Page<K>) -> Found<T, K>,
    key: impl Fn(&T) -> K,
) {
    for order in BOTH {
        let (mut forwards, mut backwards, mut stops) = (Vec::new(), Vec::new(), 0);
        let mut page = Page { limit: 10, after: None, backwards: false, order };
        for _ in 0..4 {
            let Found { items, done, stopped_at } = list(page.clone()).await;
            forwards.extend(items.iter().map(&key));
            stops += usize::from(stopped_at.is_some());
            page.after = stopped_at.or_else(|| forwards.last().copied());
            if done {
                break;
            }
        }
        page = Page { after: forwards.last().copied(), backwards: true, ..page };
        for _ in 0..4 {
            let Found { items, done, stopped_at } = list(page.clone()).await;
            backwards.splice(0..0, items.iter().map(&key));
            stops += usize::from(stopped_at.is_some());
            page.after = stopped_at.or_else(|| backwards.first().copied());
            if done {
                break;
            }
        }
        let mut wanted = expected.to_vec();
        if order == Order::Descending {
            wanted.reverse();
        }
        assert_eq!(forwards, wanted, "{order:?}");
        assert_eq!(backwards, wanted[..wanted.len() - 1], "{order:?}, backwards");
        assert_eq!(stops, 2, "{order:?}: once in each direction");
    }
}

/// Two rare ones on both sides of more rows than are looked at for one page.
pub async fn few_among_very_many_are_found_though_each_page_looks_at_some_only<B: Backend>() {
    const RARE: &str = "rare.one";
    let world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    let last = LOOKED_AT_MAX + 50;
    let is_rare = |n: u32| n == 0 || n == last;
    let event = |n| {
        let event = world.event(app);
        if is_rare(n) { NewEvent { event_type: RARE.to_owned(), ..event } } else { event }
    };
    let batch: Vec<NewEvent> = (0..=last).map(event).collect();
    let events = [batch[0].id, batch[last as usize].id];
    assert!(world.store().accept.accept(batch).await.iter().all(Result::is_ok));
    let handed = world.dispatch.take_handed(last as usize + 1).await;
    let (mut ends, mut attempts) = (Vec::new(), Vec::new());
    for delivery in handed {
        if events.contains(&delivery.key.event) {
            let end = world.dead(&delivery);
            attempts.push(end.attempt.as_ref().unwrap().id);
            ends.push(end);
        } else {
            ends.push(world.delivered(&delivery));
        }
    }
    world.settle(ends).await;
    let reading = &world.store().reading;
    let types = || vec![RARE.to_owned()];
    let found =
        async |page| reading.events(app, EventFilter { event_types: types(), ..any_event() }, page).await.unwrap();
    walk(&events, found, |event| event.id).await;
    let found = async |page| {
        let filter = AttemptFilter { event_types: types(), ..any_attempt() };
        reading.attempts_of_endpoint(app, endpoint, filter, page).await.unwrap()
    };
    walk(&attempts, found, |attempt| attempt.id).await;
    let found = async |page| {
        let cause = Some(Cause::Status);
        let filter = EndedFilter { state: None, cause, after: UnixMs::ZERO, before: UnixMs::MAX };
        reading.ended(app, endpoint, filter, page).await.unwrap()
    };
    walk(&attempts, found, |ended| ended.ended).await;
}
