//! Applications with a throttle: all their endpoints together keep to it, share it, and nobody else feels it.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::{AppThrottle, Endpoint};
use hookfast_core::ports::Admission;
use hookfast_core::{AppId, Clock, UnixMs};
use hookfast_engine::EngineConfig;
use std::sync::Arc;

fn app() -> AppId {
    AppId::from_u128(77)
}

fn set_rate(rig: &Rig, rate: Option<u16>) {
    rig.model.change_app(app(), AppThrottle { rate, as_of: rig.clock.now() });
}

/// So many endpoints of an application with this rate, as the store knows them.
fn sharing(rig: &Rig, rate: u16, count: usize) -> Vec<Arc<Endpoint>> {
    let made: Vec<_> = (0..count).map(|n| rig.endpoint_of(app(), &format!("shared{n}"), None).id).collect();
    set_rate(rig, Some(rate));
    made.iter().map(|id| rig.model.rows().endpoints[id].clone()).collect()
}

/// Tries of this endpoint that began within so many milliseconds from a time on.
fn tries(rig: &Rig, endpoint: &Endpoint, from: UnixMs, within_ms: u64) -> usize {
    let until = from.plus_ms(within_ms);
    rig.tries_of(endpoint).iter().filter(|(at, _)| (from..until).contains(at)).count()
}

fn all_tries(rig: &Rig, endpoints: &[Arc<Endpoint>], from: UnixMs, within_ms: u64) -> usize {
    endpoints.iter().map(|one| tries(rig, one, from, within_ms)).sum()
}

fn per_second(rig: &Rig, endpoints: &[Arc<Endpoint>], start: UnixMs, seconds: u64) -> Vec<usize> {
    (0..seconds).map(|second| all_tries(rig, endpoints, start.plus_ms(second * 1_000), 1_000)).collect()
}

#[tokio::test(start_paused = true)]
async fn endpoints_share_the_rate_of_their_application_equally_and_others_do_not_notice() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
    let (shared, other) = (sharing(&rig, 100, 5), rig.endpoint("other"));
    let start = rig.clock.now();
    for _ in 0..1_000 {
        rig.send(&shared);
        rig.send_one(&other);
        tokio::time::sleep(ms(5)).await;
        assert!(rig.dispatcher.is_open(), "waiting for a throttle is not lag");
    }
    let counts = per_second(&rig, &shared, start, 5);
    assert!(counts.iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    let each: Vec<_> = shared.iter().map(|one| tries(&rig, one, start, 5_000)).collect();
    assert!(each.iter().all(|count| (97..=103).contains(count)), "{each:?}");
    assert!(rig.lag_max(&other) <= 30, "{} ms", rig.lag_max(&other));
    assert!(rig.dispatcher.held() <= 80, "what waits for its rate waits in the queue: {}", rig.dispatcher.held());
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 6_000);
    assert!(shared.iter().all(|one| rig.tries_of(one).len() == 1_000), "each once");
}

