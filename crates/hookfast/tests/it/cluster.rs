//! Several nodes on one PostgreSQL: killed, frozen, cut off from their database, while load goes through all of them. The
//! judge is the same as for one node: what arrived, and what the API says.

use crate::rig::{BINARY, Load, Rig, seeded, torture};
use hookfast_lab::judge::Kill;
use hookfast_lab::load::LoadReport;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::{PostgresServer, Standby};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Short, so that tests need not wait long for a take-over.
pub(crate) const LEASE_MS: u64 = 2_000;
/// Faults in the ordinary test command.
const FAULTS: usize = 8;
/// A frozen node that wakes up may be taken for dead so long after.
const AFTER_FREEZE_US: u64 = 3_000_000;

/// Nodes beside the rig's own server, which is the first.
pub(crate) struct Cluster {
    pub(crate) rig: Rig,
    others: Vec<(ServerConfig, Option<Server>)>,
}

impl Cluster {
    pub(crate) async fn start(url: &str, nodes: usize, behaviours: &[Behaviour], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = ServerConfig::new(BINARY, dir.path().join("node0")).unwrap();
        let lease = format!("{LEASE_MS}ms");
        let mut all = vec![("HOOKFAST_STORE__URL", url), ("HOOKFAST_STORE__LEASE_MS", lease.as_str())];
        all.extend(env);
        let rig = Rig::start_with(dir, config, behaviours, &all).await;
        let mut others = Vec::new();
        for number in 1..nodes {
            let mut config = ServerConfig::new(BINARY, rig.dir.path().join(format!("node{number}"))).unwrap();
            config.env.clone_from(&rig.config.env);
            let server = Server::start(config.clone()).await.unwrap();
            others.push((config, Some(server)));
        }
        Self { rig, others }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.others.len() + 1
    }

    pub(crate) fn node(&self, number: usize) -> &Server {
        match number.checked_sub(1) {
            None => self.rig.server(),
            Some(other) => self.others[other].1.as_ref().expect("the node runs"),
        }
    }

    /// Where each node listens.
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        let others = self.others.iter().map(|(config, _)| config.listen);
        std::iter::once(self.rig.config.listen).chain(others).collect()
    }

    /// Load through every node.
    pub(crate) fn load(&self, connections: usize) -> Vec<Load> {
        self.listening().into_iter().map(|at| self.rig.load_at(at, connections)).collect()
    }

    pub(crate) async fn kill_and_restart(&mut self, number: usize) {
        match number.checked_sub(1) {
            None => self.rig.kill().await,
            Some(other) => {
                let from_us = self.rig.clock.now_us();
                self.others[other].1.take().expect("the node runs").kill().await.unwrap();
                self.rig.killed(from_us).await;
            }
        }
        self.restart(number).await;
    }

    /// SIGTERM: it ends in order.
    pub(crate) async fn terminate(&mut self, number: usize) {
        let status = match number.checked_sub(1) {
            None => self.rig.terminate().await,
            Some(other) => self.others[other].1.take().expect("the node runs").terminate(40_000).await.unwrap(),
        };
        assert!(status.success(), "{status}");
    }

    /// Starts a node that ended.
    pub(crate) async fn restart(&mut self, number: usize) {
        match number.checked_sub(1) {
            None => self.rig.restart().await,
            Some(other) => {
                let (config, server) = &mut self.others[other];
                *server = Some(Server::start(config.clone()).await.unwrap());
            }
        }
    }

    /// Freezes a node; when it was taken for dead meanwhile it ends, and is started again.
    async fn freeze(&mut self, number: usize, time: Duration) {
        let from_us = self.rig.clock.now_us();
        self.node(number).freeze().unwrap();
        tokio::time::sleep(time).await;
        self.node(number).resume().unwrap();
        let wait = Duration::from_millis(LEASE_MS);
        let ended = match number.checked_sub(1) {
            None => tokio::time::timeout(wait, self.rig.ended(from_us)).await.is_ok(),
            Some(other) => {
                let (_, server) = &mut self.others[other];
                let running = server.as_mut().expect("the node runs");
                let ended = tokio::time::timeout(wait, running.wait(60_000)).await.is_ok();
                if ended {
                    *server = None;
                }
                ended
            }
        };
        self.rig.kills.push(Kill { from_us, to_us: self.rig.clock.now_us() + AFTER_FREEZE_US });
        if ended {
            assert!(time >= Duration::from_millis(LEASE_MS / 2), "it ended after a freeze of {time:?} only");
            self.restart(number).await;
        }
    }

    /// Ends the load and judges; nothing may be leased or handed over for ever.
    pub(crate) async fn assert_sound(&self, loads: Vec<Load>) -> LoadReport {
        let report = stop(loads).await;
        self.rig.assert_sound(&report).await;
        report
    }

    /// The same where nobody died: nothing may have come twice.
    pub(crate) async fn assert_sound_without_repeats(&self, loads: Vec<Load>) {
        let report = self.assert_sound(loads).await;
        assert_eq!(self.rig.judge(&report).await.0.repeats.len(), 0);
    }
}

