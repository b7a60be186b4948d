//! The routes in process, over a port that keeps what it is given: what passes, and what each bad request is told.

use super::*;
use crate::server::Peer;
use axum::body::Body;
use bytes::Bytes;
use hookfast_core::model::SecretText;
use hookfast_core::ports::BoxFuture;
use hookfast_core::{Error, UnixMs};
use hookfast_signing::{BodyHexKey, Secret};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tower::ServiceExt;

const SECRET: &str = "first-system-token";
const NOW_MS: i64 = 1_700_000_000_000;
const NOW_TEXT: &str = "2023-11-14T22:13:20Z";

struct Hands(AtomicI64);
impl Clock for Hands {
    fn now(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::Relaxed))
    }
    fn wall(&self) -> UnixMs {
        self.now()
    }
}

/// Keeps events by id, as a store does: the same again is a repeat, another body a conflict.
#[derive(Default)]
struct Kept {
    events: Mutex<HashMap<String, (Arc<str>, Bytes)>>,
    away: AtomicBool,
    refusal: Mutex<Option<Error>>,
}

impl Inbound for Kept {
    fn receive(&self, received: Received) -> BoxFuture<'_, hookfast_core::Result<()>> {
        let Received { source, event_id, body, .. } = received;
        let answer = match self.refusal.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => match self.events.lock().unwrap().insert(event_id, (source, body.clone())) {
                Some((_, known)) if known != body => {
                    Err(Error::Conflict { code: "event_id_taken", reason: "another body".into() })
                }
                _ => Ok(()),
            },
        };
        Box::pin(std::future::ready(answer))
    }

    fn is_available(&self) -> bool {
        !self.away.load(Ordering::Relaxed)
    }
}

/// A body whose first byte is waited for in vain.
struct NeverComes;

impl axum::body::HttpBody for NeverComes {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn source(name: &str) -> SourceConfig {
    SourceConfig {
        name: name.into(),
        secrets: vec![SecretText::new(SECRET), SecretText::new("the next one")],
        signature: SignatureRule::Any,
        tolerance_ms: 300_000,
        bearer_tokens: Vec::new(),
        api_key_header: None,
        api_keys: Vec::new(),
        rate_per_client: 0,
        burst_per_client: 1,
        rate_per_source: 0,
        ahead_ms_max: 300_000,
        shape: EventShape::Invoice,
    }
}

struct Rig {
    kept: Arc<Kept>,
    clock: Arc<Hands>,
    draining: CancellationToken,
    router: Router,
}

struct Answer {
    status: u16,
    retry_after: Option<String>,
    text: String,
}

impl Answer {
    #[track_caller]
    fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// The error's code and detail.
    #[track_caller]
    fn error(&self, status: u16, code: &str, detail: &str) {
        let body = self.ok(status);
        assert_eq!(body["code"], code);
        assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
    }
}

impl Rig {
    fn new(sources: &[SourceConfig]) -> Self {
        let (kept, clock) = (Arc::new(Kept::default()), Arc::new(Hands(AtomicI64::new(NOW_MS))));
        let mut registry = Registry::default();
        let draining = CancellationToken::new();
        let router = receiver_router(ReceiverState {
            inbound: kept.clone(),
            sources: Arc::new(Sources::new(sources, 1_000).unwrap()),
            clock: clock.clone(),
            config: ReceiverConfig {
                body_bytes_max: 4 << 10,
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
                ..ReceiverConfig::default()
            },
            metrics: ReceiverMetrics::register(&mut registry),
            http_metrics: ApiMetrics::register(&mut registry),
            registry: Arc::new(registry),
            draining: draining.clone(),
        });
        Self { kept, clock, draining, router }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, retry_after, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &str, headers: &[(&str, String)]) -> Answer {
        self.send(post_of(path, body, headers)).await
    }

    /// A signed event by a client behind `peer`.
    async fn from(&self, peer: &str, forwarded: &str) -> Answer {
        let body = event("e");
        let mut headers = plain(SECRET, &body);
        headers.push(("x-forwarded-for", forwarded.to_owned()));
        let mut request = post_of("/webhook", &body, &headers);
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        self.send(request).await
    }

    fn count(&self) -> usize {
        self.kept.events.lock().unwrap().len()
    }
}

fn post_of(path: &str, body: &str, headers: &[(&str, String)]) -> Request<Body> {
    let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, value));
    request.body(Body::from(body.to_owned())).unwrap()
}

