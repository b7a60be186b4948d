//! A disk that is full, and a clock that jumps: both go on without a restart, and nothing is lost.

use crate::disk::Disk;
use crate::rig::{BINARY, Rig, assert_intact, until};
use crate::talk::{call, get, send, standing, until_state};
use hookfast_lab::EventKey;
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::judge::{self, Obligation};
use hookfast_lab::load::LoadReport;
use hookfast_lab::process::ServerConfig;
use hookfast_lab::receiver::{Asked, Behaviour, Request, Responder, Response};
use hookfast_signing::{Secret, SignatureHeaders, Verifier};
use hookfast_testkit::skip;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DISK_MIB: u64 = 96;
const RESERVE_MIB: u64 = 32;
/// So long after space was freed accepting may take to go on.
const HEAL_MAX: Duration = Duration::from_secs(5);

async fn rig_on(disk: &Disk, behaviours: &[Behaviour], env: &[(&str, &str)]) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, disk.path().join("data")).unwrap();
    config.log = dir.path().join("server.log");
    Rig::start_with(dir, config, behaviours, env).await
}

/// Waits until events are refused, and looks at how.
async fn until_refused(rig: &Rig) {
    let (client, path) = (rig.client(), format!("/api/v1/app/{}/msg", rig.app));
    let event = json!({"eventType": "lab.event", "payload": {}});
    until("a refusal", || async { call(&client, "POST", &path, Some(event.clone())).await.0 != 202 }).await;
    let answer = client.call("POST", &path, Some(serde_json::to_vec(&event).unwrap())).await.unwrap();
    assert_eq!(answer.status, 503);
    let seconds = answer.headers.get("retry-after").expect("Retry-After").to_str().unwrap();
    assert!((1..=30).contains(&seconds.parse::<u32>().unwrap()), "{seconds}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["code"], "overloaded");
    assert!(body["detail"].as_str().unwrap().contains("disk"), "{body}");
}

async fn assert_reads_work(rig: &Rig, report: &LoadReport) {
    let client = rig.client();
    assert!(client.ping().await, "ping");
    assert_eq!(client.health().await.unwrap().status, 200);
    assert_eq!(call(&client, "GET", "/health/ready", None).await.0, 200);
    assert!(client.metrics().await.is_ok());
    let event = report.acked[0].last().unwrap();
    assert_eq!(get(&client, &format!("/api/v1/app/{}/msg/{event}", rig.app)).await["id"], event.to_string());
}

/// Space was freed a moment ago: a new load must get in soon, without a restart.
async fn assert_heals(rig: &Rig) -> LoadReport {
    let freed = Instant::now();
    let load = rig.load(8);
    load.reach(1).await;
    assert!(freed.elapsed() < HEAL_MAX, "accepting went on only after {:?}", freed.elapsed());
    load.reach(100).await;
    load.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_with_503_and_heals() {
    let Some(disk) = Disk::tmpfs(DISK_MIB) else { return };
    let reserve = format!("{RESERVE_MIB}MiB");
    // The retries of the second endpoint fall into the time when the disk is full.
    let env = [
        ("HOOKFAST_STORE__DISK_RESERVE_BYTES", reserve.as_str()),
        ("HOOKFAST_RETRY__DELAYS", "500ms,500ms,1s,1s"),
        ("HOOKFAST_DELIVERY__BREAKER_GAP_MS_MAX", "1ms"),
    ];
    let mut rig = rig_on(&disk, &[Behaviour::Ok, Behaviour::FailFirst(2)], &env).await;
    let load = rig.load(8);
    load.reach(200).await;
    let filler = disk.fill(Some((DISK_MIB - RESERVE_MIB) << 20));
    until_refused(&rig).await;
    let during = load.stop().await;
    assert_reads_work(&rig, &during).await;
    let late = rig.load(4);
    // Deliveries go out, are tried again and settle while nothing is accepted.
    rig.assert_sound(&during).await;
    until_refused(&rig).await;
    let none = late.stop().await;
    assert_eq!(none.counts.accepted, 0, "accepted on a full disk");
    assert!(none.counts.refused > 0 && none.counts.failed == 0, "{:?}", none.counts);
    filler.remove();
    let after = assert_heals(&rig).await;
    rig.assert_sound(&after).await;
    assert!(rig.terminate().await.success());
    assert_intact(&rig.config.data_dir);
}

/// How many of these events some receiver accepted and the server does not yet call delivered.
async fn unsettled(rig: &Rig, report: &LoadReport) -> usize {
    let obligations = rig.obligations(report);
    let asked: Vec<_> = obligations.iter().flat_map(Obligation::asked).collect();
    let standings = judge::read_standings(&rig.client(), &asked, asked.len()).await.unwrap();
    judge::conserve(&obligations, rig.receiver.journal(), &standings).count(judge::ViolationKind::NotSettled) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settlements_that_find_no_room_are_kept_and_written_when_there_is() {
    let Some(disk) = Disk::tmpfs(48) else { return };
    // One at a time, so that there is always something to settle.
    let env = [("HOOKFAST_STORE__DISK_RESERVE_BYTES", "0"), ("HOOKFAST_DELIVERY__IN_FLIGHT_PER_ENDPOINT_MAX", "1")];
    let mut rig = rig_on(&disk, &[Behaviour::Delay(15)], &env).await;
    let load = rig.load(8);
    load.reach(50).await;
    let filler = disk.fill(None);
    until("events to be refused", || async { load.progress.counts().refused > 8 }).await;
    until_refused(&rig).await;
    let during = load.stop().await;
    until("a settlement that finds no room", || async { unsettled(&rig, &during).await > 0 }).await;
    assert_reads_work(&rig, &during).await;
    // While a result is not on disk, nothing new is tried: what could not be written down must not pile up.
    let pause = Duration::from_millis(1_200);
    tokio::time::sleep(pause).await;
    let before = rig.receiver.requests();
    tokio::time::sleep(pause).await;
    assert_eq!(rig.receiver.requests(), before, "tries started although results could not be written");
    filler.remove();
    let after = assert_heals(&rig).await;
    rig.assert_sound(&during).await;
    rig.assert_sound(&after).await;
    assert!(rig.terminate().await.success());
    assert_intact(&rig.config.data_dir);
}

/// A receiver that says 200 and keeps the headers of what came.
#[derive(Default)]
struct Signed(Mutex<Vec<Request>>);

impl Responder for Signed {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        self.0.lock().unwrap().push(request);
        Box::pin(async { Response::status(200) })
    }
}

impl Signed {
    /// The time that the event was signed with, in seconds, once its signature was found good at that time.
    fn signed_at(&self, event: &str, secret: &str) -> Option<i64> {
        let requests = self.0.lock().unwrap();
        let is_it = |request: &&Request| {
            request.headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("webhook-id") && value == event)
        };
        let request = requests.iter().find(is_it)?;
        let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
        let headers = SignatureHeaders::find(fields).unwrap();
        let at_s: i64 = headers.timestamp.parse().unwrap();
        let verifier = Verifier::new([Secret::parse_prefix_optional(secret).unwrap().verifying_key()]);
        verifier.verify(&headers, &request.body, at_s).unwrap();
        Some(at_s)
    }
}

/// A wall clock that can be set, for one process.
struct WallClock(PathBuf);

impl WallClock {
    fn in_dir(dir: &Path) -> Self {
        let clock = Self(dir.join("wall-clock"));
        clock.set(0);
        clock
    }

    fn set(&self, offset_s: i64) {
        let part = self.0.with_extension("part");
        std::fs::write(&part, format!("{offset_s:+}\n")).unwrap();
        std::fs::rename(&part, &self.0).unwrap();
    }

    /// What a process needs to live by it; `None` where the library is not to be had.
    fn env(&self) -> Option<[(&'static str, String); 4]> {
        let library = std::fs::read_dir("/usr/lib").ok()?.flatten().find_map(|entry| {
            let file = entry.path().join("faketime/libfaketimeMT.so.1");
            file.is_file().then_some(file)
        })?;
        Some([
            ("LD_PRELOAD", library.to_str()?.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str()?.to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ])
    }
}

/// A server that lives by a clock of its own, and an application with three endpoints.
struct Clocked {
    rig: Rig,
    clock: WallClock,
    app: String,
    /// Fails always, with waits of an hour.
    patient: String,
    /// Fails first, with a wait of 200 ms.
    prompt: String,
    signed: Arc<Signed>,
    secret: String,
}

impl Clocked {
    async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let clock = WallClock::in_dir(dir.path());
        let Some(env) = clock.env() else {
            skip("no clock that jumps here: libfaketimeMT is missing");
            return None;
        };
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
        let rig = Rig::start_with(dir, config, &[], &env).await;
        let client = rig.client();
        let app = client.create_application(&ApplicationIn { name: "clocked".into(), uid: None }).await.unwrap().id;
        let endpoint = async |path: &str, behaviour: Behaviour, delays_ms: Vec<u64>| {
            rig.receiver.behave(path, behaviour);
            let retry_delays_ms = Some(delays_ms);
            let endpoint = EndpointIn { url: rig.receiver.url(path), retry_delays_ms, ..EndpointIn::default() };
            client.create_endpoint(&app, &endpoint).await.unwrap().id
        };
        let signed = Arc::new(Signed::default());
        let patient = endpoint("/patient", Behaviour::Status(500), vec![3_600_000, 3_600_000]).await;
        let prompt = endpoint("/prompt", Behaviour::FailFirst(1), vec![200]).await;
        let healthy = endpoint("/healthy", Behaviour::Ask(Asked(signed.clone())), vec![1_000]).await;
        let secret = client.endpoint_secret(&app, &healthy).await.unwrap();
        Some(Self { rig, clock, app, patient, prompt, signed, secret })
    }

    /// Sends an event and waits until it is delivered where it can be. Answers its id, and how far its signature's time
    /// is from the real one, in seconds.
    async fn round(&self) -> (String, i64) {
        let client = self.rig.client();
        let event = send(&client, &self.app, &json!({"a": 1})).await;
        until_state(&client, &self.app, &event, &self.prompt, "delivered").await;
        until_state(&client, &self.app, &event, &self.patient, "retrying").await;
        until("the healthy endpoint", || async { self.signed.signed_at(&event, &self.secret).is_some() }).await;
        let real_s = i64::try_from(self.rig.clock.now_us() / 1_000_000).unwrap();
        let signed_s = self.signed.signed_at(&event, &self.secret).unwrap();
        (event, signed_s - real_s)
    }

    /// Nothing that waits an hour was tried again, and all of it is still due about then.
    async fn assert_no_storm(&self, events: &[String]) {
        let client = self.rig.client();
        let path = self.rig.receiver.path_id("/patient");
        let entries = self.rig.receiver.journal().entries();
        for event in events {
            let key = EventKey::of(event);
            let tries = entries.iter().filter(|entry| entry.event == key && entry.path == path).count();
            assert_eq!(tries, 1, "{event} was tried again an hour too early");
            let waiting = standing(&client, &self.app, event, &self.patient).await;
            let due: jiff::Timestamp = waiting["nextAttempt"].as_str().unwrap().parse().unwrap();
            let in_s = due.as_second() - i64::try_from(self.rig.clock.now_us() / 1_000_000).unwrap();
            assert!((2_800..4_400).contains(&in_s), "{event} is due in {in_s} s");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jump_causes_no_retry_storm() {
    let Some(mut clocked) = Clocked::start().await else { return };
    let mut events = Vec::new();
    for offset_s in [0, 3_600, -7_200, 30, -30] {
        clocked.clock.set(offset_s);
        // Deliveries and their short retries go on in every second after the jump, by the new wall clock.
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(1_200) {
            let (event, apart_s) = clocked.round().await;
            assert!(
                (apart_s - offset_s).abs() <= 10,
                "signed {apart_s} s from real time, the clock is at {offset_s:+} s"
            );
            events.push(event);
        }
        clocked.assert_no_storm(&events).await;
    }
    assert!(clocked.rig.terminate().await.success());
}
