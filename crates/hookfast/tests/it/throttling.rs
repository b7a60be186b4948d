//! Endpoints with a throttle, and applications with one, end to end: a rate is kept and used second by second, shared
//! fairly, nothing is lost by it, and others do not notice.

use crate::cluster::Cluster;
use crate::order::until_accepted;
use crate::rig::Rig;
use crate::talk::call;
use hookfast_lab::LabClock;
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::journal::PathId;
use hookfast_lab::load::{self, LoadConfig, LoadReport, Pace, Progress};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::PostgresServer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// Deliveries per second, and ten times as many are offered.
const RATE: u64 = 100;
const OFFERED: u64 = 1_000;
/// Endpoints that share a rate.
const SHARING: usize = 5;
/// A wait for a processor that a throttle feels.
const STALL_US: u64 = 25_000;
/// How often the throttle is measured at most.
const GOES: u64 = 4;

/// What is throttled, and what is not.
struct Trial<'r> {
    rig: &'r Rig,
    listening: Vec<SocketAddr>,
    /// What has the rate: a path of the API.
    limited_by: String,
    /// Where what it limits arrives.
    limited: Vec<PathId>,
    /// Applications that get events, as many each; the first is the rig's.
    apps: Vec<String>,
    /// Where all events of the last of them arrive at once.
    free: PathId,
}

impl<'r> Trial<'r> {
    /// The rig's first endpoint has the rate, the second has none.
    fn of_an_endpoint(rig: &'r Rig, listening: Vec<SocketAddr>) -> Self {
        let [limited, free] = rig.expected.as_slice() else { panic!("two endpoints") };
        Self {
            limited_by: format!("/api/v1/app/{}/endpoint/{}", rig.app, limited.endpoint),
            limited: vec![limited.path],
            apps: vec![rig.app.clone()],
            free: free.path,
            listening,
            rig,
        }
    }

    /// The rig's application has the rate, another one has none.
    async fn of_an_application(rig: &'r Rig, listening: Vec<SocketAddr>) -> Self {
        let client = rig.client();
        let free = client.create_application(&ApplicationIn { name: "free".into(), uid: None }).await.unwrap().id;
        let endpoint = EndpointIn { url: rig.receiver.url("/hook/free"), ..EndpointIn::default() };
        client.create_endpoint(&free, &endpoint).await.unwrap();
        Self {
            limited_by: format!("/api/v1/app/{}", rig.app),
            limited: rig.expected.iter().map(|one| one.path).collect(),
            apps: vec![rig.app.clone(), free],
            free: rig.receiver.path_id("/hook/free"),
            listening,
            rig,
        }
    }

    async fn set_rate(&self, rate: Option<u64>) {
        let change: Value = json!({"throttleRate": rate});
        let (status, body) = call(&self.rig.client(), "PATCH", &self.limited_by, Some(change)).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Offers ten times the rate for six seconds, in equal parts through each server.
    async fn offer(&self, first_number: u64) -> Vec<LoadReport> {
        let events = OFFERED as usize / self.limited.len() * self.apps.len() / self.listening.len();
        let mut parts = JoinSet::new();
        for (first_number, at) in (first_number..).step_by(1 << 24).zip(&self.listening) {
            let config = LoadConfig {
                pace: Pace::Open { per_second: events as f64, seconds: 6.0 },
                connections: 64,
                clock: self.rig.clock,
                first_number,
                ..LoadConfig::new(at.to_string(), self.rig.token.clone(), self.apps.clone())
            };
            parts.spawn(load::run(config, Arc::new(Progress::default())));
        }
        let reports: Vec<_> = parts.join_all().await.into_iter().map(Result::unwrap).collect();
        for report in &reports {
            // What a busy machine refuses was not accepted; more than the rate must be there all the same.
            assert_eq!((report.counts.failed, report.counts.unknown), (0, 0));
            assert!(report.counts.accepted > report.counts.refused * 2, "{:?}", report.counts);
        }
        reports
    }

    /// Arrivals in time at these paths.
    fn arrivals(&self, paths: &[PathId], from_us: u64, to_us: u64) -> u64 {
        let entries = self.rig.receiver.journal().entries();
        let here = |at_us: u64, path: PathId| (from_us..to_us).contains(&at_us) && paths.contains(&path);
        entries.iter().filter(|entry| here(entry.at_us, entry.path)).count() as u64
    }

    /// What arrived in each of the five seconds after the first, and whether the machine was calm then.
    fn per_second(&self, from_us: u64, stalls: &Stalls) -> Vec<(u64, bool)> {
        let second = |number: u64| {
            let (from_us, to_us) = (from_us + number * 1_000_000, from_us + (number + 1) * 1_000_000);
            (self.arrivals(&self.limited, from_us, to_us), !stalls.any_within(from_us, to_us))
        };
        (1..6).map(second).collect()
    }

    /// No endpoint had much more than another in these five seconds.
    fn assert_shared(&self, from_us: u64) {
        let (from_us, to_us) = (from_us + 1_000_000, from_us + 6_000_000);
        let each: Vec<u64> = self.limited.iter().map(|path| self.arrivals(&[*path], from_us, to_us)).collect();
        let fair = each.iter().sum::<u64>() / each.len() as u64;
        assert!(each.iter().all(|count| (fair * 4 / 5..=fair * 6 / 5 + 1).contains(count)), "shared: {each:?}");
    }
}

/// When this machine kept the tests waiting for a processor for longer than a throttle makes up for, in µs since the
/// epoch. The server shares it: what it missed then says nothing about its throttle.
struct Stalls {
    seen: Arc<Mutex<Vec<u64>>>,
    beats: JoinHandle<()>,
}

impl Stalls {
    fn watch(clock: LabClock) -> Self {
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let beats = tokio::spawn(async move {
            let mut last_us = clock.now_us();
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let now_us = clock.now_us();
                if now_us - last_us > STALL_US {
                    noted.lock().unwrap().push(now_us);
                }
                last_us = now_us;
            }
        });
        Self { seen, beats }
    }