fn event_at(id: &str, timestamp: &str) -> String {
    json!({ "event_id": id, "event_type": "PAID", "timestamp": timestamp, "data": { "invoice_id": "i1" } }).to_string()
}

fn event(id: &str) -> String {
    event_at(id, NOW_TEXT)
}

/// `x-webhook-signature`.
fn plain(secret: &str, body: &str) -> Vec<(&'static str, String)> {
    let mut signature = String::new();
    BodyHexKey::new(secret).unwrap().sign_into(&mut signature, body.as_bytes());
    vec![(BodyHexKey::HEADER, signature)]
}

/// `webhook-*`, signed so long ago.
fn standard(secret: &str, body: &str, age_s: i64) -> Vec<(&'static str, String)> {
    let timestamp = (NOW_MS / 1000 - age_s).to_string();
    let mut signature = String::new();
    let signer = Secret::from_bytes(secret.as_bytes()).unwrap().signer();
    signer.sign_into(&mut signature, "msg_1", &timestamp, body.as_bytes()).unwrap();
    vec![("webhook-id", "msg_1".into()), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
}

#[tokio::test]
async fn a_signed_event_is_kept_as_it_came_before_it_is_answered() {
    let rig = Rig::new(&[source(WEBHOOK), source("shop")]);
    for (path, name) in [("/webhook", WEBHOOK), ("/in/shop", "shop"), ("/webhook/", WEBHOOK)] {
        let body = event(&format!("e of {path}"));
        for secret in [SECRET, "the next one"] {
            for headers in [plain(secret, &body), standard(secret, &body, 10)] {
                let answer = rig.post(path, &body, &headers).await.ok(200);
                assert_eq!(answer, json!({ "status": "accepted", "event_id": format!("e of {path}") }));
            }
        }
        let kept = rig.kept.events.lock().unwrap();
        assert_eq!(kept[&format!("e of {path}")], (name.into(), Bytes::from(body)));
    }
}

#[tokio::test]
async fn an_event_that_comes_again_is_fine_and_another_of_its_id_is_not() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    let body = event("e1");
    rig.post("/webhook", &body, &plain(SECRET, &body)).await.ok(200);
    rig.post("/webhook", &body, &plain(SECRET, &body)).await.ok(200);
    let other = event_at("e1", "2023-11-14T22:13:21Z");
    rig.post("/webhook", &other, &plain(SECRET, &other)).await.error(409, "event_id_taken", "another body");
}

#[tokio::test]
async fn what_is_not_signed_as_it_must_be_is_refused() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    let body = event("e1");
    let mut beside = plain(SECRET, &body);
    beside.extend(standard("wrong", &body, 0));
    for (headers, detail) in [
        (Vec::new(), "the request is not signed"),
        (plain("wrong", &body), "matches no secret"),
        (plain(SECRET, "another body"), "matches no secret"),
        (standard(SECRET, &body, 86_400), "webhook-timestamp is 86400 s old and at most 300 s"),
        (standard(SECRET, &body, -400), "lies 400 s ahead"),
        (beside, "webhook-signature matches no secret"),
    ] {
        rig.post("/webhook", &body, &headers).await.error(401, "invalid_signature", detail);
    }
    assert_eq!(rig.count(), 0);
}

#[tokio::test]
async fn what_is_no_event_is_told_which_member_is_wrong() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    let strange = event("e1").replace("PAID", "paid in full");
    for (body, detail) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "body: expected"),
        ("{}", "missing field `event_id`"),
        (event("").as_str(), "event_id: expected 1 to 256"),
        (strange.as_str(), "event_type: expected only"),
        (event_at("e1", "yesterday").as_str(), "timestamp: expected a time"),
        (event_at("e1", "2024-11-14T22:13:20Z").as_str(), "timestamp: it lies 31622400 s ahead"),
    ] {
        rig.post("/webhook", body, &plain(SECRET, body)).await.error(400, "invalid_event", detail);
    }
    let soon = event_at("e1", "2023-11-14T22:18:20Z");
    rig.post("/webhook", &soon, &plain(SECRET, &soon)).await.ok(200);
    assert_eq!(rig.count(), 1);
}

#[tokio::test]
async fn what_is_too_large_or_not_there_is_refused() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    let large = event(&"x".repeat(5_000));
    rig.post("/webhook", &large, &plain(SECRET, &large)).await.error(413, "payload_too_large", "4096 bytes");
    rig.post("/in/nobody", "{}", &[]).await.error(404, "not_found", "source not found");
    rig.post("/in/%ff", "{}", &[]).await.error(404, "not_found", "");
    rig.post("/in/", "{}", &[]).await.error(404, "not_found", "");
    rig.get("/webhook").await.error(405, "method_not_allowed", "allow");
    assert_eq!(rig.count(), 0);
}

