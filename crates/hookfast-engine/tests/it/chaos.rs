//! Everything at once, by seed: whatever happens, each delivery is settled once per hold and none is lost.

use crate::rig::{Act, Rig, ms, policy};
use hookfast_core::AppId;
use hookfast_core::Clock;
use hookfast_core::delivery::Cause;
use hookfast_core::model::{AppThrottle, Disabled};
use hookfast_engine::EngineConfig;
use std::sync::Mutex;
use std::time::Duration;

fn config(seed: u64) -> EngineConfig {
    EngineConfig {
        retry: policy(&[50, 200, 1_000]),
        memory_slots: [0, 20, 50_000][seed as usize % 3],
        claim_slots: if seed.is_multiple_of(2) { 8 } else { 4_096 },
        in_flight_max: [3, 64, 1_024][seed as usize / 3 % 3],
        slow_in_flight_max: if seed.is_multiple_of(5) { 1 } else { 64 },
        spill_after_ms: 2_000,
        ..EngineConfig::default()
    }
}

fn act(chance: u64) -> Act {
    match chance % 20 {
        0..10 => Act::Ok(chance % 30),
        10..13 => Act::Fail(Cause::Status, 3),
        13 => Act::Fail(Cause::Timeout, 1_500),
        14 => Act::Fail(Cause::Connect, 1),
        15 => Act::Busy { retry_after_ms: 20 },
        16 => Act::Panic,
        17 if chance.is_multiple_of(7) => Act::Fail(Cause::Gone, 1),
        _ => Act::Ok(0),
    }
}

/// What all endpoints share here. Their senders never hear of it: they go on with what they once read.
fn set_app_rate(rig: &Rig, rate: Option<u16>) {
    rig.model.change_app(AppId::from_u128(1), AppThrottle { rate, as_of: rig.clock.now() });
}

async fn run(seed: u64, drain_after: Option<u32>) {
    let dice = Mutex::new(fastrand::Rng::with_seed(seed));
    let mut rig = Rig::start(config(seed), move |_, _| act(dice.lock().unwrap().u64(..)));
    let mut dice = fastrand::Rng::with_seed(seed + 1_000);
    let mut live: Vec<_> = (0..12).map(|n| rig.endpoint(&n.to_string())).collect();
    for round in 0..400 {
        let from = dice.usize(0..live.len());
        rig.send(&live[from..]);
        let id = live[from].id;
        match dice.u32(0..60) {
            0 if live.len() > 4 => {
                live.swap_remove(from);
                rig.model.remove(id);
            }
            1 => rig.model.change(id, |endpoint| endpoint.disabled = Some(Disabled::ByOwner)),
            2..6 => rig.model.change(id, |endpoint| endpoint.disabled = None),
            6 => rig.model.freeze(true),
            7..12 => rig.model.freeze(false),
            12..15 => set_app_rate(&rig, [None, Some(2), Some(150), Some(5_000)][dice.usize(0..4)]),
            15 => rig.model.change(id, |endpoint| endpoint.throttle_rate = [None, Some(90)][dice.usize(0..2)]),
            _ => {}
        }
        tokio::time::sleep(ms(dice.u64(0..15))).await;
        if drain_after == Some(round) {
            rig.model.freeze(false);
            let left = rig.engine.take().unwrap().drain(Duration::from_millis(dice.u64(0..3_000))).await;
            assert_eq!(left.unsettled, 0);
            assert!(rig.model.rows().held.is_empty());
            rig.check();
            return;
        }
    }
    rig.model.freeze(false);
    set_app_rate(&rig, None);
    // Endpoints that were disabled, also by a late 410, are enabled until nothing waits any more.
    for _ in 0..600 {
        for endpoint in &live {
            if rig.model.rows().endpoints[&endpoint.id].disabled.is_some() {
                rig.model.change(endpoint.id, |endpoint| endpoint.disabled = None);
            }
        }
        tokio::time::sleep(ms(500)).await;
        if rig.model.rows().ends.len() == rig.committed.lock().unwrap().len() {
            break;
        }
    }
    rig.until_all_ended().await;
    assert_eq!(rig.dispatcher.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_each_delivery_ends_once() {
    quiet_panics();
    for seed in 0..9 {
        run(seed, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_at_any_moment_leaves_everything_durable() {
    quiet_panics();
    for seed in 100..118 {
        run(seed, Some((seed as u32 * 37) % 400)).await;
    }
}

/// The scripted panics are expected: their messages would bury the others.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"scripted") {
            usual(info);
        }
    }));
}
