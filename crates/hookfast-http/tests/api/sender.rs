//! The sender's routes: what they make, and everything that can be wrong with a request. That events come of it is tested
//! with the whole server.

use crate::client::{Answer, Rig};
use crate::doubles::NOW;
use axum::Router;
use axum::body::Body;
use hookfast_core::model::{Principal, Scope, SecretText, Signing};
use hookfast_core::ports::{
    BoxFuture, Created, EMITTERS_MAX, EmitterProgress, Emitters, EndpointPatch, Endpoints as _, NewEmitter,
    RunningEmitter,
};
use hookfast_core::{AppId, EndpointId, Error, Result, UnixMs};
use hookfast_http::{Access, SenderConfig, SenderState, ping_route, router_with, sender_routes};
use http::Request;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::future::ready;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

const URL: &str = "https://receiver.example/hook";

/// Emitters in memory. The promises are those of the stores.
#[derive(Default)]
struct Kept(Mutex<Vec<RunningEmitter>>);

impl Emitters for Kept {
    fn start_emitter(&self, new: NewEmitter) -> BoxFuture<'_, Result<Created<RunningEmitter>>> {
        let mut all = self.0.lock().unwrap();
        if let Some(value) = all.iter().find(|one| one.spec.endpoint == new.endpoint).cloned() {
            return Box::pin(ready(Ok(Created { value, is_new: false })));
        }
        if all.len() >= EMITTERS_MAX {
            let error = Error::Conflict { code: "too_many_emitters", reason: "1000 emitters run already".to_owned() };
            return Box::pin(ready(Err(error)));
        }
        let value = RunningEmitter {
            spec: new,
            progress: EmitterProgress { made: 7, ..EmitterProgress::default() },
            started_at: NOW,
            is_paused: false,
        };
        all.push(value.clone());
        Box::pin(ready(Ok(Created { value, is_new: true })))
    }

    fn stop_emitter(&self, _: AppId, endpoint: EndpointId) -> BoxFuture<'_, Result<Option<RunningEmitter>>> {
        let mut all = self.0.lock().unwrap();
        let at = all.iter().position(|one| one.spec.endpoint == endpoint);
        Box::pin(ready(Ok(at.map(|at| all.remove(at)))))
    }

    fn emitters(&self) -> BoxFuture<'_, Result<Vec<RunningEmitter>>> {
        Box::pin(ready(Ok(self.0.lock().unwrap().clone())))
    }

    fn emitted(&self, _: Vec<(EndpointId, UnixMs, EmitterProgress)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

struct Sender {
    rig: Rig,
    kept: Arc<Kept>,
    changed: Arc<Notify>,
    open: Router,
    guarded: Router,
}

impl Sender {
    fn new() -> Self {
        Self::with(SenderConfig::default())
    }

    fn with(config: SenderConfig) -> Self {
        let (rig, kept, changed) = (Rig::new(), Arc::<Kept>::default(), Arc::<Notify>::default());
        let state = SenderState {
            api: rig.state.clone(),
            emitters: Arc::clone(&kept) as _,
            changed: Arc::clone(&changed),
            config,
        };
        let with = |access: Access| {
            let more = sender_routes(state.clone(), access.clone()).merge(ping_route());
            router_with(rig.state.clone(), access, more)
        };
        let trusted = Access::Trusted(Principal { org: rig.org.clone(), scope: Scope::Org });
        let (open, guarded) = (with(trusted), with(Access::Tokens));
        Self { rig, kept, changed, open, guarded }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "text/plain");
        Rig::send(&self.open, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn register(&self, body: Value) -> Answer {
        self.call("POST", "/register", &body.to_string()).await
    }

    /// A customer's webhook; its id.
    async fn webhook(&self, customer_id: &str) -> String {
        let made = self.register(json!({ "customer_id": customer_id, "webhook_url": URL })).await.ok(200);
        made["webhook_id"].as_str().unwrap().to_owned()
    }

    async fn emitter(&self, what: &str, customer_id: &str, webhook_id: &str, more: &str) -> Answer {
        let path = format!("/emitter/{what}?customer_id={customer_id}&webhook_id={webhook_id}{more}");
        self.call("POST", &path, "").await
    }
}

#[tokio::test]
async fn a_webhook_is_registered_once_and_its_secret_shown_once() {
    let sender = Sender::new();
    let new = json!({ "customer_id": "zoë@example.com", "webhook_url": URL });
    let first = sender.register(new.clone()).await.ok(200);
    let secret = first["secret_token"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    let id = first["webhook_id"].as_str().unwrap();
    assert_eq!(
        first,
        json!({
            "webhook_id": id, "webhook_url": URL, "secret_token": secret, "webhook_status": "ACTIVE",
        })
    );
    let masked = json!({
        "webhook_id": id, "webhook_url": URL, "secret_token": "********", "webhook_status": "ACTIVE",
    });
    assert_eq!(sender.register(new).await.ok(200), masked);
    let other = sender.register(json!({ "customer_id": "b", "webhook_url": URL })).await.ok(200);
    assert_ne!(other["webhook_id"], first["webhook_id"]);
    let list = sender.call("GET", "/", "").await.ok(200);
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0], masked);
    assert!(!sender.call("GET", "/", "").await.text.contains(secret));
    // It is seen by the API too.
    let state = sender.rig.memory.state();
    let app = state.applications.values().find(|app| app.name == "zoë@example.com").unwrap();
    assert!(app.uid.as_ref().unwrap().starts_with("sender.") && app.metadata["customer_id"] == app.name);
    let endpoint = state.endpoints.values().find(|one| one.app == app.id).unwrap();
    assert_eq!((endpoint.uid.as_deref(), endpoint.signing), (Some(id), Signing::WithBodyHex));
    assert_eq!(endpoint.secrets.current.reveal(), secret);
}

#[tokio::test]
async fn a_secret_is_the_callers_or_the_configured_one_whatever_it_is() {
    let config = SenderConfig { secret: Some(SecretText::new("the shared one")), ..SenderConfig::default() };
    let sender = Sender::with(config);
    let shared = sender.register(json!({ "customer_id": "a", "webhook_url": URL })).await.ok(200);
    assert_eq!(shared["secret_token"], "the shared one");
    let own = json!({ "customer_id": "b", "webhook_url": URL, "secret_token": "mein ganz eigenes Gehäuse" });
    assert_eq!(sender.register(own).await.ok(200)["secret_token"], "mein ganz eigenes Gehäuse");
    let null = json!({ "customer_id": "c", "webhook_url": URL, "secret_token": null, "event_types": null });
    assert_eq!(sender.register(null).await.ok(200)["secret_token"], "the shared one");
}

#[tokio::test]
async fn a_registration_that_cannot_be_says_why() {
    let sender = Sender::new();
    let with = |name: &str, value: Value| {
        let mut body = json!({ "customer_id": "a", "webhook_url": URL });
        body[name] = value;
        body.to_string()
    };
    for (body, needle) in [
        (String::new(), "expected a JSON object"),
        ("customer_id=a&webhook_url=b".to_owned(), "not JSON"),
        ("[]".to_owned(), "expected an object, got a list"),
        ("{}".to_owned(), "body.customer_id: expected a string, got nothing; body.webhook_url"),
        (with("customer_id", json!("")), "body.customer_id: expected 1 to 256 characters, got 0"),
        (with("customer_id", json!("x".repeat(257))), "got 257"),
        (with("customer_id", json!("a\u{0}b")), "control characters"),
        (with("customer_id", json!(7)), "expected a string, got the number 7"),
        (with("webhook_url", json!("receiver.example")), "body.webhook_url: the URL must start with http"),
        (with("webhook_url", json!("http://169.254.169.254/")), "not a public one"),
        (with("webhook_url", json!("http://127.0.0.1:22/")), "body.webhook_url"),
        (with("webhook_url", json!(null)), "expected a string, got null"),
        (with("event_types", json!("PAID")), "body.event_types: expected a list"),
        (with("event_types", json!(["a b"])), "body.event_types.0"),
        (with("secret_token", json!("")), "body.secret_token: expected 1 to 256"),
        (with("secret_token", json!("top\nsecret")), "none a control character"),
    ] {
        let answer = sender.call("POST", "/register", &body).await;
        let problem = answer.ok(400);
        assert!(problem["detail"].as_str().unwrap().contains(needle), "{body}: {problem}");
        assert!(!answer.text.contains("top"), "a secret is repeated: {problem}");
    }
    let huge = with("more", json!("x".repeat(70_000)));
    assert_eq!(sender.call("POST", "/register", &huge).await.ok(413)["code"], "payload_too_large");
    assert_eq!(sender.call("GET", "/", "").await.ok(200), json!([]));
    sender.rig.memory.state().fail_with = Some(Error::Unavailable { reason: "x".to_owned() });
    let away = sender.register(json!({ "customer_id": "a", "webhook_url": URL })).await;
    assert_eq!((away.status.as_u16(), away.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn no_more_webhooks_are_registered_than_may_be() {
    let sender = Sender::with(SenderConfig { webhooks_max: 2, ..SenderConfig::default() });
    let register = async |customer: &str, path: &str| {
        sender.register(json!({ "customer_id": customer, "webhook_url": format!("{URL}/{path}") })).await
    };
    register("a", "1").await.ok(200);
    register("a", "2").await.ok(200);
    let refused = register("b", "3").await;
    assert!(refused.ok(429)["detail"].as_str().unwrap().contains("sender.webhooks_max"));
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(register("a", "1").await.ok(200)["secret_token"], "********", "those that are there stay");
    let list = sender.call("GET", "/", "").await;
    assert_eq!((list.ok(200).as_array().unwrap().len(), list.header("x-truncated")), (2, ""));
}

#[tokio::test]
async fn an_emitter_is_started_listed_and_stopped() {
    let sender = Sender::new();
    let id = sender.webhook("a").await;
    assert_eq!(sender.emitter("start", "a", &id, "").await.ok(200), "Event emitter started");
    tokio::time::timeout(std::time::Duration::from_secs(1), sender.changed.notified()).await.unwrap();
    let again = sender.emitter("start", "a", &id, "&rate=100&count=3").await;
    assert_eq!(again.ok(200), "Event emitter started");
    let list = sender.call("GET", "/emitter", "").await.ok(200);
    assert_eq!(
        list,
        json!([{
            "customer_id": "a", "webhook_id": id, "webhook_url": URL, "status": "RUNNING", "interval_ms": 5000.0,
            "rate": 0.2, "emitted": 7, "event_types": [], "started_at": "2026-10-20T10:00:00.000Z",
        }])
    );
    for _ in 0..2 {
        assert_eq!(sender.emitter("stop", "a", &id, "").await.ok(200), "Event emitter stopped");
        assert_eq!(sender.call("GET", "/emitter", "").await.ok(200), json!([]));
    }
}

#[tokio::test]
async fn an_emitter_runs_as_fast_as_long_and_with_what_was_asked_for() {
    let sender = Sender::new();
    let id = sender.webhook("a").await;
    for (query, interval_ns, count, types) in [
        ("&interval_ms=1", 1_000_000, None, vec![]),
        ("&rate=1000", 1_000_000, None, vec![]),
        ("&rate=0.5&count=10", 2_000_000_000, Some(10), vec![]),
        ("&event_types=PAID,FAILED", 5_000_000_000, None, vec!["PAID", "FAILED"]),
        ("&interval_ms=&rate=&count=&event_types=", 5_000_000_000, None, vec![]),
    ] {
        sender.emitter("start", "a", &id, query).await.ok(200);
        let spec = sender.kept.0.lock().unwrap().pop().unwrap().spec;
        assert_eq!((spec.interval_ns, spec.count), (interval_ns, count), "{query}");
        assert_eq!(spec.event_types, types, "{query}");
    }
    let picky = json!({ "customer_id": "b", "webhook_url": URL, "event_types": ["PAID", "CREATED", "other"] });
    let picky = sender.register(picky).await.ok(200)["webhook_id"].as_str().unwrap().to_owned();
    for (query, types) in [("", vec!["CREATED", "PAID"]), ("&event_types=PAID,FAILED", vec!["PAID"])] {
        sender.emitter("start", "b", &picky, query).await.ok(200);
        assert_eq!(sender.kept.0.lock().unwrap().pop().unwrap().spec.event_types, types);
    }
    let none = sender.emitter("start", "b", &picky, "&event_types=FAILED").await.ok(400);
    assert!(none["detail"].as_str().unwrap().contains("takes none of these events, only PAID,CREATED,other"));
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let sender = Sender::new();
    let id = sender.webhook("a").await;
    for (path, needle) in [
        ("/emitter/start", "query.customer_id: expected a value, got nothing; query.webhook_id"),
        ("/emitter/start?customer_id=a", "query.webhook_id"),
        ("/emitter/start?customer_id=&webhook_id=x", "query.customer_id"),
        ("/emitter/start?customer_id=a&webhook_id=%00", "query.webhook_id: expected no control"),
        ("/emitter/stop?webhook_id=x", "query.customer_id"),
        ("/emitter/start?customer_id=a&webhook_id=x&interval_ms=0", "from 1 to 86400000, got \"0\""),
        ("/emitter/start?customer_id=a&webhook_id=x&interval_ms=fast", "got \"fast\""),
        ("/emitter/start?customer_id=a&webhook_id=x&rate=1001", "query.rate: expected a number from"),
        ("/emitter/start?customer_id=a&webhook_id=x&rate=NaN", "query.rate"),
        ("/emitter/start?customer_id=a&webhook_id=x&rate=1&interval_ms=1", "either rate or interval_ms"),
        ("/emitter/start?customer_id=a&webhook_id=x&count=-1", "query.count"),
        (
            "/emitter/start?customer_id=a&webhook_id=x&event_types=PAID,LOST",
            "CREATED,PENDING,PAID,FAILED, got \"LOST\"",
        ),
    ] {
        let problem = sender.call("POST", path, "").await.ok(400);
        assert!(problem["detail"].as_str().unwrap().contains(needle), "{path}: {problem}");
    }
    sender.webhook("b").await;
    for (what, customer, webhook) in [("start", "a", "x"), ("start", "b", id.as_str()), ("stop", "nobody", "x")] {
        let problem = sender.emitter(what, customer, webhook, "").await.ok(404);
        assert!(problem["detail"].as_str().unwrap().contains("POST /register"), "{problem}");
    }
    assert!(sender.kept.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_emitter_for_a_webhook_that_was_deleted_is_not_found_and_not_listed() {
    let sender = Sender::new();
    let id = sender.webhook("a").await;
    sender.emitter("start", "a", &id, "").await.ok(200);
    let endpoint = sender.rig.memory.state().endpoints.values().next().unwrap().clone();
    let disable = EndpointPatch { disabled: Some(true), ..EndpointPatch::default() };
    sender.rig.memory.update_endpoint(endpoint.app, endpoint.id, disable).await.unwrap();
    assert_eq!(sender.call("GET", "/", "").await.ok(200)[0]["webhook_status"], "DISABLED");
    sender.rig.memory.delete_endpoint(endpoint.app, endpoint.id).await.unwrap();
    for what in ["start", "stop"] {
        assert_eq!(sender.emitter(what, "a", &id, "").await.ok(404)["code"], "not_found");
    }
    assert_eq!(sender.call("GET", "/emitter", "").await.ok(200), json!([]));
    assert_eq!(sender.call("GET", "/", "").await.ok(200), json!([]));
}

#[tokio::test]
async fn one_emitter_too_many_is_refused_for_now() {
    let sender = Sender::new();
    let id = sender.webhook("a").await;
    let spec = |n: usize| NewEmitter {
        app: AppId::from_u128(9),
        endpoint: EndpointId::from_u128(n as u128),
        interval_ns: 1,
        count: None,
        event_types: Vec::new(),
    };
    for n in 0..EMITTERS_MAX {
        sender.kept.start_emitter(spec(n)).await.unwrap();
    }
    let refused = sender.emitter("start", "a", &id, "").await;
    assert!(refused.ok(429)["detail"].as_str().unwrap().contains("1000 emitters run already"));
    assert_eq!(refused.header("retry-after"), "60");
}

#[tokio::test]
async fn wrong_methods_and_routes_answer_json() {
    let sender = Sender::new();
    for (method, path, allow) in [
        ("GET", "/register", "POST"),
        ("PUT", "/register", "POST"),
        ("GET", "/emitter/start", "POST"),
        ("DELETE", "/emitter/stop", "POST"),
        ("POST", "/emitter", "GET,HEAD"),
        ("POST", "/ping", "GET,HEAD"),
        ("POST", "/", "GET,HEAD"),
    ] {
        let answer = sender.call(method, path, "").await;
        assert_eq!(answer.ok(405)["code"], "method_not_allowed", "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    sender.call("GET", "/ping", "").await.ok(200);
    assert_eq!(sender.call("GET", "/emitters", "").await.ok(404)["code"], "not_found");
    // The API stands beside it.
    sender.call("GET", "/api/v1/app", "").await.ok(200);
}

#[tokio::test]
async fn where_tokens_are_asked_for_only_the_organisation_may() {
    let sender = Sender::new();
    let app = sender.rig.app().await;
    let made = sender.rig.post("/api/v1/hookfast/token", json!({ "name": "ci" })).await;
    let org = made.json()["token"].as_str().unwrap().to_owned();
    let made = sender.rig.post("/api/v1/hookfast/token", json!({ "name": "ci", "appId": app })).await;
    let of_app = made.json()["token"].as_str().unwrap().to_owned();
    let body = json!({ "customer_id": "a", "webhook_url": URL }).to_string();
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/register"),
        ("GET", "/emitter"),
        ("POST", "/emitter/start"),
        ("POST", "/emitter/stop"),
    ] {
        let status = async |token: &str| {
            let request = Request::builder().method(method).uri(path);
            let request =
                if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
            let answer = Rig::send(&sender.guarded, request.body(Body::from(body.clone())).unwrap()).await;
            answer.status.as_u16()
        };
        assert_eq!((status("").await, status("hf_wrong").await, status(&of_app).await), (401, 401, 403), "{path}");
        assert!([200, 400].contains(&status(&org).await), "{path}");
    }
    let ping = Request::get("/ping").body(Body::empty()).unwrap();
    assert_eq!(Rig::send(&sender.guarded, ping).await.status, 200);
}

#[test]
fn no_body_and_no_query_makes_the_sender_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sender = Sender::new();
    let names =
        ["customer_id", "webhook_url", "event_types", "secret_token", "webhook_id", "rate", "interval_ms", "count"];
    let value = || prop_oneof!["[0-9.e+-]{0,12}".boxed(), "\\PC{0,20}".boxed(), Just(URL.to_owned()).boxed()];
    let json = prop_oneof![
        value().prop_map(|text| Value::String(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        proptest::sample::select(vec!["null", "[]", "[\"a\",1]", "{}", "true", "\"\\ud800\""]).prop_map(str::to_owned),
    ];
    let member = (proptest::sample::select(names.to_vec()), json).prop_map(|(name, json)| format!("\"{name}\":{json}"));
    let body = prop_oneof![
        proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..64),
    ];
    let pairs = proptest::collection::vec((proptest::sample::select(names.to_vec()), value()), 0..5);
    let path = proptest::sample::select(vec!["/register", "/emitter/start", "/emitter/stop", "/emitter", "/"]);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(600));
    let result = runner.run(&(path, pairs, body), |(path, pairs, body)| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let method = if matches!(path, "/" | "/emitter") { "GET" } else { "POST" };
        let request = Request::builder().method(method).uri(format!("{path}?{query}")).body(Body::from(body)).unwrap();
        let answer = runtime.block_on(Rig::send(&sender.open, request));
        prop_assert!(answer.status.as_u16() < 500, "{} {}: {}", path, query, answer.text);
        prop_assert!(serde_json::from_str::<Value>(&answer.text).is_ok(), "{} {}: {:?}", path, query, answer.text);
        Ok(())
    });
    result.unwrap();
}
