//! What a kill does not prove: power cuts and failed syncs. The server's directory lies on a file system of its own,
//! which forgets everything that was not synced.

use crate::cluster::{Cluster, more};
use crate::disk::{Disk, has_program};
use crate::rig::{BINARY, Rig, assert_intact, seeded, torture};
use hookfast_lab::judge::{self, Obligation, ViolationKind};
use hookfast_lab::load::LoadReport;
use hookfast_lab::process::ServerConfig;
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::PostgresServer;
use hookfast_testkit::skip;
use std::time::{Duration, Instant};

/// Cuts in the ordinary test command.
const CUTS: usize = 3;
const DISK_MIB: u64 = 512;
const POSTGRES_DISK_MIB: u64 = 1024;

/// A server whose data lies on `disk`, and its log does not.
async fn rig_on(disk: &Disk, behaviours: &[Behaviour], env: &[(&str, &str)], wrapper: &[&str]) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, disk.path().join("data")).unwrap();
    config.log = dir.path().join("server.log");
    config.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    Rig::start_with(dir, config, behaviours, env).await
}

/// The power goes while the server works, and comes back.
async fn cut(rig: &mut Rig, disk: &mut Disk, pause: Duration) {
    let switch = disk.switch();
    tokio::time::sleep(pause).await;
    let from_us = rig.clock.now_us();
    switch.off();
    rig.kill().await;
    // What was in flight at the cut could not be settled any more: the repeats count from there.
    rig.kills.last_mut().unwrap().from_us = from_us;
    disk.power_on();
}

/// How many of the acknowledged events the server does not know any more. It is asked about each one: a cut takes the
/// last ones, which no sample would find.
async fn forgotten(rig: &Rig, report: &LoadReport) -> u64 {
    let obligations = rig.obligations(report);
    let asked: Vec<_> = obligations.iter().flat_map(Obligation::asked).collect();
    let standings = judge::read_standings(&rig.client(), &asked, asked.len()).await.unwrap();
    judge::conserve(&obligations, rig.receiver.journal(), &standings).count(ViolationKind::Lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_loses_nothing_acknowledged() {
    let mut random = seeded();
    let Some(mut disk) = Disk::ext4(DISK_MIB) else { return };
    let mut rig = rig_on(&disk, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[], &[]).await;
    let started = Instant::now();
    let mut cuts = 0;
    while torture().map_or(cuts < CUTS, |limit| started.elapsed() < limit) {
        let load = rig.load(16);
        load.reach(50 + random.u64(..300)).await;
        // Anywhere between two commits.
        cut(&mut rig, &mut disk, Duration::from_micros(random.u64(..50_000))).await;
        rig.restart().await;
        load.reach(load.progress.counts().accepted + 20).await;
        let report = load.stop().await;
        assert_eq!(report.gave_up, None);
        assert_eq!(forgotten(&rig, &report).await, 0, "acknowledged events are gone after cut {cuts}");
        rig.assert_sound(&report).await;
        cuts += 1;
    }
    println!("power cuts: {cuts}");
    assert!(rig.terminate().await.success());
    assert_intact(&rig.config.data_dir);
}

/// The nodes go on; only their database is cut off, in the middle of its commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_under_postgresql_loses_nothing_acknowledged() {
    let mut random = seeded();
    let Some(mut disk) = Disk::ext4(POSTGRES_DISK_MIB) else { return };
    let Some(mut postgres) = PostgresServer::start_in(&disk.path()) else { return };
    let cluster = Cluster::start(&postgres.url(), 2, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[]).await;
    let loads = cluster.load(8);
    let started = Instant::now();
    let mut cuts = 0;
    while torture().map_or(cuts < CUTS, |limit| started.elapsed() < limit) {
        more(&loads, 20 + random.u64(..150)).await;
        let switch = disk.switch();
        tokio::time::sleep(Duration::from_micros(random.u64(..50_000))).await;
        switch.off();
        // Nothing it does now reaches the disk; so its processes end at once.
        postgres.stop_immediately();
        disk.power_on();
        postgres.restart();
        cuts += 1;
    }
    more(&loads, 20).await;
    println!("power cuts under PostgreSQL: {cuts}");
    let report = cluster.assert_sound(loads).await;
    assert_eq!(forgotten(&cluster.rig, &report).await, 0, "acknowledged events are gone");
}

/// The proof of the proof: with syncs left out, the same cuts must find lost events.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_synchronous_normal_is_caught_by_power_cuts() {
    let Some(mut disk) = Disk::ext4(DISK_MIB) else { return };
    let planted = [("HOOKFAST_PLANTED", "synchronous_normal")];
    let mut rig = rig_on(&disk, &[Behaviour::Ok], &planted, &[]).await;
    for _ in 0..5 {
        let load = rig.load(16);
        load.reach(200).await;
        cut(&mut rig, &mut disk, Duration::ZERO).await;
        let report = load.stop().await;
        rig.restart().await;
        if forgotten(&rig, &report).await > 0 {
            return;
        }
    }
    panic!("no power cut showed that commits were not synced");
}

/// The syncs of a thread fail from its n-th on. strace counts by thread: the opening stays under it, the writing
/// thread reaches it in the middle of the load.
const FAILED_SYNCS: &str = "inject=fsync,fdatasync:error=EIO:when=60+";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_ends_the_process_and_nothing_after_it_is_acknowledged() {
    if let Some(missing) = ["strace", "setpriv"].into_iter().find(|program| !has_program(program)) {
        return skip(&format!("no failed fsync here: {missing} is missing"));
    }
    let Some(mut disk) = Disk::ext4(DISK_MIB) else { return };
    // If strace is killed, the server must not live on.
    let together = ["setpriv", "--pdeathsig", "KILL"];
    let strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e", FAILED_SYNCS];
    let wrapper = [&strace[..], &["-o", "/dev/null"], &together].concat();
    let mut rig = rig_on(&disk, &[Behaviour::Ok, Behaviour::FailFirst(1)], &[], &wrapper).await;
    let load = rig.load(16);
    load.reach(1).await;
    let from_us = rig.clock.now_us();
    let status = rig.ended(from_us).await;
    assert_eq!(status.code(), Some(1), "it must end by itself, and not with success");
    let log = std::fs::read_to_string(&rig.config.log).unwrap();
    assert!(log.contains("the store failed"), "{log}");
    // Nothing that was not synced is left: whatever was acknowledged on it would be lost now.
    disk.switch().off();
    disk.power_on();
    rig.config.wrapper.clear();
    rig.restart().await;
    load.reach(load.progress.counts().accepted + 50).await;
    let report = load.stop().await;
    assert_eq!(forgotten(&rig, &report).await, 0, "acknowledged although its fsync had failed");
    rig.assert_sound(&report).await;
    assert!(rig.terminate().await.success());
    assert_intact(&rig.config.data_dir);
}
