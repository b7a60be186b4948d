//! Nothing waits for one endpoint on behalf of another.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::Cause;
use hookfast_core::ports::Admission;
use hookfast_engine::EngineConfig;

#[tokio::test(start_paused = true)]
async fn hanging_endpoints_do_not_delay_healthy_ones() {
    let config = EngineConfig { retry: policy(&[5_000; 9]), ..EngineConfig::default() };
    let rig =
        Rig::start(
            config,
            |endpoint, _| {
                if endpoint.url.contains("hang") { Act::Fail(Cause::Timeout, 15_000) } else { Act::Ok(5) }
            },
        );
    let healthy: Vec<_> = (0..10).map(|n| rig.endpoint(&format!("ok{n}"))).collect();
    let hanging: Vec<_> = (0..10).map(|n| rig.endpoint(&format!("hang{n}"))).collect();
    for _ in 0..3_000 {
        rig.send(&healthy[..1]);
        rig.send(&hanging[..1]);
        rig.send(&healthy[1..]);
        rig.send(&hanging[1..]);
        tokio::time::sleep(ms(10)).await;
    }
    let worst = healthy.iter().map(|endpoint| rig.lag_max(endpoint)).max().unwrap();
    assert!(worst <= 30, "{worst} ms");
    assert!(hanging.iter().all(|endpoint| rig.in_flight_max(endpoint) <= 2));
    assert!(rig.dispatcher.is_open());
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn more_hanging_endpoints_than_permits_leave_some_for_those_that_answer() {
    let config = EngineConfig {
        in_flight_max: 16,
        slow_in_flight_max: 16,
        retry: policy(&[1_000; 9]),
        ..EngineConfig::default()
    };
    let rig =
        Rig::start(
            config,
            |endpoint, _| {
                if endpoint.url.contains("hang") { Act::Fail(Cause::Timeout, 15_000) } else { Act::Ok(5) }
            },
        );
    let healthy = rig.endpoint("ok");
    rig.send_one(&healthy);
    tokio::time::sleep(ms(100)).await;
    let hanging: Vec<_> = (0..200).map(|n| rig.endpoint(&format!("hang{n}"))).collect();
    rig.send(&hanging);
    for _ in 0..2_000 {
        rig.send_one(&healthy);
        tokio::time::sleep(ms(10)).await;
    }
    assert!(rig.lag_max(&healthy) <= 30, "{} ms", rig.lag_max(&healthy));
    assert!(rig.sink.seen.lock().unwrap().total_max <= 32);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_an_endpoint_is_reached_and_never_exceeded() {
    let config = EngineConfig { in_flight_per_endpoint_max: 8, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(20));
    let endpoint = rig.endpoint("one");
    for _ in 0..2_000 {
        rig.send_one(&endpoint);
    }
    rig.until_all_ended().await;
    assert_eq!(rig.in_flight_max(&endpoint), 8);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_endpoint_gets_fewer_tries_at_once() {
    let config = EngineConfig { retry: policy(&[10_000]), ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(20));
    let endpoint = rig.endpoint("one");
    for _ in 0..1_000 {
        rig.send_one(&endpoint);
    }
    rig.until_all_ended().await;
    let reached = rig.in_flight_max(&endpoint);
    assert!(reached >= 20, "{reached}");
    rig.script(|_, count| if count % 8 == 0 { Act::Busy { retry_after_ms: 1 } } else { Act::Ok(20) });
    for _ in 0..4_000 {
        rig.send_one(&endpoint);
    }
    tokio::time::sleep(ms(500)).await;
    rig.sink.seen.lock().unwrap().in_flight_max.clear();
    tokio::time::sleep(ms(500)).await;
    let held_to = rig.in_flight_max(&endpoint);
    assert!((1..reached / 2).contains(&held_to), "{held_to} of {reached}");
    rig.script(|_, _| Act::Ok(20));
    rig.until_all_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_one_endpoint_does_not_starve_another() {
    let config = EngineConfig { in_flight_max: 4, slow_in_flight_max: 4, ..EngineConfig::default() };
    let rig = Rig::start(config, |_, _| Act::Ok(10));
    let (busy, quiet) = (rig.endpoint("busy"), rig.endpoint("quiet"));
    rig.send(&[busy.clone(), quiet.clone()]);
    for _ in 0..5_000 {
        rig.send_one(&busy);
    }
    for _ in 0..100 {
        rig.send_one(&quiet);
        tokio::time::sleep(ms(25)).await;
    }
    assert!(rig.lag_max(&quiet) <= 60, "{} ms", rig.lag_max(&quiet));
    rig.until_all_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_rows_does_not_starve_those_that_are_due_later() {
    let config = EngineConfig { memory_slots: 0, claim_rows_max: 16, ..EngineConfig::default() };
    let mut rig = Rig::prepare(config, |_, _| Act::Ok(0));
    let backlogs: Vec<_> = (0..100).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..40 {
        rig.send(&backlogs);
    }
    tokio::time::sleep(ms(1_000)).await;
    rig.run();
    tokio::time::sleep(ms(50)).await;
    let quiet = rig.endpoint("quiet");
    rig.send_one(&quiet);
    rig.until("delivered", |rig| rig.lag_max(&quiet) > 0).await;
    assert!(rig.model.rows().rows.len() > 1_000, "the backlog is still there");
    assert!(rig.lag_max(&quiet) < 100, "{} ms", rig.lag_max(&quiet));
    rig.until_all_ended().await;
}

#[tokio::test(start_paused = true)]
async fn lanes_with_a_backlog_take_turns() {
    let rig = Rig::start(EngineConfig { in_flight_max: 2, ..EngineConfig::default() }, |_, _| Act::Ok(5));
    let to: Vec<_> = (0..8).map(|n| rig.endpoint(&n.to_string())).collect();
    for _ in 0..200 {
        rig.send(&to);
    }
    tokio::time::sleep(ms(1_000)).await;
    let counts: Vec<_> = to.iter().map(|endpoint| rig.tries_of(endpoint).len()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 6 && *least > 30, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_comes_while_its_endpoint_is_claimed_for_is_not_overlooked() {
    let rig = Rig::start(EngineConfig { memory_slots: 0, ..EngineConfig::default() }, |_, _| Act::Ok(0));
    let endpoint = rig.endpoint("one");
    for gap in 0..8 {
        rig.send_one(&endpoint);
        tokio::time::sleep(ms(gap)).await;
        rig.send_one(&endpoint);
        rig.until_all_ended().await;
    }
    assert!(rig.lag_max(&endpoint) < 50, "{} ms", rig.lag_max(&endpoint));
}