#[tokio::test(start_paused = true)]
async fn rates_low_and_high_are_reached_together_and_never_exceeded() {
    for rate in [1, 7, 1_000, 3_000] {
        let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(1));
        let shared = sharing(&rig, rate, 5);
        let start = rig.clock.now();
        let every_ms = u64::from(2_500 / rate).max(1);
        for _ in 0..4_000 / every_ms + 1 {
            for _ in 0..rate.div_ceil(2_500) {
                rig.send(&shared);
            }
            tokio::time::sleep(ms(every_ms)).await;
        }
        let counts = per_second(&rig, &shared, start, 4);
        let (least, most) = (usize::from(rate) * 95 / 100, usize::from(rate) * 105 / 100 + 1);
        assert!(counts[1..].iter().all(|count| (least..=most).contains(count)), "{rate}/s: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_very_much_to_do_leaves_the_others_their_share() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
    let shared = sharing(&rig, 100, 5);
    let start = rig.clock.now();
    for n in 0..5_000 {
        rig.send_one(&shared[0]);
        if n % 100 == 0 {
            rig.send(&shared[1..]);
        }
        tokio::time::sleep(ms(1)).await;
    }
    let counts = per_second(&rig, &shared, start, 5);
    assert!(counts[1..].iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    for one in &shared[1..] {
        assert!(tries(&rig, one, start, 5_500) >= 48, "all of its 50: {}", tries(&rig, one, start, 5_500));
        assert!(rig.lag_max(one) <= 700, "{} ms", rig.lag_max(one));
    }
    assert!(tries(&rig, &shared[0], start, 5_000) >= 250, "and what they leave is used");
}

#[tokio::test(start_paused = true)]
async fn very_many_endpoints_have_their_turns_one_after_the_other_whatever_the_rate() {
    for (rate, endpoints, seconds) in [(300, 600, 4), (3, 60, 50)] {
        let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
        let shared = sharing(&rig, rate, endpoints);
        for _ in 0..4 {
            rig.send(&shared);
        }
        let start = rig.clock.now();
        tokio::time::sleep(ms(seconds * 1_000)).await;
        assert!(rig.dispatcher.held() <= 260, "{}", rig.dispatcher.held());
        let all = all_tries(&rig, &shared, start, seconds * 1_000);
        let expected = usize::from(rate) * seconds as usize;
        assert!((expected * 98 / 100..=expected * 102 / 100).contains(&all), "{all} of {expected}");
        let each = || shared.iter().map(|one| tries(&rig, one, start, seconds * 1_000));
        let (least, most) = (each().min().unwrap(), each().max().unwrap());
        assert!(least >= 1 && most - least <= 2, "{least} to {most} each");
        set_rate(&rig, None);
        rig.until_all_ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_throttle_holds_beside_that_of_its_application() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
    let shared = sharing(&rig, 100, 3);
    rig.model.change(shared[0].id, |endpoint| endpoint.throttle_rate = Some(10));
    rig.model.change(shared[1].id, |endpoint| endpoint.throttle_rate = Some(500));
    let shared: Vec<_> = shared.iter().map(|one| rig.model.rows().endpoints[&one.id].clone()).collect();
    let start = rig.clock.now();
    for _ in 0..1_000 {
        rig.send(&shared);
        tokio::time::sleep(ms(5)).await;
    }
    let counts = per_second(&rig, &shared, start, 5);
    assert!(counts[1..].iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    let own = per_second(&rig, &shared[..1], start, 5);
    assert!(own[1..].iter().all(|count| (9..=11).contains(count)), "{own:?}");
    for one in &shared[1..] {
        let count = tries(&rig, one, start, 5_000);
        assert!((215..=235).contains(&count), "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_comes_changes_and_goes_is_in_force_at_once_also_for_what_waits_in_memory() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(40));
    let shared: Vec<_> = (0..4).map(|n| rig.endpoint_of(app(), &n.to_string(), None)).collect();
    for _ in 0..1_500 {
        rig.send(&shared);
    }
    assert!(rig.dispatcher.held() > 4_000, "{}", rig.dispatcher.held());
    tokio::time::sleep(ms(10)).await;
    for rate in [50, 200, 1] {
        set_rate(&rig, Some(rate));
        let changed_at = rig.clock.now();
        tokio::time::sleep(ms(2_000)).await;
        let counts = per_second(&rig, &shared, changed_at, 2);
        let (least, most) = (usize::from(rate) * 95 / 100, usize::from(rate) * 105 / 100 + 2);
        assert!(counts.iter().all(|count| (least..=most).contains(count)), "{rate}/s: {counts:?}");
        assert!(rig.dispatcher.held() <= 120, "back in the queue: {}", rig.dispatcher.held());
    }
    set_rate(&rig, None);
    let start = tokio::time::Instant::now();
    rig.until_all_ended().await;
    assert!(start.elapsed() < ms(30_000), "{:?}", start.elapsed());
}

/// Neither what hangs nor what fails keeps its application from using the rate.
#[tokio::test(start_paused = true)]
async fn endpoints_that_hang_or_fail_do_not_hold_up_the_others_of_their_application() {
    let config = EngineConfig { retry: policy(&[5_000; 20]), in_flight_max: 100, ..EngineConfig::default() };
    let rig = Rig::start(config, |endpoint, _| match endpoint.url.as_str() {
        "http://shared0/" | "http://shared1/" => Act::Ok(25_000),
        "http://shared2/" | "http://shared3/" => Act::Fail(hookfast_core::delivery::Cause::Connect, 1),
        _ => Act::Ok(5),
    });
    let shared = sharing(&rig, 40, 6);
    for _ in 0..1_000 {
        rig.send(&shared);
    }
    let start = rig.clock.now();
    tokio::time::sleep(ms(20_000)).await;
    let counts = per_second(&rig, &shared, start, 20);
    assert!(counts[1..].iter().all(|count| (38..=42).contains(count)), "{counts:?}");
    let healthy = per_second(&rig, &shared[4..], start, 20);
    assert!(healthy[10..].iter().all(|count| *count >= 34), "{healthy:?}");
}

#[tokio::test(start_paused = true)]
async fn lanes_that_come_and_go_take_their_application_with_them() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
    let shared = sharing(&rig, 20, 3);
    for round in 0..2 {
        for _ in 0..10 {
            rig.send(&shared);
        }
        if round == 1 {
            rig.model.remove(shared[0].id);
        }
        rig.until_all_ended().await;
        tokio::time::sleep(ms(15_000)).await;
    }
    let start = rig.clock.now();
    for _ in 0..20 {
        rig.send(&shared[1..]);
    }
    tokio::time::sleep(ms(1_000)).await;
    let count = all_tries(&rig, &shared[1..], start, 1_000);
    assert!((19..=22).contains(&count), "{count}");
    rig.until_all_ended().await;
}
