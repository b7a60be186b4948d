//! One run: receivers, applications and endpoints, a warm-up, the measured load, the wait for the last deliveries,
//! the judgement. Runs on one thread, whose CPU time is that of load and receivers.

use super::database::Work;
use super::report::Measurement;
use super::server::Target;
use super::setting::{Kind, Setting, Which};
use anyhow::Context as _;
use hdrhistogram::Histogram;
use hookfast_core::AppId;
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::journal::Journal;
use hookfast_lab::judge::{self, Expected, Findings, Obligation, Pair, RepeatRules};
use hookfast_lab::load::{self, LoadConfig, LoadReport, Pace, Progress};
use hookfast_lab::process::Usage;
use hookfast_lab::receiver::{Receiver, ReceiverConfig};
use hookfast_lab::{EventKey, LabClock};
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks whether the last deliveries have come.
const LOOK_MS: u64 = 20;
/// When nothing arrived for so long, nothing more is waited for.
const SILENCE_MS_MAX: u64 = 10_000;
/// Between two exact comparisons.
const COMPARE_MS: u64 = 500;
/// After the last arrival: the server writes down what came of it.
const SETTLE_MS: u64 = 300;
/// Of the suspects the server is asked about so many at most.
const QUESTIONS_MAX: usize = 2000;
/// Repeats and failed tries may make so many times the expected arrivals before the journal is full.
const ARRIVALS_FACTOR: usize = 8;

/// Everything that stands when the load begins.
struct Stage {
    setting: Setting,
    target: Target,
    receiver: Receiver,
    clock: LabClock,
    /// One per application.
    apps: Vec<String>,
    /// The endpoints of each application, with how they behave.
    endpoints: Vec<Vec<(Expected, Kind)>>,
}

/// What had been used at one moment.
struct Snapshot {
    server: Option<Usage>,
    harness_cpu_us: u64,
    disk_bytes: Option<u64>,
    database: Option<Work>,
    arrivals: usize,
}

/// Makes the run. `progress` may be watched meanwhile.
pub(super) async fn measure(setting: Setting, progress: Arc<Progress>) -> anyhow::Result<Measurement> {
    let stage = Stage::build(setting).await?;
    let warm = stage.warm_up().await?;
    let before = stage.snapshot().await?;
    let report = load::run(stage.load(stage.setting.pace, warm), progress).await?;
    let owed = stage.obligations(&report);
    stage.await_arrivals(stage.owed_at_healthy(&owed), before.arrivals).await;
    tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
    let after = stage.snapshot().await?;
    let findings = stage.compare(&owed).await;
    if let Some(reason) = &report.gave_up {
        anyhow::bail!("the load ended early: {reason}");
    }
    anyhow::ensure!(findings.entries_dropped == 0, "more arrived than could be written down");
    let mut measurement = stage.figures(&report, &before, &after)?;
    stage.judge(&findings, &mut measurement).await?;
    stage.target.end().await?;
    Ok(measurement)
}

/// Notices when nothing arrives any more.
struct Silence {
    clock: LabClock,
    seen: usize,
    since_us: u64,
}

impl Silence {
    fn new(clock: LabClock) -> Self {
        Self { clock, seen: 0, since_us: clock.now_us() }
    }

    fn is_long(&mut self, arrivals: usize) -> bool {
        let now_us = self.clock.now_us();
        if arrivals != self.seen {
            (self.seen, self.since_us) = (arrivals, now_us);
        }
        now_us.saturating_sub(self.since_us) > SILENCE_MS_MAX * 1000
    }
}

impl Stage {
    async fn build(setting: Setting) -> anyhow::Result<Self> {
        let target = Target::ready(&setting).await?;
        let expected = usize::try_from(setting.pace.events()).unwrap_or(usize::MAX).saturating_mul(setting.fan_out);
        let arrivals_max = expected.saturating_mul(ARRIVALS_FACTOR).max(1 << 20);
        let journal = Journal::with_room(arrivals_max, expected.saturating_add(expected / 8).min(1 << 25));
        let clock = LabClock::start();
        let receiver = Receiver::start(ReceiverConfig { clock, ..ReceiverConfig::loopback(journal) }).await?;
        let (mut apps, mut endpoints) = (Vec::new(), Vec::new());
        for (number, kinds) in setting.endpoints.chunks(setting.fan_out).enumerate() {
            let application = ApplicationIn { name: format!("bench {number}"), uid: None };
            let app = target.client.create_application(&application).await.context("make an application")?.id;
            let mut of_app = Vec::with_capacity(kinds.len());
            for (index, kind) in kinds.iter().enumerate() {
                let path = format!("/{number}/{index}");
                receiver.behave(&path, kind.behaviour());
                let wanted = EndpointIn { url: receiver.url(&path), ..EndpointIn::default() };
                let endpoint = target.client.create_endpoint(&app, &wanted).await.context("make an endpoint")?.id;
                of_app.push((Expected { endpoint, path: receiver.path_id(&path) }, *kind));
            }
            apps.push(app);
            endpoints.push(of_app);
        }
        Ok(Self { setting, target, receiver, clock, apps, endpoints })
    }

