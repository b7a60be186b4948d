//! Receivers that misbehave, end to end: what went wrong is named, the delivery is tried again and ends, nobody else
//! pays for it, and memory stays where it was.

use crate::rig::{Rig, until};
use crate::talk::{attempts, call, send, standing, until_state};
use hookfast_lab::client::{ApplicationIn, Client, EndpointIn};
use hookfast_lab::journal::{Entry, PathId};
use hookfast_lab::receiver::Behaviour;
use serde_json::{Value, json};

/// Short, so that what hangs ends soon; long enough for a healthy answer on a busy machine.
const TIMEOUT_MS: &str = "700";
/// Two waits, so three tries.
const DELAYS: &str = "100ms,100ms";
const TRIES: usize = 3;
/// Of an answer's body so much is kept.
const EXCERPT_BYTES_MAX: usize = 16 << 10;

/// An endpoint of the test's own.
struct Hook {
    id: String,
    path: PathId,
}

async fn application(client: &Client) -> String {
    client.create_application(&ApplicationIn { name: "test".into(), uid: None }).await.unwrap().id
}

async fn hook(rig: &Rig, app: &str, path: &str, behaviour: Behaviour, delays_ms: Option<Vec<u64>>) -> Hook {
    rig.receiver.behave(path, behaviour);
    let endpoint = EndpointIn { url: rig.receiver.url(path), retry_delays_ms: delays_ms, ..EndpointIn::default() };
    let id = rig.client().create_endpoint(app, &endpoint).await.unwrap().id;
    Hook { id, path: rig.receiver.path_id(path) }
}

/// What arrived at one path.
fn arrivals(rig: &Rig, path: PathId) -> Vec<Entry> {
    let mut entries = rig.receiver.journal().entries();
    entries.retain(|entry| entry.path == path);
    entries
}

/// A way to misbehave, and how its attempts look in the API: cause, status, state at the end.
struct Case {
    behaviour: Behaviour,
    cause: &'static str,
    status: u16,
    state: &'static str,
}

