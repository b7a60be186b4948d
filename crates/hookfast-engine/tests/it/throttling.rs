//! Throttled endpoints: their rate is kept and used, and nobody else feels it.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::Endpoint;
use hookfast_core::ports::Admission;
use hookfast_core::{Clock, UnixMs};
use hookfast_engine::EngineConfig;
use std::sync::Arc;

/// An endpoint with a throttle, already known to the engine.
fn throttled(rig: &Rig, name: &str, per_s: u16) -> Arc<Endpoint> {
    let id = rig.endpoint(name).id;
    set_rate(rig, id, Some(per_s))
}

fn set_rate(rig: &Rig, id: hookfast_core::EndpointId, per_s: Option<u16>) -> Arc<Endpoint> {
    rig.model.change(id, |endpoint| endpoint.throttle_rate = per_s);
    rig.model.rows().endpoints[&id].clone()
}

/// Tries that began in each second after `start`.
fn per_second(rig: &Rig, endpoint: &Endpoint, start: UnixMs, seconds: u64) -> Vec<usize> {
    let tries = rig.tries_of(endpoint);
    let within = |second: u64| {
        let from = start.plus_ms(second * 1_000);
        tries.iter().filter(|(at, _)| *at >= from && *at < from.plus_ms(1_000)).count()
    };
    (0..seconds).map(within).collect()
}

#[tokio::test(start_paused = true)]
async fn a_throttle_under_ten_times_its_rate_is_kept_and_used_in_every_second_and_others_do_not_notice() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(5));
    let (slow, other) = (throttled(&rig, "slow", 100), rig.endpoint("other"));
    let start = rig.clock.now();
    for _ in 0..5_000 {
        rig.send(&[slow.clone(), other.clone()]);
        tokio::time::sleep(ms(1)).await;
        assert!(rig.dispatcher.is_open(), "waiting for a throttle is not lag");
    }
    let counts = per_second(&rig, &slow, start, 5);
    assert!(counts[1..].iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    assert!(counts[0] <= 105, "{counts:?}");
    assert!(rig.lag_max(&other) <= 30, "{} ms", rig.lag_max(&other));
    assert!(rig.dispatcher.held() <= 40, "what waits for its rate waits in the queue: {}", rig.dispatcher.held());
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 10_000);
    assert_eq!(rig.tries_of(&slow).len(), 5_000, "each once");
}

#[tokio::test(start_paused = true)]
async fn rates_low_and_high_are_reached_and_never_exceeded() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(1));
    let rates = [1, 7, 100, 1_000, 3_000];
    let endpoints: Vec<_> = rates.iter().map(|per_s| throttled(&rig, &per_s.to_string(), *per_s)).collect();
    let start = rig.clock.now();
    for _ in 0..4_000 {
        for (endpoint, per_s) in endpoints.iter().zip(rates) {
            for _ in 0..per_s.div_ceil(500) {
                rig.send_one(endpoint);
            }
        }
        tokio::time::sleep(ms(1)).await;
    }
    for (endpoint, per_s) in endpoints.iter().zip(rates) {
        let counts = per_second(&rig, endpoint, start, 4);
        let (least, most) = (usize::from(per_s) * 95 / 100, usize::from(per_s) * 105 / 100 + 1);
        assert!(counts[1..].iter().all(|count| (least..=most).contains(count)), "{per_s}/s: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_rate_is_in_force_at_once() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(2));
    let endpoint = throttled(&rig, "one", 1);
    for _ in 0..1_000 {
        rig.send_one(&endpoint);
    }
    tokio::time::sleep(ms(3_000)).await;
    let before = rig.tries_of(&endpoint).len();
    assert!((3..=4).contains(&before), "{before}");
    let changed_at = rig.clock.now();
    set_rate(&rig, endpoint.id, Some(200));
    tokio::time::sleep(ms(1_000)).await;
    let fast = per_second(&rig, &endpoint, changed_at, 1)[0];
    assert!((190..=210).contains(&fast), "{fast}");
    set_rate(&rig, endpoint.id, Some(10));
    let changed_at = rig.clock.now();
    tokio::time::sleep(ms(1_000)).await;
    let slow = per_second(&rig, &endpoint, changed_at, 1)[0];
    assert!((9..=12).contains(&slow), "{slow}");
    let start = tokio::time::Instant::now();
    set_rate(&rig, endpoint.id, None);
    rig.until_all_ended().await;
    assert!(start.elapsed() < ms(3_000), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn very_many_throttled_endpoints_leave_claims_to_the_others() {
    let config = EngineConfig { claim_slots: 256, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(1));
    let slow: Vec<_> = (0..300).map(|n| throttled(&rig, &format!("slow{n}"), 1)).collect();
    for _ in 0..5 {
        rig.send(&slow);
    }
    tokio::time::sleep(ms(2_500)).await;
    // Its rows come to be claimed like everybody's.
    let quick = throttled(&rig, "quick", 1_000);
    for _ in 0..50 {
        rig.send_one(&quick);
        tokio::time::sleep(ms(20)).await;
    }
    assert!(rig.lag_max(&quick) <= 100, "{} ms", rig.lag_max(&quick));
    rig.until_all_ended().await;
}

#[tokio::test(start_paused = true)]
async fn retries_keep_to_the_throttle_too() {
    let config = EngineConfig { retry: policy(&[100; 20]), ..EngineConfig::default() };
    let rig = Rig::start(config, |_, count| if count % 2 == 0 { Act::Fail(Cause::Status, 1) } else { Act::Ok(1) });
    let endpoint = throttled(&rig, "one", 50);
    let start = rig.clock.now();
    for _ in 0..400 {
        rig.send_one(&endpoint);
    }
    tokio::time::sleep(ms(5_000)).await;
    let counts = per_second(&rig, &endpoint, start, 5);
    assert!(counts[1..].iter().all(|count| (47..=53).contains(count)), "{counts:?}");
    rig.until_all_ended().await;
}
