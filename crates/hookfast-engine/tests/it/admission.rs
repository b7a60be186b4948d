//! Accepting slows down to the pace of deliveries, and only for those that this node holds up.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::Cause;
use hookfast_core::ports::Admission;
use hookfast_engine::EngineConfig;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_lag_closes_the_gate_and_the_pace_lets_callers_in() {
    let config = EngineConfig { in_flight_per_endpoint_max: 4, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(4));
    let endpoint = rig.endpoint("prompt");
    let start = tokio::time::Instant::now();
    for _ in 0..10_000 {
        if !rig.dispatcher.is_open() {
            rig.dispatcher.admit().await.unwrap();
        }
        rig.send_one(&endpoint);
    }
    // 1,000 a second is what the endpoint's limit allows: the callers were held to it, but for what may wait.
    assert!((7..=12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    rig.until_all_ended().await;
    rig.until("open", |rig| rig.dispatcher.is_open()).await;
    assert!(rig.lag_max(&endpoint) < 2_500, "{}", rig.lag_max(&endpoint));
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_too_long_are_refused_with_a_time() {
    let config = EngineConfig { admission_wait_ms: 200, in_flight_per_endpoint_max: 1, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(40));
    let endpoint = rig.endpoint("one");
    rig.send_one(&endpoint);
    rig.until_all_ended().await;
    for _ in 0..2_000 {
        rig.send_one(&endpoint);
    }
    assert!(!rig.dispatcher.is_open());
    let error = rig.dispatcher.admit().await.unwrap_err();
    assert!(matches!(error, hookfast_core::Error::Overloaded { retry_after_ms: 1_000.., .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_fail_or_are_slow_never_close_it() {
    let config = EngineConfig { retry: policy(&[10_000; 3]), ..EngineConfig::default() };
    let rig = Rig::start(config, |endpoint, _| match endpoint.url.as_str() {
        "http://down/" => Act::Fail(Cause::Connect, 1),
        "http://hangs/" => Act::Fail(Cause::Timeout, 15_000),
        "http://slow/" => Act::Ok(400),
        _ => Act::Ok(1),
    });
    let to: Vec<_> = ["down", "hangs", "slow", "prompt"].map(|name| rig.endpoint(name)).into();
    for round in 0..5_000 {
        rig.send(&to);
        tokio::time::sleep(ms(2)).await;
        assert!(rig.dispatcher.is_open(), "in round {round}");
    }
    assert!(rig.lag_max(&to[3]) < 50, "{}", rig.lag_max(&to[3]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.check();
}