    fn any_within(&self, from_us: u64, to_us: u64) -> bool {
        self.seen.lock().unwrap().iter().any(|at_us| (from_us..to_us + STALL_US).contains(at_us))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

/// A go in which every second is in range proves it. None is needed on a machine that was never calm; on a calm one no
/// second may be out of range in every go.
async fn assert_throttled(trial: &Trial<'_>) {
    trial.set_rate(Some(RATE)).await;
    let in_range = |count: u64| (RATE * 95 / 100..=RATE * 105 / 100).contains(&count);
    let stalls = Stalls::watch(trial.rig.clock);
    let (mut reports, mut goes) = (Vec::new(), Vec::new());
    for go in 0..GOES {
        let parts = trial.offer(go << 32).await;
        goes.push(trial.per_second(parts[0].started_us, &stalls));
        trial.assert_shared(parts[0].started_us);
        reports.extend(parts);
        if goes.last().unwrap().iter().all(|(count, _)| in_range(*count)) {
            break;
        }
    }
    eprintln!("arrivals by the second, and whether the machine was calm: {goes:?}");
    let proved = goes.iter().any(|seconds| seconds.iter().all(|(count, _)| in_range(*count)));
    let wrong = goes.iter().flatten().filter(|(count, is_calm)| *is_calm && !in_range(*count)).count();
    assert!(proved || wrong == 0, "{wrong} calm seconds out of range: {goes:?}");
    let accepted = |app: usize| reports.iter().map(|report| report.acked[app].len()).sum::<usize>();
    until_accepted(trial.rig, trial.free, accepted(trial.apps.len() - 1)).await;
    let (arrived, due) = (trial.arrivals(&trial.limited, 0, u64::MAX), (accepted(0) * trial.limited.len()) as u64);
    assert!(arrived < due / 2, "the others have all, these what their rate allows: {arrived} of {due}");
    // Without the throttle the rest comes at once, and all of it.
    trial.set_rate(None).await;
    for path in &trial.limited {
        until_accepted(trial.rig, *path, accepted(0)).await;
    }
    for report in &reports {
        assert_eq!(trial.rig.delivered_within(report, Duration::from_secs(5)).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttle_is_kept_and_used_in_every_second_loses_nothing_and_leaves_others_alone() {
    let rig = Rig::start(&[Behaviour::Ok, Behaviour::Ok], &[]).await;
    assert_throttled(&Trial::of_an_endpoint(&rig, vec![rig.config.listen])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_keep_a_throttle_together() {
    let Some(postgres) = PostgresServer::start() else { return };
    let cluster = Cluster::start(&postgres.url(), 2, &[Behaviour::Ok, Behaviour::Ok], &[]).await;
    assert_throttled(&Trial::of_an_endpoint(&cluster.rig, cluster.listening())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_share_the_throttle_of_their_application_and_other_applications_do_not_notice() {
    let rig = Rig::start(&[const { Behaviour::Ok }; SHARING], &[]).await;
    assert_throttled(&Trial::of_an_application(&rig, vec![rig.config.listen]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_keep_the_throttle_of_an_application_together() {
    let Some(postgres) = PostgresServer::start() else { return };
    let cluster = Cluster::start(&postgres.url(), 2, &[const { Behaviour::Ok }; SHARING], &[]).await;
    assert_throttled(&Trial::of_an_application(&cluster.rig, cluster.listening()).await).await;
}

/// Whichever node paces the application, it ends once: the other goes on with neither a burst nor a long silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttle_that_changes_hands_is_kept_all_the_same() {
    let Some(postgres) = PostgresServer::start() else { return };
    let mut cluster = Cluster::start(&postgres.url(), 2, &[const { Behaviour::Ok }; SHARING], &[]).await;
    let rig = &cluster.rig;
    let trial = Trial::of_an_application(rig, cluster.listening()).await;
    trial.set_rate(Some(RATE)).await;
    let (limited, stalls) = (trial.limited.clone(), Stalls::watch(rig.clock));
    let reports = trial.offer(0).await;
    for node in [0, 1] {
        cluster.terminate(node).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.restart(node).await;
    }
    let entries = cluster.rig.receiver.journal().entries();
    let mut at_us: Vec<u64> = entries.iter().filter(|one| limited.contains(&one.path)).map(|one| one.at_us).collect();
    at_us.sort_unstable();
    let within = |from_us: u64| at_us.iter().filter(|at| (from_us..from_us + 1_000_000).contains(*at)).count() as u64;
    let calm = at_us.iter().filter(|from_us| !stalls.any_within(**from_us, **from_us + 1_000_000));
    let most = calm.map(|from_us| within(*from_us)).max().unwrap_or(0);
    let silence_ms = at_us.windows(2).map(|two| (two[1] - two[0]) / 1_000).max().unwrap_or(0);
    eprintln!("at most {most} in a calm second, no arrival for {silence_ms} ms at most");
    assert!(most <= RATE * 110 / 100, "{most} within a second");
    assert!(silence_ms < 10_000, "{silence_ms} ms");
    let client = cluster.rig.client();
    let path = format!("/api/v1/app/{}", cluster.rig.app);
    assert_eq!(call(&client, "PATCH", &path, Some(json!({"throttleRate": null}))).await.0, 200);
    for report in &reports {
        assert_eq!(cluster.rig.delivered_within(report, Duration::from_secs(60)).await, 0);
    }
}
