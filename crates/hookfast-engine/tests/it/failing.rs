//! Endpoints that fail: they are paced, not stopped, and what they hold in memory is small.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::Disabled;
use hookfast_core::ports::HealthMark;
use hookfast_engine::EngineConfig;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_tried_one_at_a_time_and_ever_more_slowly() {
    let config = EngineConfig { retry: policy(&[60_000; 10]), ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Fail(Cause::Connect, 1));
    let endpoint = rig.endpoint("down");
    for _ in 0..2_000 {
        rig.send_one(&endpoint);
        tokio::time::sleep(ms(5)).await;
    }
    let before = rig.tries_of(&endpoint).len();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let tries = rig.tries_of(&endpoint);
    assert!((18..=21).contains(&(tries.len() - before)), "about one a second: {}", tries.len() - before);
    assert!(rig.dispatcher.held() <= 6, "held {}", rig.dispatcher.held());
    let marks = rig.model.rows().marks.clone();
    assert!(matches!(marks[..], [HealthMark::FailingSince(id, _)] if id == endpoint.id), "{marks:?}");
    rig.check();
    // It comes back: all of it is delivered, and faster than it was tried before.
    rig.script(|_, _| Act::Ok(1));
    let back = tokio::time::Instant::now();
    rig.until_all_ended().await;
    assert!(back.elapsed() < Duration::from_secs(90), "{:?}", back.elapsed());
    assert_eq!(rig.model.rows().marks.last(), Some(&HealthMark::Recovered(endpoint.id)));
}

#[tokio::test(start_paused = true)]
async fn a_short_schedule_is_never_held_up_and_no_try_is_spent_by_waiting() {
    let config = EngineConfig { retry: policy(&[100, 100, 100]), ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Fail(Cause::Timeout, 1));
    let endpoint = rig.endpoint("down");
    for _ in 0..5 {
        rig.send_one(&endpoint);
    }
    let start = tokio::time::Instant::now();
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Dead), 5);
    assert_eq!(rig.tries_of(&endpoint).len(), 20);
    assert!(start.elapsed() < ms(700), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_but_failures_for_too_long_disables_it() {
    let config = EngineConfig { retry: policy(&[1_000; 40]), disable_after_ms: 10_000, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Fail(Cause::Status, 1));
    let endpoint = rig.endpoint("down");
    rig.send_one(&endpoint);
    rig.until("disabled", |rig| rig.model.rows().endpoints[&endpoint.id].disabled == Some(Disabled::Failing)).await;
    let marks = rig.model.rows().marks.clone();
    assert!(matches!(marks[..], [HealthMark::FailingSince(..), HealthMark::Disable(_, Disabled::Failing)]));
    assert!((11..=13).contains(&rig.tries_of(&endpoint).len()));
}

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_in_memory_becomes_rows() {
    let rig = Rig::start(EngineConfig { spill_after_ms: 5_000, ..EngineConfig::default() }, |_, _| Act::Ok(4_000));
    let endpoint = rig.endpoint("slow");
    for _ in 0..30 {
        rig.send_one(&endpoint);
    }
    assert!(rig.model.rows().rows.is_empty());
    tokio::time::sleep(ms(6_000)).await;
    let untried = {
        let rows = rig.model.rows();
        rows.rows.values().filter(|row| row.delivery.tries == 0).count()
    };
    assert!(untried >= 20, "{untried}");
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 30);
    assert_eq!(rig.tries_of(&endpoint).len(), 30, "none was sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_gets_few_slots() {
    let rig = Rig::start(EngineConfig { retry: policy(&[60_000]), ..EngineConfig::default() }, |_, _| {
        Act::Fail(Cause::Connect, 1)
    });
    let endpoint = rig.endpoint("down");
    for _ in 0..4 {
        rig.send_one(&endpoint);
    }
    rig.until("failed", |rig| rig.model.rows().rows.len() == 4).await;
    for _ in 0..20 {
        rig.send_one(&endpoint);
    }
    assert!(rig.dispatcher.held() <= 5, "{}", rig.dispatcher.held());
}