/// Ends loads; one report of all.
pub(crate) async fn stop(loads: Vec<Load>) -> LoadReport {
    let mut whole: Option<LoadReport> = None;
    for load in loads {
        let report = load.stop().await;
        assert_eq!(report.gave_up, None);
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => {
                whole.acked[0].extend(report.acked[0].iter().copied());
                whole.counts.accepted += report.counts.accepted;
            }
        }
    }
    whole.expect("a load")
}

pub(crate) async fn more(loads: &[Load], events: u64) {
    for load in loads {
        load.reach(load.progress.counts().accepted + events).await;
    }
}

pub(crate) fn goes_on(done: usize, started: Instant) -> bool {
    torture().map_or(done < FAULTS, |limit| started.elapsed() < limit)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_under_kill_9() {
    let Some(postgres) = PostgresServer::start() else { return };
    let (mut random, started) = (seeded(), Instant::now());
    let mut cluster = Cluster::start(&postgres.url(), 3, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[]).await;
    let loads = cluster.load(4);
    let mut faults = 0;
    while goes_on(faults, started) {
        more(&loads, 1 + random.u64(..50)).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..300_000))).await;
        cluster.kill_and_restart(random.usize(..cluster.nodes())).await;
        faults += 1;
    }
    more(&loads, 50).await;
    cluster.assert_sound(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_nodes_lose_nothing_and_send_nothing_stale() {
    let Some(postgres) = PostgresServer::start() else { return };
    let (mut random, started) = (seeded(), Instant::now());
    let mut cluster = Cluster::start(&postgres.url(), 3, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[]).await;
    let loads = cluster.load(4);
    let mut faults = 0;
    while goes_on(faults * 2, started) {
        more(&loads[..1], 1 + random.u64(..50)).await;
        let time = Duration::from_millis(random.u64(200..LEASE_MS * 3));
        cluster.freeze(random.usize(..cluster.nodes()), time).await;
        faults += 1;
    }
    more(&loads, 50).await;
    cluster.assert_sound(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_or_drops_every_connection_loses_nothing() {
    let Some(mut postgres) = PostgresServer::start() else { return };
    let (mut random, started) = (seeded(), Instant::now());
    let cluster = Cluster::start(&postgres.url(), 2, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[]).await;
    let loads = cluster.load(4);
    let mut faults = 0;
    while goes_on(faults, started) {
        more(&loads, 1 + random.u64(..50)).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..300_000))).await;
        match faults % 4 {
            0 => postgres.stop(),
            1 => postgres.stop_immediately(),
            2 => postgres.kill(),
            _ => {
                let all = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()";
                postgres.psql(all).unwrap();
            }
        }
        if faults % 4 != 3 {
            postgres.restart();
        }
        let back = Instant::now();
        more(&loads, 1).await;
        assert!(back.elapsed() < Duration::from_secs(10), "accepting went on only after {:?}", back.elapsed());
        faults += 1;
    }
    more(&loads, 50).await;
    cluster.assert_sound_without_repeats(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_deliver_each_event_once() {
    let Some(postgres) = PostgresServer::start() else { return };
    for slots in ["0", "50000"] {
        let env = [("HOOKFAST_DELIVERY__MEMORY_SLOTS", slots)];
        let database = postgres.database();
        let cluster = Cluster::start(&database.url(), 2, &[Behaviour::Ok, Behaviour::FailFirst(1)], &env).await;
        let loads = cluster.load(8);
        more(&loads, 1_000).await;
        cluster.assert_sound_without_repeats(loads).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_everything_that_was_acknowledged() {
    let Some(mut primary) = PostgresServer::start() else { return };
    let mut standby = Standby::of(&primary);
    let both = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        primary.port(),
        standby.server().port()
    );
    let cluster = Cluster::start(&both, 2, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &[]).await;
    let loads = cluster.load(4);
    more(&loads, 300).await;
    primary.kill();
    let promoted = standby.promote();
    more(&loads, 100).await;
    cluster.assert_sound(loads).await;
    drop(promoted);
}