fn cases(followed: &str) -> Vec<Case> {
    let dead = |behaviour, cause, status| Case { behaviour, cause, status, state: "dead" };
    let fine = |behaviour| Case { behaviour, cause: "ok", status: 200, state: "delivered" };
    vec![
        dead(Behaviour::Hang, "timeout", 0),
        dead(Behaviour::Drip(50), "timeout", 200),
        dead(Behaviour::DripHead(50), "timeout", 0),
        dead(Behaviour::Informational, "timeout", 0),
        dead(Behaviour::Reset, "reset", 0),
        dead(Behaviour::ResetInBody, "reset", 200),
        dead(Behaviour::Close, "reset", 0),
        dead(Behaviour::Garbage, "protocol", 0),
        dead(Behaviour::Redirect("http://169.254.169.254/latest/meta-data/".into()), "redirect", 302),
        dead(Behaviour::Redirect(followed.into()), "redirect", 302),
        dead(Behaviour::RetryAfter("0".into()), "throttled", 429),
        dead(Behaviour::Status(500), "status", 500),
        dead(Behaviour::Status(404), "status", 404),
        dead(Behaviour::Status(503), "throttled", 503),
        // The receiver has said 2xx; that its body never ends is cut short.
        fine(Behaviour::HugeBody),
        fine(Behaviour::EndlessBody),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_misbehaviour_is_named_retried_and_ends_and_the_healthy_get_everything() {
    let env = [("HOOKFAST_DELIVERY__TIMEOUT_MS", TIMEOUT_MS), ("HOOKFAST_RETRY__DELAYS", DELAYS)];
    let rig = Rig::start(&[Behaviour::Ok], &env).await;
    let client = rig.client();
    let app = application(&client).await;
    let cases = cases(&rig.receiver.url("/followed"));
    let mut hooks = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        hooks.push(hook(&rig, &app, &format!("/bad/{number}"), case.behaviour.clone(), None).await);
    }
    let beside = hook(&rig, &app, "/beside", Behaviour::Ok, None).await;
    let load = rig.load(4);
    load.reach(50).await;
    let before = load.progress.counts().accepted;
    let events = [send(&client, &app, &json!({"n": 1})).await, send(&client, &app, &json!({"n": 2})).await];
    for event in &events {
        assert_eq!(until_state(&client, &app, event, &beside.id, "delivered").await["tries"], 1);
        for (case, hook) in cases.iter().zip(&hooks) {
            ends_as(&rig, &app, event, hook, case).await;
        }
    }
    assert!(load.progress.counts().accepted > before, "the healthy application stood still meanwhile");
    let report = load.stop().await;
    rig.assert_sound(&report).await;
    assert!(arrivals(&rig, rig.receiver.path_id("/followed")).is_empty(), "a redirect was followed");
}

async fn ends_as(rig: &Rig, app: &str, event: &str, hook: &Hook, case: &Case) {
    let client = rig.client();
    let end = until_state(&client, app, event, &hook.id, case.state).await;
    let tries = if case.state == "delivered" { 1 } else { TRIES };
    let about = &case.behaviour;
    assert_eq!((&end["tries"], &end["cause"]), (&json!(tries), &json!(case.cause)), "{about:?}: {end}");
    assert_eq!(end["nextAttempt"], Value::Null, "{about:?}");
    let attempts = attempts(&client, app, event, &hook.id).await;
    assert_eq!(attempts.len(), tries, "{about:?}: {attempts:#?}");
    for (number, attempt) in (1..).zip(&attempts) {
        assert_eq!(attempt["cause"], case.cause, "{about:?}: {attempt}");
        assert_eq!(attempt["responseStatusCode"], case.status, "{about:?}: {attempt}");
        assert_eq!(attempt["number"], number, "{about:?}: {attempt}");
        let text = attempt["response"].as_str().unwrap();
        assert!(text.len() <= EXCERPT_BYTES_MAX, "{about:?}: {} bytes kept", text.len());
        // A failure without an answer is said in words.
        assert!(!text.is_empty() || matches!(case.cause, "ok" | "redirect" | "throttled" | "status"), "{about:?}");
    }
    let arrived = arrivals(rig, hook.path).iter().filter(|entry| entry.event.to_string() == event).count();
    assert_eq!(arrived, tries, "{about:?}: attempts and arrivals differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_named_and_ends() {
    let env = [("HOOKFAST_DELIVERY__TIMEOUT_MS", TIMEOUT_MS), ("HOOKFAST_RETRY__DELAYS", "50ms")];
    let rig = Rig::start(&[], &env).await;
    let client = rig.client();
    let app = application(&client).await;
    let closed = hookfast_lab::process::free_port().unwrap();
    let plain = rig.receiver.url("/plain").replace("http:", "https:");
    let cases = [
        (format!("http://127.0.0.1:{closed}/"), "connect"),
        ("http://no-such-host.invalid/".to_owned(), "dns"),
        (plain, "tls"),
    ];
    let mut hooks = Vec::new();
    for (url, cause) in cases {
        let endpoint = EndpointIn { url: url.clone(), ..EndpointIn::default() };
        hooks.push((client.create_endpoint(&app, &endpoint).await.unwrap().id, cause, url));
    }
    let event = send(&client, &app, &json!({})).await;
    for (endpoint, cause, url) in hooks {
        let end = until_state(&client, &app, &event, &endpoint, "dead").await;
        assert_eq!((&end["cause"], &end["tries"]), (&json!(cause), &json!(2)), "{url}");
        for attempt in attempts(&client, &app, &event, &endpoint).await {
            assert_eq!((&attempt["cause"], &attempt["responseStatusCode"]), (&json!(cause), &json!(0)), "{url}");
        }
    }
    assert_eq!(rig.receiver.requests(), 0, "https fell back to plain text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_retry_after_breaks_or_shortens_anything() {
    let rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let client = rig.client();
    let app = application(&client).await;
    // What asks for nothing sensible changes nothing: one retry after its 200 ms, less the jitter.
    let junk = ["0", "-5", "NaN", "inf", "1e300", "0x10", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "1.5"];
    let far = ["9223372036854775807", "9999999999", "Fri, 31 Dec 9999 23:59:59 GMT"];
    let behaviour = |wait: &str| Behaviour::RetryAfter(wait.into());
    let mut junks = Vec::new();
    for (number, wait) in junk.iter().enumerate() {
        junks.push((hook(&rig, &app, &format!("/junk/{number}"), behaviour(wait), Some(vec![200])).await, *wait));
    }
    let mut fars = Vec::new();
    for (number, wait) in far.iter().enumerate() {
        fars.push((hook(&rig, &app, &format!("/far/{number}"), behaviour(wait), Some(vec![200])).await, *wait));
    }
    let second = hook(&rig, &app, "/second", behaviour("1"), Some(vec![10])).await;
    let event = send(&client, &app, &json!({})).await;
    let gap_ms = |hook: &Hook| {
        let seen = arrivals(&rig, hook.path);
        assert_eq!(seen.len(), 2);
        (seen[1].at_us - seen[0].at_us) / 1000
    };
    for (hook, wait) in &junks {
        until_state(&client, &app, &event, &hook.id, "dead").await;
        assert!((150..30_000).contains(&gap_ms(hook)), "{wait:?}: {} ms", gap_ms(hook));
    }
    for (hook, wait) in &fars {
        let waiting = until_state(&client, &app, &event, &hook.id, "retrying").await;
        let due: jiff::Timestamp = waiting["nextAttempt"].as_str().unwrap().parse().unwrap();
        let in_s = due.as_second() - i64::try_from(rig.clock.now_us() / 1_000_000).unwrap();
        assert!((86_100..=86_401).contains(&in_s), "{wait:?}: in {in_s} s, not within 24 h");
    }
    until_state(&client, &app, &event, &second.id, "dead").await;
    assert!(gap_ms(&second) >= 990, "Retry-After: 1 was not honoured: {} ms", gap_ms(&second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end_and_silence_cost_no_memory() {
    const EVENTS: usize = 300;
    const GROWTH_BYTES_MAX: u64 = 48 << 20;
    let env = [("HOOKFAST_DELIVERY__TIMEOUT_MS", "300"), ("HOOKFAST_RETRY__DELAYS", "20ms")];
    let rig = Rig::start(&[], &env).await;
    let client = rig.client();
    let app = application(&client).await;
    let mut hooks = Vec::new();
    for (number, behaviour) in [
        Behaviour::HugeBody,
        Behaviour::EndlessBody,
        Behaviour::Informational,
        Behaviour::Hang,
        Behaviour::Drip(1),
        Behaviour::DripHead(1),
    ]
    .into_iter()
    .enumerate()
    {
        hooks.push(hook(&rig, &app, &format!("/bad/{number}"), behaviour, None).await);
    }
    let warm = send(&client, &app, &json!({})).await;
    for hook in &hooks {
        until("the end of the first", || async {
            standing(&client, &app, &warm, &hook.id).await["nextAttempt"].is_null()
        })
        .await;
    }
    let before = rig.server().usage().unwrap().rss_bytes;
    let mut last = String::new();
    for _ in 0..EVENTS {
        last = send(&client, &app, &json!({})).await;
    }
    // The two that say 2xx have all by then; the others are busy hanging.
    for hook in &hooks[..2] {
        until_state(&client, &app, &last, &hook.id, "delivered").await;
        until("all arrivals", || async { arrivals(&rig, hook.path).len() > EVENTS }).await;
    }
    let grown = rig.server().usage().unwrap().rss_bytes.saturating_sub(before);
    println!("grown by {} KiB", grown >> 10);
    assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes over {EVENTS} events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_must_not_be_dialled_are_refused_at_create() {
    let rig = Rig::start(&[], &[]).await;
    let client = rig.client();
    let app = application(&client).await;
    let own = rig.config.url();
    let hosts = [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/hook",
        "http://100.100.100.200/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
        "http://[64:ff9b::a00:1]/",
        "http://224.0.0.1/",
        "http://127.0.0.1:22/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "nonsense",
        own.as_str(),
    ];
    for url in hosts {
        let (status, body) =
            call(&client, "POST", &format!("/api/v1/app/{app}/endpoint"), Some(json!({"url": url}))).await;
        assert_eq!(status, 422, "{url}: {body}");
        let problem = &body["detail"][0];
        assert_eq!(problem["loc"], json!(["body", "url"]), "{url}: {body}");
        assert!(!problem["msg"].as_str().unwrap().is_empty(), "{url}");
    }
    let good = hook(&rig, &app, "/good", Behaviour::Ok, None).await;
    let path = format!("/api/v1/app/{app}/endpoint/{}", good.id);
    let (status, body) = call(&client, "PATCH", &path, Some(json!({"url": hosts[0]}))).await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["body", "url"])), "not by a change either");
}
