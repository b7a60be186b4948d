//! Only with the feature `failpoints`: death at named points, and planted bugs that the judge must catch. A planted
//! bug that passes is a hole in the rig.

use crate::rig::{Rig, assert_intact, until};
use hookfast_lab::receiver::Behaviour;
use std::time::Duration;

/// Dies at the point's n-th arrival, comes back without it, and must be sound.
async fn die_at(point: &str, nth: u32) {
    let mut rig = Rig::start(&[Behaviour::Ok, Behaviour::FailFirst(1)], &[]).await;
    rig.terminate().await;
    let plain = rig.config.clone();
    rig.config.env.push(("HOOKFAST_FAILPOINT".into(), format!("{point}:{nth}")));
    let from_us = rig.clock.now_us();
    rig.restart().await;
    let load = rig.load(16);
    let status = rig.ended(from_us).await;
    assert!(!status.success(), "{point}: the fault did not fire");
    rig.config = plain;
    rig.restart().await;
    load.reach(load.progress.counts().accepted + 50).await;
    let report = load.stop().await;
    rig.assert_sound(&report).await;
    rig.terminate().await;
    assert_intact(&rig.config.data_dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_before_a_commit() {
    die_at("commit.before", 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_after_a_commit_and_before_its_answers() {
    die_at("commit.after", 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_after_the_answers_and_before_the_hand_over() {
    die_at("accept.answered", 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_in_the_middle_of_a_recovery() {
    let mut rig = Rig::start(&[Behaviour::Delay(50)], &[]).await;
    let load = rig.load(32);
    load.reach(200).await;
    rig.kill().await;
    let plain = rig.config.clone();
    rig.config.env.push(("HOOKFAST_FAILPOINT".into(), "recovery.before_commit:1".into()));
    let died = hookfast_lab::process::Server::start(rig.config.clone()).await;
    assert!(died.is_err(), "the fault did not fire");
    rig.config = plain;
    rig.restart().await;
    load.reach(load.progress.counts().accepted + 50).await;
    let report = load.stop().await;
    rig.assert_sound(&report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_in_the_middle_of_a_migration() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = hookfast_lab::process::ServerConfig::new(crate::rig::BINARY, dir.path().join("data")).unwrap();
    let plain = config.clone();
    config.env.push(("HOOKFAST_FAILPOINT".into(), "migrate.middle:1".into()));
    assert!(hookfast_lab::process::Server::start(config).await.is_err(), "the fault did not fire");
    let mut rig = Rig::start_with(dir, plain, &[Behaviour::Ok], &[]).await;
    let load = rig.load(4);
    load.reach(50).await;
    let report = load.stop().await;
    rig.assert_sound(&report).await;
    rig.terminate().await;
}

/// Kills a server with a planted bug until the judge sees what is wrong; 20 kills at most.
async fn must_be_caught(bug: &str) {
    let mut rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_PLANTED", bug)]).await;
    for _ in 0..20 {
        let load = rig.load(64);
        load.reach(300).await;
        rig.kill().await;
        let report = load.stop().await;
        rig.restart().await;
        rig.delivered_within(&report, Duration::from_secs(3)).await;
        let (findings, verdict) = rig.judge(&report).await;
        if !findings.suspects.is_empty() || !verdict.violations.is_empty() {
            return;
        }
    }
    panic!("the planted bug {bug} was not caught in 20 kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_answer_before_commit_is_caught() {
    must_be_caught("answer_before_commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_missing_hand_off_row_is_caught() {
    must_be_caught("no_handoff_row").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_missing_fence_is_caught() {
    let rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_PLANTED", "no_fence")]).await;
    let load = rig.load(8);
    load.reach(100).await;
    let second = rig.freeze_and_take_over().await;
    rig.server().resume().unwrap();
    // Without a fence both go on: the first one acknowledges events on a store that is no longer its own.
    let before = load.progress.counts().accepted;
    until("the unfenced server to go on", || async { load.progress.counts().accepted > before + 50 }).await;
    second.terminate(40_000).await.unwrap();
    load.stop().await;
}
