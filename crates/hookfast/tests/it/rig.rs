//! The rig of the crash tests: a real server as a child, receivers and load in this process, faults in the middle, and
//! the judge of the lab at the end. It knows the server by its command line, its API and what arrives, never its store.

use hookfast_lab::client::{ApplicationIn, Client, EndpointIn};
use hookfast_lab::journal::Journal;
use hookfast_lab::judge::{
    self, Expected, Findings, Kill, Obligation, RepeatCause, RepeatRules, Verdict, ViolationKind,
};
use hookfast_lab::load::{self, LoadConfig, LoadReport, Pace, Progress};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use hookfast_lab::{EventKey, LabClock};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_hookfast");
/// Arrivals kept: far more than any run here makes.
const ENTRIES_MAX: usize = 4 << 20;
/// A schedule short enough for tests: about 20 s in all, so that no restart outlasts it.
const RETRY_DELAYS: &str = "50ms,100ms,200ms,400ms,800ms,1600ms,3200ms,3200ms,3200ms,3200ms,3200ms";

/// A server with an application, its receivers, and what was done to it.
pub(crate) struct Rig {
    /// Everything of this run lies below it.
    pub(crate) dir: TempDir,
    pub(crate) config: ServerConfig,
    pub(crate) token: String,
    pub(crate) app: String,
    pub(crate) receiver: Receiver,
    pub(crate) expected: Vec<Expected>,
    pub(crate) kills: Vec<Kill>,
    pub(crate) clock: LabClock,
    server: Option<Server>,
}

/// A load on its way.
pub(crate) struct Load {
    stop: CancellationToken,
    pub(crate) progress: Arc<Progress>,
    task: JoinHandle<hookfast_lab::Result<LoadReport>>,
}

impl Load {
    /// Waits until so many events were acknowledged in all.
    pub(crate) async fn reach(&self, accepted: u64) {
        until("acknowledged events", || async { self.progress.counts().accepted >= accepted }).await;
    }

    /// Ends it and answers what was acknowledged.
    pub(crate) async fn stop(self) -> LoadReport {
        self.stop.cancel();
        self.task.await.unwrap().unwrap()
    }
}

/// Waits for a condition that only asking can tell; a minute at most.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while !check().await {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for: {what}");
        tick.tick().await;
    }
}

/// What a test may write at most, and what the server keeps free beside it.
const MEMORY_BYTES_MIN: u64 = 4 << 30;

impl Rig {
    /// A running server in a new directory with one endpoint for each behaviour.
    pub(crate) async fn start(behaviours: &[Behaviour], env: &[(&str, &str)]) -> Self {
        let dir = calm_dir();
        let config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
        Self::start_with(dir, config, behaviours, env).await
    }

    /// The same with a server configured by the caller.
    pub(crate) async fn start_with(
        dir: TempDir,
        mut config: ServerConfig,
        behaviours: &[Behaviour],
        env: &[(&str, &str)],
    ) -> Self {
        let clock = LabClock::start();
        config.env.push(("HOOKFAST_RETRY__DELAYS".into(), RETRY_DELAYS.into()));
        config.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let token = config.create_token().await.unwrap();
        let server = Server::start(config.clone()).await.unwrap();
        let client = server.client(&token).unwrap();
        let receiver = Receiver::start(ReceiverConfig { clock, ..ReceiverConfig::loopback(Journal::new(ENTRIES_MAX)) });
        let receiver = receiver.await.unwrap();
        let app = client.create_application(&ApplicationIn { name: "rig".into(), uid: None }).await.unwrap().id;
        let mut expected = Vec::new();
        for (number, behaviour) in behaviours.iter().enumerate() {
            let path = format!("/hook/{number}");
            receiver.behave(&path, behaviour.clone());
            let endpoint = EndpointIn { url: receiver.url(&path), ..EndpointIn::default() };
            let endpoint = client.create_endpoint(&app, &endpoint).await.unwrap().id;
            receiver.verify(&path, &client.endpoint_secret(&app, &endpoint).await.unwrap()).unwrap();
            expected.push(Expected { endpoint, path: receiver.path_id(&path) });
        }
        Self { dir, config, token, app, receiver, expected, kills: Vec::new(), clock, server: Some(server) }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client_at(self.config.listen)
    }

    /// The same for another server on the same store.
    pub(crate) fn client_at(&self, listen: SocketAddr) -> Arc<Client> {
        Arc::new(Client::tcp(&format!("http://{listen}"), Some(self.token.clone())).unwrap())
    }

    /// Starts a closed loop that goes on until it is stopped, repeating what it does not know the fate of.
    pub(crate) fn load(&self, connections: usize) -> Load {
        self.load_at(self.config.listen, connections)
    }

    /// The same against another server on the same store. What it sends has numbers of its own.
    pub(crate) fn load_at(&self, listen: SocketAddr, connections: usize) -> Load {
        self.load_as(listen, connections, true)
    }