    fn load(&self, pace: Pace, first_number: u64) -> LoadConfig {
        let client = &self.target.client;
        let address = client.dial_address().unwrap_or_default();
        LoadConfig {
            authority: client.authority().to_owned(),
            prefix: client.prefix().to_owned(),
            event_type: "bench.event".into(),
            payload_bytes: self.setting.payload_bytes,
            idempotency_key: self.setting.idempotency_key,
            pace,
            connections: self.setting.concurrency,
            first_number,
            clock: self.clock,
            ..LoadConfig::new(address, self.target.token.clone(), self.apps.clone())
        }
    }

    /// Opens connections and warms caches; what it sends is judged by nobody. Answers how many events it sent.
    async fn warm_up(&self) -> anyhow::Result<u64> {
        let events = (self.setting.concurrency.max(self.apps.len()) * 2) as u64;
        let report = load::run(self.load(Pace::Closed { events }, 0), Arc::default()).await?;
        let owed = self.obligations(&report);
        self.await_arrivals(self.owed_at_healthy(&owed), 0).await;
        let findings = self.compare(&owed).await;
        let late = self.missing_at_healthy(&findings).count();
        anyhow::ensure!(
            report.counts.accepted > 0 && late == 0,
            "the warm-up failed: {:?}, {late} deliveries did not arrive at {}{}",
            report.counts,
            self.receiver.addr(),
            report.gave_up.map(|reason| format!(" ({reason})")).unwrap_or_default(),
        );
        // A multiple of the applications keeps the turns in step.
        Ok(events.next_multiple_of(self.apps.len() as u64))
    }

