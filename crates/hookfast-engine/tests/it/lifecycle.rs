//! The ordinary life of deliveries: from memory, from the queue, with retries, and through a drain.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::Disabled;
use hookfast_core::ports::HealthMark;
use hookfast_engine::EngineConfig;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn everything_is_delivered_from_memory_and_settled_once() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(2));
    let to: Vec<_> = (0..5).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..200 {
        rig.send(&to);
        tokio::time::sleep(ms(1)).await;
    }
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 1_000);
    let rows = rig.model.rows();
    assert_eq!((rows.settlements, rows.claims), (1_000, 0), "no row was needed");
    assert!(rows.attempts.iter().all(|attempt| attempt.number == 1 && attempt.cause == Cause::Ok));
    let mut registry = prometheus_client::registry::Registry::default();
    rig.dispatcher.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in ["attempts_total{cause=\"ok\"} 1000", "deliveries_ended_total{state=\"delivered\"} 1000", "stuck 0"] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_memory_slots_everything_goes_by_the_queue() {
    let rig = Rig::start(EngineConfig { memory_slots: 0, ..EngineConfig::default() }, |_, _| Act::Ok(2));
    let to: Vec<_> = (0..5).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..200 {
        rig.send(&to);
        tokio::time::sleep(ms(1)).await;
    }
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 1_000);
    assert!(to.iter().all(|endpoint| rig.lag_max(endpoint) < 200));
    assert!(rig.model.rows().claims > 0);
}

#[tokio::test(start_paused = true)]
async fn few_slots_bound_what_is_held_and_lose_nothing() {
    let config = EngineConfig { memory_slots: 10, memory_bytes_max: 64, claim_slots: 16, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(10));
    let to: Vec<_> = (0..4).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..500 {
        rig.send(&to);
        assert!(rig.dispatcher.held() <= 10 + 256, "{}", rig.dispatcher.held());
    }
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 2_000);
}