    /// The same without idempotency keys: what it does not know the fate of is not repeated.
    #[cfg(feature = "kafka")]
    pub(crate) fn load_without_keys_at(&self, listen: SocketAddr, connections: usize) -> Load {
        self.load_as(listen, connections, false)
    }

    fn load_as(&self, listen: SocketAddr, connections: usize, idempotency_key: bool) -> Load {
        let stop = CancellationToken::new();
        let progress = Arc::new(Progress::default());
        let config = LoadConfig {
            pace: Pace::Closed { events: 10_000_000 },
            connections,
            idempotency_key,
            repeat_unknown: idempotency_key,
            timeout_ms: 10_000,
            down_ms_max: 60_000,
            stop: stop.clone(),
            clock: self.clock,
            first_number: u64::from(listen.port()) << 32,
            ..LoadConfig::new(listen.to_string(), self.token.clone(), vec![self.app.clone()])
        };
        Load { stop, task: tokio::spawn(load::run(config, Arc::clone(&progress))), progress }
    }

    /// SIGKILL now, then a new start on the same directory.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    pub(crate) async fn kill(&mut self) {
        let from_us = self.clock.now_us();
        self.server.take().expect("the server runs").kill().await.unwrap();
        self.killed(from_us).await;
    }

    /// Notes a kill of a process that is gone, once all it had sent was written down. A receiver that waits for a processor
    /// writes a request down after its sender's death: with an arrival of the next life it would be taken for a repeat
    /// without a cause.
    pub(crate) async fn killed(&mut self, from_us: u64) {
        let limit = Instant::now() + Duration::from_secs(5);
        while has_unread(self.receiver.addr()) && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.kills.push(Kill { from_us, to_us: self.clock.now_us() });
    }

    /// Waits until it ended by itself, as after an abort at a fail point.
    pub(crate) async fn ended(&mut self, from_us: u64) -> std::process::ExitStatus {
        let status = self.server.as_mut().expect("the server runs").wait(60_000).await.unwrap();
        self.server.take();
        self.killed(from_us).await;
        status
    }

    pub(crate) async fn restart(&mut self) {
        self.server = Some(Server::start(self.config.clone()).await.unwrap());
    }

    /// SIGTERM, and its exit status.
    pub(crate) async fn terminate(&mut self) -> std::process::ExitStatus {
        self.server.take().expect("the server runs").terminate(40_000).await.unwrap()
    }

    /// Stops the server's clock, deletes its lock file as if somebody had tidied up, and starts a second server on the
    /// directory. A server frozen in the middle of a transaction keeps SQLite's own lock: then it runs on for a moment.
    pub(crate) async fn freeze_and_take_over(&self) -> Server {
        let mut config = self.config.clone();
        config.listen.set_port(hookfast_lab::process::free_port().unwrap());
        config.log = self.dir.path().join("second.log");
        for _ in 0..20 {
            self.server().freeze().unwrap();
            let _ = std::fs::remove_file(self.config.data_dir.join("lock"));
            match Server::start(config.clone()).await {
                Ok(second) => return second,
                Err(error) => assert!(error.to_string().contains("database is locked"), "{error}"),
            }
            self.server().resume().unwrap();
        }
        panic!("the server was in a transaction whenever it was frozen");
    }

    /// What the server owes after this load.
    pub(crate) fn obligations(&self, report: &LoadReport) -> Vec<Obligation> {
        let endpoints = self.expected.clone();
        vec![Obligation { app: self.app.clone(), events: report.acked[0].clone(), endpoints }]
    }

    fn rules(&self) -> RepeatRules {
        // The promise says 100 ms. Here servers, receivers, load and other tests share two cores, and a commit that
        // waits for a processor is no fault: only the long runs, alone on the machine, hold it to its word.
        let unsettled_us = if torture().is_some() { 100_000 } else { 1_500_000 };
        RepeatRules { kills: self.kills.clone(), unsettled_us, ..RepeatRules::default() }
    }

    /// Waits until every acknowledged event was accepted by every receiver, or for as long as `limit`. Answers how
    /// many pairs are missing.
    pub(crate) async fn delivered_within(&self, report: &LoadReport, limit: Duration) -> usize {
        let pairs = |event: &EventKey| self.expected.iter().map(move |one| (*event, one.path)).collect::<Vec<_>>();
        let mut missing: HashSet<_> = report.acked[0].iter().flat_map(pairs).collect();
        let mut read = 0;
        let start = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            read += self.receiver.journal().read(read, |entries| {
                for entry in entries.iter().filter(|entry| entry.accepted()) {
                    missing.remove(&(entry.event, entry.path));
                }
                entries.len()
            });
            if missing.is_empty() || start.elapsed() > limit {
                return missing.len();
            }
            tick.tick().await;
        }
    }

    /// Waits until the server says of every event asked that it ended everywhere.
    pub(crate) async fn settled(&self, report: &LoadReport) {
        let client = self.client();
        let asked: Vec<_> = report.acked[0].iter().rev().take(50).collect();
        for event in asked {
            let (app, event) = (self.app.clone(), event.to_string());
            until("the end of a delivery", || async {
                let destinations = client.destinations(&app, &event).await.unwrap_or_default();
                let open = |state: Option<&str>| matches!(state, Some("pending" | "retrying"));
                !destinations.is_empty() && !destinations.iter().any(|one| open(one.state.as_deref()))
            })
            .await;
        }
    }

    /// The judgement: the logs, then what the server says of up to 2,000 of the events.
    pub(crate) async fn judge(&self, report: &LoadReport) -> (Findings, Verdict) {
        let obligations = self.obligations(report);
        let findings = judge::compare(&obligations, self.receiver.journal(), &self.rules());
        let mut asked: Vec<_> = obligations.iter().flat_map(Obligation::asked).collect();
        let suspects: HashSet<_> = findings.suspects.iter().map(|pair| pair.event).collect();
        // The newest first: what the last fault could take is among them.
        asked.reverse();
        asked.sort_by_key(|(_, event)| !suspects.contains(event));
        let heard = 2_000.max(suspects.len());
        asked.truncate(heard);
        let standings = judge::read_standings(&self.client(), &asked, heard).await.unwrap();
        let verdict = judge::conserve(&obligations, self.receiver.journal(), &standings);
        (findings, verdict)
    }

    /// Nothing lost, every repeat explained and within the bound, every signature good, conservation.
    pub(crate) async fn assert_sound(&self, report: &LoadReport) {
        self.delivered_within(report, Duration::from_secs(60)).await;
        self.settled(report).await;
        let quiet = Instant::now() + Duration::from_secs(20);
        let (findings, verdict) = loop {
            let judged = self.judge(report).await;
            // The last retry, accepted a moment ago, may still be on its way to the disk.
            if judged.1.count(ViolationKind::NotSettled) == 0 || Instant::now() > quiet {
                break judged;
            }
        };
        eprintln!(
            "acknowledged {}, pairs {}, kills {}, repeats {} (bound {}), arrived unasked {}",
            report.counts.accepted,
            findings.pairs,
            self.kills.len(),
            findings.repeats.len(),
            findings.repeats_bound,
            findings.unasked
        );
        assert!(report.counts.accepted > 0, "nothing was acknowledged: {report:?}");
        assert_eq!(findings.entries_dropped, 0, "the journal was too small");
        assert_eq!(findings.bad_signatures, 0, "arrivals with a bad signature");
        let lost: Vec<_> = findings.suspects.iter().take(5).map(judge::Pair::describe).collect();
        assert!(lost.is_empty(), "{} pairs never delivered: {lost:#?}", findings.suspects.len());
        let rules = self.rules();
        let unexplained = findings.repeats.iter().filter(|repeat| repeat.cause == RepeatCause::Unexplained);
        let unexplained: Vec<_> = unexplained.take(5).map(|repeat| repeat.describe(&rules)).collect();
        assert!(unexplained.is_empty(), "{} repeats without a cause: {unexplained:#?}", findings.repeats_unexplained());
        assert!(findings.repeats.len() as u64 <= findings.repeats_bound);
        assert!(verdict.violations.is_empty(), "{:#?}", &verdict.violations[..verdict.violations.len().min(5)]);
    }
}