#[tokio::test]
async fn callers_are_known_by_token_or_key_where_the_source_asks_for_it() {
    let tokens = vec![SecretText::new("t1"), SecretText::new("t2")];
    let by_key = SourceConfig {
        signature: SignatureRule::None,
        secrets: Vec::new(),
        api_key_header: Some("x-api-key".into()),
        api_keys: tokens.clone(),
        ..source("keyed")
    };
    let rig = Rig::new(&[SourceConfig { bearer_tokens: tokens, ..source(WEBHOOK) }, by_key]);
    let body = event("e1");
    let with = |name: &'static str, value: &str| {
        let mut headers = plain(SECRET, &body);
        headers.push((name, value.to_owned()));
        headers
    };
    rig.post("/webhook", &body, &with("authorization", "Bearer t2")).await.ok(200);
    rig.post("/in/keyed", &body, &[("x-api-key", "t1".into())]).await.ok(200);
    for (path, headers) in [
        ("/webhook", plain(SECRET, &body)),
        ("/webhook", with("authorization", "Bearer t3")),
        ("/webhook", with("x-api-key", "t1")),
        ("/in/keyed", vec![]),
        ("/in/keyed", vec![("x-api-key", "t3".into())]),
        ("/in/keyed", with("authorization", "Bearer t1")),
    ] {
        rig.post(path, &body, &headers).await.error(401, "authentication_failed", "of this source");
    }
    // A token does not stand for a signature.
    let unsigned = [("authorization", "Bearer t1".to_owned())];
    rig.post("/webhook", &body, &unsigned).await.error(401, "invalid_signature", "not signed");
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_and_others_go_on() {
    let rig = Rig::new(&[SourceConfig { rate_per_client: 1, burst_per_client: 3, ..source(WEBHOOK) }]);
    for _ in 0..3 {
        rig.from("203.0.113.7", "").await.ok(200);
    }
    let refused = rig.from("203.0.113.7", "").await;
    refused.error(429, "rate_limited", "1000 ms");
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    rig.from("203.0.113.8", "").await.ok(200);
    // A stranger stays who it is, whatever it says; behind a trusted proxy clients are told apart.
    rig.from("203.0.113.7", "198.51.100.1").await.ok(429);
    rig.from("10.0.0.1", "203.0.113.7").await.ok(429);
    rig.from("10.0.0.1", "198.51.100.1").await.ok(200);
    rig.clock.0.fetch_add(1_000, Ordering::Relaxed);
    rig.from("203.0.113.7", "").await.ok(200);
}

#[tokio::test]
async fn a_source_takes_so_many_in_all_and_refused_ones_do_not_count() {
    let rig = Rig::new(&[SourceConfig { rate_per_source: 2, ..source(WEBHOOK) }, source("other")]);
    for _ in 0..10 {
        rig.post("/webhook", "{}", &[]).await.ok(401);
    }
    rig.from("203.0.113.7", "").await.ok(200);
    rig.from("203.0.113.8", "").await.ok(200);
    assert_eq!(rig.from("203.0.113.9", "").await.retry_after.as_deref(), Some("1"));
    let body = event("e2");
    rig.post("/in/other", &body, &plain(SECRET, &body)).await.ok(200);
}

#[tokio::test]
async fn while_nothing_can_be_made_durable_bodies_are_not_even_read() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    rig.kept.away.store(true, Ordering::Relaxed);
    let answer = rig.send(Request::post("/webhook").body(Body::new(NeverComes)).unwrap()).await;
    answer.error(503, "unavailable", "later");
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    rig.get("/health/ready").await.error(503, "unavailable", "");
    rig.kept.away.store(false, Ordering::Relaxed);
    let body = event("e1");
    for (refusal, status, code) in [
        (Error::Unavailable { reason: "broker 7 of cluster x".into() }, 503, "unavailable"),
        (Error::Overloaded { reason: "the buffer is full", retry_after_ms: 200 }, 503, "overloaded"),
        (Error::invalid("value", "too large for the log"), 400, "invalid_event"),
        (Error::Terminal { reason: "not allowed to write".into() }, 500, "server_error"),
    ] {
        *rig.kept.refusal.lock().unwrap() = Some(refusal);
        let answer = rig.post("/webhook", &body, &plain(SECRET, &body)).await;
        answer.error(status, code, "");
        assert_eq!(answer.retry_after.is_some(), status == 503);
        assert!(!answer.text.contains("cluster x") && !answer.text.contains("not allowed"), "{}", answer.text);
    }
}

