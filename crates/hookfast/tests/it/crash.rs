//! SIGKILL at random moments, SIGTERM in the middle, a frozen process whose directory was taken over: nothing that was
//! acknowledged is lost, and repeats stay within their bound.

use crate::rig::{Rig, assert_intact, seeded, torture};
use hookfast_lab::receiver::Behaviour;
use std::time::{Duration, Instant};

/// Kills in the ordinary test command.
const KILLS: usize = 12;

async fn kill_loop(env: &[(&str, &str)]) {
    let mut random = seeded();
    let mut rig = Rig::start(&[Behaviour::Ok, Behaviour::FailShare(0.2)], env).await;
    let started = Instant::now();
    let load = rig.load(16);
    let mut kills = 0;
    while torture().map_or(kills < KILLS, |limit| started.elapsed() < limit) {
        load.reach(load.progress.counts().accepted + 1 + random.u64(..200)).await;
        // Anywhere between two events, also in the first moments of a life.
        tokio::time::sleep(Duration::from_micros(random.u64(..300_000))).await;
        rig.kill_and_restart().await;
        kills += 1;
    }
    load.reach(load.progress.counts().accepted + 50).await;
    let report = load.stop().await;
    assert_eq!(report.gave_up, None);
    rig.assert_sound(&report).await;
    assert!(rig.terminate().await.success());
    assert_intact(&rig.config.data_dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged() {
    kill_loop(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged_without_memory_slots() {
    kill_loop(&[("HOOKFAST_DELIVERY__MEMORY_SLOTS", "0")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_nothing_is_repeated() {
    let mut rig = Rig::start(&[Behaviour::Ok, Behaviour::FailFirst(1)], &[]).await;
    let load = rig.load(32);
    load.reach(3_000).await;
    let report = load.stop().await;
    rig.assert_sound(&report).await;
    assert_eq!(rig.judge(&report).await.0.repeats.len(), 0);
    assert!(rig.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_what_was_not_sent_is_sent_after_the_restart() {
    let mut rig = Rig::start(&[Behaviour::Delay(20)], &[]).await;
    let load = rig.load(64);
    load.reach(2_000).await;
    assert!(rig.terminate().await.success(), "SIGTERM must end with exit code 0");
    rig.restart().await;
    load.reach(load.progress.counts().accepted + 100).await;
    let report = load.stop().await;
    // A drain is no kill: no repeat is allowed at all.
    rig.assert_sound(&report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_directory_was_taken_over_ends_itself() {
    let mut rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let load = rig.load(8);
    load.reach(200).await;
    let report = load.stop().await;
    // What it had in flight when it was frozen is sent again by the second one.
    let from_us = rig.clock.now_us();
    let second = rig.freeze_and_take_over().await;
    rig.server().resume().unwrap();
    let status = rig.ended(from_us).await;
    assert!(!status.success(), "a fenced process must not end with success");
    assert!(second.terminate(40_000).await.unwrap().success());
    rig.restart().await;
    rig.assert_sound(&report).await;
}
