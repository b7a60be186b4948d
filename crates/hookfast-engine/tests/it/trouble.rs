//! Panics, a store that stops answering, and claims that fail.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::limits::CRASHES_MAX;
use hookfast_engine::{EngineConfig, EnginePorts, Error};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_panicking_try_harms_neither_the_engine_nor_its_neighbours() {
    let rig = Rig::start(
        EngineConfig::default(),
        |endpoint, _| {
            if endpoint.url == "http://bad/" { Act::Panic } else { Act::Ok(1) }
        },
    );
    let (bad, good) = (rig.endpoint("bad"), rig.endpoint("good"));
    for _ in 0..20 {
        rig.send(&[bad.clone(), good.clone()]);
    }
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 20);
    let rows = rig.model.rows();
    let crashed = rows.ends.values().filter(|end| **end == (DeliveryState::Dead, Cause::Crashed)).count();
    assert_eq!(crashed, 20);
    drop(rows);
    assert_eq!(rig.tries_of(&bad).len(), 20 * CRASHES_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn no_try_starts_while_the_store_confirms_nothing() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(10));
    let to: Vec<_> = (0..4).map(|n| rig.endpoint(&n.to_string())).collect();
    rig.send(&to);
    rig.until_all_ended().await;
    rig.model.freeze(true);
    for _ in 0..3_000 {
        rig.send(&to[..1]);
        tokio::time::sleep(ms(1)).await;
    }
    let tried = rig.tries_of(&to[0]).len();
    assert!(tried < 1_500, "{tried}: it stops after a second");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.tries_of(&to[0]).len(), tried);
    rig.check();
    rig.model.freeze(false);
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 3_004);
    assert_eq!(rig.tries_of(&to[0]).len(), 3_001, "each once");
}

#[tokio::test(start_paused = true)]
async fn no_try_starts_while_the_node_may_have_been_taken_for_dead() {
    let rig = Rig::start(EngineConfig::default(), |_, _| Act::Ok(10));
    let to: Vec<_> = (0..4).map(|n| rig.endpoint(&n.to_string())).collect();
    rig.send(&to);
    rig.until_all_ended().await;
    rig.model.rows().is_unsure = true;
    for _ in 0..100 {
        rig.send(&to);
        tokio::time::sleep(ms(10)).await;
    }
    assert!(to.iter().all(|endpoint| rig.tries_of(endpoint).len() == 1));
    rig.check();
    rig.model.rows().is_unsure = false;
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 404);
    assert!(to.iter().all(|endpoint| rig.tries_of(endpoint).len() == 101), "each once");
}

#[tokio::test(start_paused = true)]
async fn failing_claims_are_tried_again_more_slowly() {
    let rig = Rig::start(EngineConfig { memory_slots: 0, ..EngineConfig::default() }, |_, _| Act::Ok(1));
    let endpoint = rig.endpoint("one");
    rig.model.rows().claims_fail = true;
    rig.send_one(&endpoint);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let claims = rig.model.rows().claims;
    assert!((5..40).contains(&claims), "{claims}");
    rig.model.rows().claims_fail = false;
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_serves_one_engine() {
    let rig = Rig::start(EngineConfig { retry: policy(&[1]), ..EngineConfig::default() }, |_, _| Act::Ok(1));
    let ports = EnginePorts { queue: rig.model.clone(), sink: rig.sink.clone(), ids: std::sync::Arc::default() };
    let second = hookfast_engine::Engine::start(rig.dispatcher, ports, &tokio::runtime::Handle::current());
    assert_eq!(second.err(), Some(Error::AlreadyStarted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_and_a_writer_outside_the_runtime_lose_nothing() {
    let config = EngineConfig { memory_slots: 2_000, retry: policy(&[1, 1, 1, 1, 1, 1]), ..EngineConfig::default() };
    let rig = std::sync::Arc::new(Rig::start(config, |endpoint, count| match count % 50 {
        0 if endpoint.url.ends_with("1/") => Act::Fail(Cause::Status, 0),
        1 => Act::Ok(1),
        _ => Act::Ok(0),
    }));
    let to: Vec<_> = (0..8).map(|n| rig.endpoint(&n.to_string())).collect();
    let writers = [0, 1].map(|_| {
        let (rig, to) = (rig.clone(), to.clone());
        std::thread::spawn(move || (0..2_000).for_each(|n| assert!(rig.send(&to[n % 8..]).high() > 0)))
    });
    for writer in writers {
        writer.join().unwrap();
    }
    rig.until_all_ended().await;
    assert_eq!(rig.ended(DeliveryState::Delivered), rig.committed.lock().unwrap().len());
}