#[tokio::test]
async fn health_and_metrics_need_no_store() {
    let rig = Rig::new(&[source(WEBHOOK)]);
    assert_eq!(rig.get("/ping").await.ok(200), json!({ "status": "ok" }));
    assert_eq!(rig.get("/api/v1/health/ping").await.status, 204);
    assert_eq!(rig.get("/health/live").await.ok(200)["status"], "ok");
    assert_eq!(rig.get("/health/ready").await.ok(200)["status"], "ok");
    rig.get("/nowhere").await.error(404, "not_found", "/nowhere");
    let body = event("e1");
    rig.post("/webhook", &body, &plain(SECRET, &body)).await.ok(200);
    rig.post("/webhook", &body, &plain("wrong", &body)).await.ok(401);
    let metrics = rig.get("/metrics").await.text;
    for line in [
        "hookfast_received_total{source=\"webhook\",outcome=\"accepted\"} 1",
        "hookfast_received_total{source=\"webhook\",outcome=\"invalid_signature\"} 1",
        "hookfast_receive_seconds_count 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("store_up"), "{metrics}");
    rig.draining.cancel();
    rig.get("/health/ready").await.error(503, "overloaded", "shutting down");
}

#[test]
fn a_source_that_cannot_work_is_named_with_what_is_wrong() {
    let good = source("a");
    assert_eq!(good.faults(), []);
    let secret = || vec![SecretText::new("x")];
    for (fields, config) in [
        (&["name"][..], SourceConfig { name: "A b".into(), ..good.clone() }),
        (&["secrets"], SourceConfig { secrets: vec![], ..good.clone() }),
        (&["secrets"], SourceConfig { secrets: vec![SecretText::new("whpk_no")], ..good.clone() }),
        (&["signature"], SourceConfig { secrets: vec![], signature: SignatureRule::None, ..good.clone() }),
        (&["signature"], SourceConfig { signature: SignatureRule::None, bearer_tokens: secret(), ..good.clone() }),
        (&["api_keys"], SourceConfig { api_keys: secret(), ..good.clone() }),
        (&["api_key_header"], SourceConfig { api_key_header: Some("x-key".into()), ..good.clone() }),
        (&["api_key_header"], SourceConfig { api_key_header: Some("Host".into()), api_keys: secret(), ..good.clone() }),
        (
            &["event_id", "event_type"],
            SourceConfig {
                shape: EventShape::Pointers { event_id: "id".into(), event_type: "t".into() },
                ..good.clone()
            },
        ),
    ] {
        let found: Vec<_> = config.faults().into_iter().map(|(field, _)| field).collect();
        assert_eq!(found, fields, "{config:?}");
        assert!(Sources::new(&[config], 10).is_err());
    }
    assert!(Sources::new(&[good.clone(), good], 10).unwrap_err().to_string().contains("two of the name `a`"));
}

const HEADERS: [&str; 10] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "x-webhook-signature",
    "x-forwarded-for",
    "authorization",
    "content-length",
];

#[test]
fn no_request_makes_the_receiver_panic_or_accept() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rig = Rig::new(&[SourceConfig { rate_per_client: 1_000_000, ..source(WEBHOOK) }]);
    let value = proptest::collection::vec(prop_oneof![32u8..127, 128u8..=255], 0..200);
    let said = prop_oneof!["v1,[A-Za-z0-9+/=]{0,50}", "1[0-9]{9}", "[0-9a-f]{64}"].prop_map(String::into_bytes);
    let header = (proptest::sample::select(&HEADERS[..]), prop_oneof![value, said]);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[a-z0-9]{1,9}".prop_map(|id| event(&id).into_bytes()),
    ];
    let input = (proptest::collection::vec(header, 0..8), body, "(webhook|in/webhook|in/[a-zA-Z0-9%._-]{0,9})");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1_000));
    let result = runner.run(&input, |(headers, body, path)| {
        let Ok(mut request) = Request::post(format!("/{path}")).body(Body::from(body)) else { return Ok(()) };
        request.extensions_mut().insert(Peer("10.0.0.1".parse().unwrap()));
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        let answer = runtime.block_on(rig.send(request));
        prop_assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text);
        prop_assert!(serde_json::from_str::<Value>(&answer.text).unwrap()["code"].is_string());
        Ok(())
    });
    result.unwrap();
    assert_eq!(rig.count(), 0);
}