    async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let database = self.target.database_work().await?;
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let harness_cpu_us = cpu.tv_sec.unsigned_abs() * 1_000_000 + cpu.tv_nsec.unsigned_abs() / 1000;
        let disk_bytes = self.target.disk_bytes().or(database.map(|work| work.disk_bytes));
        let server = self.target.usage()?;
        Ok(Snapshot { server, harness_cpu_us, disk_bytes, database, arrivals: self.receiver.journal().len() })
    }

    fn obligations(&self, report: &LoadReport) -> Vec<Obligation> {
        let of_app = |(app, endpoints): (usize, &Vec<(Expected, Kind)>)| Obligation {
            app: self.apps[app].clone(),
            events: report.acked[app].clone(),
            endpoints: endpoints.iter().map(|(expected, _)| expected.clone()).collect(),
        };
        self.endpoints.iter().enumerate().map(of_app).collect()
    }

    fn of_kind(&self, wanted: Kind) -> impl Iterator<Item = &Expected> {
        self.endpoints.iter().flatten().filter(move |(_, kind)| *kind == wanted).map(|(expected, _)| expected)
    }

    fn missing_at_healthy<'a>(&self, findings: &'a Findings) -> impl Iterator<Item = &'a Pair> {
        let healthy: HashSet<String> = self.of_kind(Kind::Healthy).map(|expected| expected.endpoint.clone()).collect();
        findings.suspects.iter().filter(move |pair| healthy.contains(&pair.endpoint))
    }

    /// How many arrivals the healthy endpoints are owed.
    fn owed_at_healthy(&self, owed: &[Obligation]) -> usize {
        let healthy =
            |endpoints: &[(Expected, Kind)]| endpoints.iter().filter(|(_, kind)| *kind == Kind::Healthy).count();
        owed.iter().zip(&self.endpoints).map(|(owed, endpoints)| owed.events.len() * healthy(endpoints)).sum()
    }

    /// Waits until the healthy endpoints have had so many arrivals after number `from`, or nothing comes any more.
    /// Cheap, as its CPU time is measured with the load's.
    async fn await_arrivals(&self, wanted: usize, from: usize) {
        let healthy: HashSet<_> = self.of_kind(Kind::Healthy).map(|expected| expected.path).collect();
        let (mut seen, mut counted) = (from, 0);
        let mut silence = Silence::new(self.clock);
        while counted < wanted && !silence.is_long(seen) {
            self.receiver.journal().read(seen, |entries| {
                counted += entries.iter().filter(|entry| healthy.contains(&entry.path)).count();
                seen += entries.len();
            });
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// Compares exactly; what a healthy endpoint still lacks is waited for, as long as anything arrives.
    async fn compare(&self, owed: &[Obligation]) -> Findings {
        let journal = self.receiver.journal();
        let mut silence = Silence::new(self.clock);
        loop {
            // Nobody kills here: without a fault nothing may come twice.
            let findings = judge::compare(owed, journal, &RepeatRules::default());
            if self.missing_at_healthy(&findings).next().is_none() || silence.is_long(journal.len()) {
                return findings;
            }
            tokio::time::sleep(Duration::from_millis(COMPARE_MS)).await;
        }
    }

    fn figures(&self, report: &LoadReport, before: &Snapshot, after: &Snapshot) -> anyhow::Result<Measurement> {
        let healthy: HashSet<_> = self.of_kind(Kind::Healthy).map(|expected| expected.path).collect();
        let mut receive_us = load::histogram()?;
        let (mut delivered, mut last_us) = (0u64, report.started_us);
        self.receiver.journal().read(before.arrivals, |entries| {
            for entry in entries.iter().filter(|entry| entry.accepted()) {
                delivered += 1;
                if entry.ordinal == 1 && healthy.contains(&entry.path) {
                    receive_us.saturating_record(u64::from(entry.lag_us));
                    last_us = last_us.max(entry.at_us);
                }
            }
        });
        let per_delivery = |us: u64| us as f64 / delivered.max(1) as f64;
        let server_us =
            before.server.zip(after.server).map(|(before, after)| after.cpu_us.saturating_sub(before.cpu_us));
        let harness_us = after.harness_cpu_us.saturating_sub(before.harness_cpu_us);
        let disk = before.disk_bytes.zip(after.disk_bytes);
        let database = before.database.zip(after.database);
        let database_us = database.and_then(|(before, after)| Some(after.cpu_us?.saturating_sub(before.cpu_us?)));
        let seconds = last_us.max(report.ended_us).saturating_sub(report.started_us).max(1) as f64 / 1e6;
        let delivering = last_us.saturating_sub(report.started_us).max(1) as f64 / 1e6;
        Ok(Measurement {
            seconds,
            accepted: report.counts.accepted,
            accepted_per_s: report.accepted_per_second(),
            delivered,
            delivered_per_s: receive_us.len() as f64 / delivering,
            accept_p50_ms: ms(&report.accept_us, 0.5),
            accept_p99_ms: ms(&report.accept_us, 0.99),
            accept_max_ms: report.accept_us.max() as f64 / 1000.0,
            receive_p50_ms: ms(&receive_us, 0.5),
            receive_p99_ms: ms(&receive_us, 0.99),
            receive_max_ms: receive_us.max() as f64 / 1000.0,
            server_cpu_us_per_delivery: server_us.map(per_delivery),
            database_cpu_us_per_delivery: database_us.map(per_delivery),
            statements_per_delivery: database.map(|(before, after)| {
                after.statements.saturating_sub(before.statements) as f64 / delivered.max(1) as f64
            }),
            harness_cpu_us_per_delivery: per_delivery(harness_us),
            cpu_ratio: server_us.map(|us| us as f64 / harness_us.max(1) as f64),
            rss_peak_mib: after.server.map(|usage| usage.rss_peak_bytes as f64 / f64::from(1 << 20)),
            disk_bytes_per_event: disk
                .map(|(before, after)| after.saturating_sub(before) as f64 / report.counts.accepted.max(1) as f64),
            fdatasync_p50_ms: self.target.fdatasync_p50_us.map(|us| us / 1000.0),
            refused: report.counts.refused,
            failed: report.counts.failed,
            unknown: report.counts.unknown,
            ..Measurement::default()
        })
    }

    /// Hears the server about what did not arrive.
    async fn judge(&self, findings: &Findings, measurement: &mut Measurement) -> anyhow::Result<()> {
        measurement.repeated = findings.repeats.len() as u64;
        let missing: Vec<&Pair> = self.missing_at_healthy(findings).collect();
        if !self.speaks_our_ids() {
            // Its ids are kept as hashes, so that it cannot be asked.
            measurement.lost = missing.len() as u64;
            measurement.not_asked = (findings.suspects.len() - missing.len()) as u64;
            return Ok(());
        }
        let at_healthy: HashSet<EventKey> = missing.iter().map(|pair| pair.event).collect();
        let mut asked: Vec<(String, EventKey)> = Vec::new();
        let mut known = HashSet::new();
        // First those that should have arrived, so that none of them is among those not asked about.
        let (first, others): (Vec<&Pair>, Vec<&Pair>) =
            findings.suspects.iter().partition(|pair| at_healthy.contains(&pair.event));
        for pair in first {
            if known.insert(pair.event) {
                asked.push((pair.app.clone(), pair.event));
            }
        }
        let room = QUESTIONS_MAX.saturating_sub(asked.len());
        let step = others.len().div_ceil(room.max(1)).max(1);
        for pair in others.iter().step_by(step).take(room) {
            if known.insert(pair.event) {
                asked.push((pair.app.clone(), pair.event));
            }
        }
        let standings = judge::read_standings(&self.target.client, &asked, asked.len()).await?;
        let verdict = judge::hear(findings, &standings);
        measurement.lost = verdict.lost();
        measurement.not_asked = verdict.unheard;
        measurement.waiting_or_ended =
            verdict.states.iter().filter(|(state, _)| **state != "delivered").map(|(_, count)| count).sum();
        for violation in verdict.violations.iter().take(5) {
            eprintln!("{:?}: {}", violation.kind, violation.pair.describe());
        }
        Ok(())
    }

    /// A server whose ids are not hookfast's cannot be asked about single events.
    fn speaks_our_ids(&self) -> bool {
        matches!(self.setting.which, Which::Own { .. }) || self.apps.iter().all(|app| app.parse::<AppId>().is_ok())
    }
}

fn ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}