#[tokio::test(start_paused = true)]
async fn retries_happen_when_due_and_end_as_dead() {
    let config = EngineConfig { retry: policy(&[100, 400]), ..EngineConfig::default() };
    let rig = Rig::start(config, |endpoint, count| match (endpoint.url.as_str(), count) {
        ("http://flaky/", 3..) => Act::Ok(1),
        _ => Act::Fail(Cause::Status, 1),
    });
    let (flaky, down) = (rig.endpoint("flaky"), rig.endpoint("down"));
    rig.send(&[flaky.clone(), down.clone()]);
    rig.until_all_ended().await;
    for endpoint in [&flaky, &down] {
        let at: Vec<_> = rig.tries_of(endpoint).iter().map(|(at, _)| *at).collect();
        let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert_eq!(gaps.len(), 2);
        assert!((101..=110).contains(&gaps[0]) && (401..=410).contains(&gaps[1]), "{gaps:?}");
    }
    assert_eq!((rig.ended(DeliveryState::Delivered), rig.ended(DeliveryState::Dead)), (1, 1));
    let rows = rig.model.rows();
    let numbers: Vec<_> = rows.attempts.iter().filter(|one| one.endpoint == down.id).map(|one| one.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_to_wait_is_waited_for() {
    let config = EngineConfig { retry: policy(&[10]), ..EngineConfig::default() };
    let rig = Rig::start(config, |_, count| if count == 1 { Act::Busy { retry_after_ms: 7_000 } } else { Act::Ok(1) });
    let endpoint = rig.endpoint("busy");
    rig.send_one(&endpoint);
    rig.until_all_ended().await;
    let tries = rig.tries_of(&endpoint);
    assert!((7_000..7_020).contains(&tries[1].0.since(tries[0].0)));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_queue_at_start_is_found() {
    let mut rig = Rig::prepare(EngineConfig::default(), |_, _| Act::Ok(1));
    let to: Vec<_> = (0..300).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..3 {
        rig.send(&to);
    }
    assert_eq!(rig.model.rows().rows.len(), 900, "nothing has a slot before the engine runs");
    rig.run();
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 900);
}

#[tokio::test(start_paused = true)]
async fn gone_disables_and_enabling_resumes() {
    let rig = Rig::start(EngineConfig { retry: policy(&[1_000]), ..EngineConfig::default() }, |_, _| {
        Act::Fail(Cause::Gone, 1)
    });
    let endpoint = rig.endpoint("gone");
    for _ in 0..20 {
        rig.send_one(&endpoint);
    }
    rig.until("disabled", |rig| rig.model.rows().endpoints[&endpoint.id].disabled.is_some()).await;
    assert_eq!(rig.model.rows().marks, [HealthMark::Disable(endpoint.id, Disabled::Gone)]);
    rig.until("given back", |rig| rig.dispatcher.held() == 0).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(rig.tries_of(&endpoint).len() <= 2, "only what was in flight");
    rig.check();
    rig.script(|_, _| Act::Ok(1));
    rig.model.change(endpoint.id, |endpoint| endpoint.disabled = None);
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 20);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_in_force_from_the_next_try_on() {
    let rig = Rig::start(EngineConfig { retry: policy(&[50; 40]), ..EngineConfig::default() }, |endpoint, _| {
        if endpoint.url == "http://new/" { Act::Ok(1) } else { Act::Fail(Cause::Connect, 1) }
    });
    let endpoint = rig.endpoint("old");
    rig.send_one(&endpoint);
    rig.until("tried", |rig| rig.tries_of(&endpoint).len() > 2).await;
    rig.model.change(endpoint.id, |endpoint| endpoint.url = "http://new/".into());
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_cancels_what_waits_for_it() {
    let rig = Rig::start(EngineConfig { retry: policy(&[100]), ..EngineConfig::default() }, |_, _| {
        Act::Fail(Cause::Status, 500)
    });
    let endpoint = rig.endpoint("removed");
    for _ in 0..50 {
        rig.send_one(&endpoint);
    }
    tokio::time::sleep(ms(100)).await;
    rig.model.remove(endpoint.id);
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Cancelled), 50);
    assert_eq!(rig.model.rows().attempts.len(), 2, "the tries in flight are kept");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_payload_ends_without_a_try() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(1));
    let endpoint = rig.endpoint("empty");
    let event = rig.send_body(std::slice::from_ref(&endpoint), None);
    rig.until_all_ended().await;
    let ends = rig.model.rows().ends.clone();
    assert!(ends.iter().all(|(key, end)| key.event == event && *end == (DeliveryState::Dead, Cause::PayloadDeleted)));
    assert!(rig.tries_of(&endpoint).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_tries_end_and_gives_the_rest_back() {
    let mut rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(300));
    let to: Vec<_> = (0..10).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..100 {
        rig.send(&to);
    }
    tokio::time::sleep(ms(100)).await;
    let engine = rig.engine.take().unwrap();
    let left = engine.drain(Duration::from_secs(30)).await;
    assert_eq!((left.cut_off, left.unsettled), (0, 0));
    rig.check();
    let rows = rig.model.rows();
    assert!(rows.held.is_empty() && rig.dispatcher.held() == 0);
    assert_eq!(rows.ends.len(), 20, "two in flight for each of ten");
    assert_eq!(rows.rows.len(), 980);
    assert!(rows.rows.values().all(|row| row.delivery.tries == 0 && row.delivery.crashes == 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_off_what_hangs_at_its_deadline() {
    let mut rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(3_600_000));
    let endpoint = rig.endpoint("hangs");
    for _ in 0..10 {
        rig.send_one(&endpoint);
    }
    tokio::time::sleep(ms(10)).await;
    let start = tokio::time::Instant::now();
    let left = rig.engine.take().unwrap().drain(Duration::from_secs(2)).await;
    assert_eq!((left.cut_off, left.unsettled), (2, 0));
    assert!(start.elapsed() < Duration::from_millis(2_100));
    rig.check();
    let rows = rig.model.rows();
    assert_eq!((rows.rows.len(), rows.held.len()), (10, 0));
    assert!(rows.rows.values().all(|row| row.delivery.crashes == 0));
}