/// Is there a connection to this port that its peer has closed and we have not, accepted or still waiting for it? What
/// arrived on it may be unread. A process that dies closes all of its own.
fn has_unread(listening: SocketAddr) -> bool {
    const CLOSE_WAIT: &str = "08";
    let port = format!(":{:04X}", listening.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some(CLOSE_WAIT)
    })
}

/// A directory in memory, where there is enough of it. A kill takes nothing from a file that was written, synced or not, so
/// it proves the same there; and no other test that keeps the disk busy makes a commit wait for seconds, which would look
/// like repeats without a cause. The long runs, alone on the machine, are on its disk, and power cuts have one of their own.
fn calm_dir() -> TempDir {
    const MEMORY: &str = "/dev/shm";
    let is_large = rustix::fs::statvfs(MEMORY).is_ok_and(|fs| fs.f_bavail * fs.f_frsize >= MEMORY_BYTES_MIN);
    let in_memory = (is_large && torture().is_none()).then(|| tempfile::tempdir_in(MEMORY).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// `PRAGMA integrity_check` on a directory that nobody uses, through the linked SQLite.
pub(crate) fn assert_intact(data_dir: &Path) {
    let conn = rusqlite::Connection::open(data_dir.join("store.db")).unwrap();
    let answer: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(answer, "ok");
}

/// How long the long form of a test may run; `None` in the ordinary test command.
pub(crate) fn torture() -> Option<Duration> {
    let minutes: f64 = std::env::var("HOOKFAST_TORTURE_MINUTES").ok()?.parse().unwrap();
    Some(Duration::from_secs_f64(minutes * 60.0))
}

/// A seed that is printed, so that a failing run can be repeated.
pub(crate) fn seeded() -> fastrand::Rng {
    let seed =
        std::env::var("HOOKFAST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed} (repeat with HOOKFAST_SEED={seed})");
    fastrand::Rng::with_seed(seed)
}
