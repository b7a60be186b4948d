//! The sender of the first system, end to end: webhooks are registered and emitters started by its short routes, and what
//! arrives is counted, checked and verified, across kills of the server and of nodes.

use crate::cluster::LEASE_MS;
use crate::rig::{BINARY, until};
use crate::talk::{call, get, origin};
use bytes::Bytes;
use hookfast_core::invoice::InvoiceEvent;
use hookfast_lab::client::Client;
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Asked, Behaviour, Receiver, ReceiverConfig, Request, Responder, Response};
use hookfast_signing::{BodyHexKey, Secret, SignatureHeaders, Verifier};
use hookfast_testkit::postgres::database;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ROLES: &str = "api,engine,maintenance,sources,sender";

/// One event as it arrived: the header that names it, and what it says.
#[derive(Clone, PartialEq, Debug)]
struct Arrived {
    webhook_id: String,
    body: Bytes,
}

/// A receiver's owner, who trusts nothing: every signature header of every request must hold.
#[derive(Default)]
struct Owner {
    secret: Mutex<String>,
    events: Mutex<HashMap<String, Arrived>>,
    faults: Mutex<Vec<String>>,
}

impl Owner {
    fn take(&self, request: &Request) -> Result<(), String> {
        let secret = self.secret.lock().unwrap().clone();
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.and_then(|(_, value)| std::str::from_utf8(value).ok()).ok_or_else(|| format!("no {wanted}"))
        };
        let body_hex = BodyHexKey::new(&secret).map_err(|error| error.to_string())?;
        body_hex.verify(header(BodyHexKey::HEADER)?, &request.body).map_err(|error| format!("body hex: {error}"))?;
        let key = Secret::parse(&secret).or_else(|_| Secret::from_bytes(secret.as_bytes())).unwrap().verifying_key();
        let named = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
        let signed = SignatureHeaders::find(named).map_err(|error| error.to_string())?;
        let now_s = jiff::Timestamp::now().as_second();
        Verifier::new([key]).verify(&signed, &request.body, now_s).map_err(|error| format!("v1: {error}"))?;
        let event = InvoiceEvent::parse(&request.body).map_err(|error| error.to_string())?;
        let arrived = Arrived { webhook_id: signed.id.to_owned(), body: request.body.clone() };
        let known = self.events.lock().unwrap().entry(event.event_id).or_insert_with(|| arrived.clone()).clone();
        if known == arrived { Ok(()) } else { Err(format!("made twice: {known:?} and {arrived:?}")) }
    }

    fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// Every event was signed, and made once; every invoice walked its walk.
    fn assert_sound(&self) {
        assert_eq!(*self.faults.lock().unwrap(), Vec::<String>::new());
        let mut walks: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for arrived in self.events.lock().unwrap().values() {
            let event = InvoiceEvent::parse(&arrived.body).unwrap();
            walks.entry(event.invoice_id).or_default().push((event.timestamp_us, event.event_type));
        }
        for walk in walks.values_mut() {
            walk.sort();
            let kinds: Vec<&str> = walk.iter().map(|(_, kind)| kind.as_str()).collect();
            let is_walk =
                matches!(kinds[..], ["CREATED"] | ["CREATED", "PENDING"] | ["CREATED", "PENDING", "PAID" | "FAILED"]);
            assert!(is_walk, "{kinds:?}");
        }
    }

    async fn until(&self, count: usize) {
        until(&format!("{count} events"), || async { self.count() >= count }).await;
    }
}

impl Responder for Owner {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        if let Err(fault) = self.take(&request) {
            self.faults.lock().unwrap().push(fault);
        }
        Box::pin(ready(Response { status: 200, headers: Vec::new(), body: Bytes::new() }))
    }
}

/// Where webhooks go.
struct Owners(Receiver);

impl Owners {
    async fn start() -> Self {
        Self(Receiver::start(ReceiverConfig::loopback(Journal::new(1 << 16))).await.unwrap())
    }

    /// Registers a webhook; its id and its owner.
    async fn register(&self, sender: &Client, customer: &str, secret: Option<&str>) -> (String, Arc<Owner>) {
        let (path, owner) = (format!("/{customer}"), Arc::<Owner>::default());
        self.0.behave(&path, Behaviour::Ask(Asked(Arc::clone(&owner) as _)));
        let new = json!({ "customer_id": customer, "webhook_url": self.0.url(&path), "secret_token": secret });
        let (status, made) = call(sender, "POST", "/register", Some(new.clone())).await;
        assert_eq!((status, &made["webhook_status"]), (200, &json!("ACTIVE")), "{made}");
        made["secret_token"].as_str().unwrap().clone_into(&mut owner.secret.lock().unwrap());
        let (_, again) = call(sender, "POST", "/register", Some(new)).await;
        assert_eq!((&again["webhook_id"], &again["secret_token"]), (&made["webhook_id"], &json!("********")));
        (made["webhook_id"].as_str().unwrap().to_owned(), owner)
    }
}

fn config(dir: &TempDir, name: &str, env: &[(&str, &str)]) -> ServerConfig {
    let mut config = ServerConfig::new(BINARY, dir.path().join(name)).unwrap();
    let roles = [("HOOKFAST_SERVER__ROLES", ROLES), ("HOOKFAST_RETRY__DELAYS", "100ms,500ms,1s,1s,1s,1s,1s,1s,1s,1s")];
    config.env.extend(roles.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    config
}

fn open(config: &ServerConfig) -> Client {
    Client::tcp(&config.url(), None).unwrap()
}

async fn emitter(sender: &Client, what: &str, customer: &str, webhook: &str, more: &str) -> (u16, Value) {
    let path = format!("/emitter/{what}?customer_id={customer}&webhook_id={webhook}{more}");
    call(sender, "POST", &path, None).await
}

/// What is said of the emitter of a webhook; `None` when it does not run.
async fn listed(sender: &Client, webhook: &str) -> Option<Value> {
    get(sender, "/emitter").await.as_array().unwrap().iter().find(|one| one["webhook_id"] == webhook).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emitters_go_on_after_a_kill_and_make_no_event_twice() {
    let (dir, owners) = (tempfile::tempdir().unwrap(), Owners::start().await);
    let config = config(&dir, "data", &[]);
    let (server, sender) = (Server::start(config.clone()).await.unwrap(), open(&config));
    assert_eq!(get(&sender, "/").await, json!([]));
    let (endless, watched) = owners.register(&sender, "endless", None).await;
    let (counted, numbered) = owners.register(&sender, "counted", Some("ein geheimer Satz, sonst nichts")).await;
    assert_eq!(emitter(&sender, "start", "endless", &endless, "&rate=50").await, (200, json!("Event emitter started")));
    emitter(&sender, "start", "endless", &endless, "&interval_ms=1").await;
    emitter(&sender, "start", "counted", &counted, "&rate=100&count=300").await;
    watched.until(40).await;
    let before = listed(&sender, &endless).await.unwrap();
    assert_eq!((&before["rate"], &before["status"]), (&json!(50.0), &json!("RUNNING")), "the first start holds");
    server.kill().await.unwrap();
    let arrived = watched.count();
    let server = Server::start(config.clone()).await.unwrap();
    watched.until(arrived + 50).await;
    until("a higher number", || async {
        listed(&sender, &endless).await.unwrap()["emitted"].as_u64() > before["emitted"].as_u64()
    })
    .await;
    until("the end of the counted one", || async { listed(&sender, &counted).await.is_none() }).await;
    numbered.until(300).await;
    // In order, and all that was said is true.
    assert!(server.terminate(40_000).await.unwrap().success());
    let server = Server::start(config.clone()).await.unwrap();
    let arrived = watched.count();
    watched.until(arrived + 20).await;
    assert_eq!(emitter(&sender, "stop", "endless", &endless, "").await, (200, json!("Event emitter stopped")));
    assert_eq!(get(&sender, "/emitter").await, json!([]));
    server.kill().await.unwrap();
    let _server = Server::start(config.clone()).await.unwrap();
    assert_eq!(get(&sender, "/emitter").await, json!([]), "what was stopped stays stopped");
    assert_eq!(get(&sender, "/").await.as_array().unwrap().len(), 2);
    assert_eq!(numbered.count(), 300);
    watched.assert_sound();
    numbered.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emitter_pauses_with_its_webhook_and_ends_with_it() {
    let (dir, owners) = (tempfile::tempdir().unwrap(), Owners::start().await);
    let config = config(&dir, "data", &[]);
    let token = config.create_token().await.unwrap();
    let server = Server::start(config.clone()).await.unwrap();
    let (sender, api) = (open(&config), server.client(&token).unwrap());
    let (webhook, owner) = owners.register(&sender, "acme", None).await;
    emitter(&sender, "start", "acme", &webhook, "&rate=100").await;
    owner.until(10).await;
    let apps = get(&api, "/api/v1/app").await;
    assert_eq!(apps["data"][0]["name"], "acme", "the API shows the same");
    let app = apps["data"][0]["id"].as_str().unwrap();
    let endpoint = format!("/api/v1/app/{app}/endpoint/{webhook}");
    let source = format!("emitter:{}", get(&api, &endpoint).await["id"].as_str().unwrap());
    let events = get(&api, &format!("/api/v1/app/{app}/msg")).await;
    let event = events["data"][0]["id"].as_str().unwrap();
    assert_eq!(origin(&api, app, event).await, (json!(source), Value::Null));
    let (status, _) = call(&api, "PATCH", &endpoint, Some(json!({ "disabled": true }))).await;
    assert_eq!(status, 200);
    assert_eq!(get(&sender, "/").await[0]["webhook_status"], "DISABLED");
    let emitted = async || listed(&sender, &webhook).await.unwrap()["emitted"].as_u64().unwrap();
    until("the pause", || async {
        let made = emitted().await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        listed(&sender, &webhook).await.unwrap()["status"] == "PAUSED" && emitted().await == made
    })
    .await;
    let made = emitted().await;
    call(&api, "PATCH", &endpoint, Some(json!({ "disabled": false }))).await;
    until("it to go on", || async { emitted().await > made }).await;
    let (status, _) = call(&api, "DELETE", &endpoint, None).await;
    assert_eq!((status, get(&sender, "/emitter").await), (204, json!([])));
    assert_eq!(emitter(&sender, "start", "acme", &webhook, "").await.0, 404);
    assert_eq!(get(&sender, "/").await, json!([]));
    assert_eq!(*owner.faults.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said_and_tokens_are_asked_for_where_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, "data", &[("HOOKFAST_SENDER__AUTH", "token"), ("WEBHOOK_SECRET_TOKEN", "shared, older")]);
    let token = config.create_token().await.unwrap();
    let server = Server::start(config.clone()).await.unwrap();
    let (stranger, sender) = (open(&config), server.client(&token).unwrap());
    assert_eq!(call(&stranger, "GET", "/ping", None).await.0, 200);
    for (method, path) in [("GET", "/"), ("POST", "/register"), ("GET", "/emitter"), ("POST", "/emitter/start")] {
        assert_eq!(call(&stranger, method, path, None).await.0, 401, "{path}");
    }
    let new = |url: &str| Some(json!({ "customer_id": "acme", "webhook_url": url }));
    let (status, made) = call(&sender, "POST", "/register", new("https://receiver.example/hook")).await;
    assert_eq!((status, &made["secret_token"]), (200, &json!("shared")), "the first of the list");
    let own = format!("{}/register", config.url());
    let large = json!({ "customer_id": "x".repeat(70_000) });
    for (method, path, body, status) in [
        ("POST", "/register", None, 400),
        ("POST", "/register", Some(json!([])), 400),
        ("POST", "/register", new("not a url"), 400),
        ("POST", "/register", new(&own), 400),
        ("POST", "/register", new("http://169.254.169.254/latest"), 400),
        ("POST", "/register", Some(large), 413),
        ("PUT", "/register", None, 405),
        ("GET", "/emitter/start", None, 405),
        ("POST", "/emitter/start", None, 400),
        ("POST", "/emitter/start?customer_id=acme&webhook_id=unknown", None, 404),
        ("POST", "/emitter/stop?customer_id=nobody&webhook_id=unknown", None, 404),
    ] {
        let (got, answer) = call(&sender, method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(answer["code"].is_string() && answer["detail"].is_string(), "{method} {path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_emits_and_the_other_goes_on_when_it_is_killed() {
    let Some(database) = database() else { return };
    let (dir, owners) = (tempfile::tempdir().unwrap(), Owners::start().await);
    let (url, lease) = (database.url(), format!("{LEASE_MS}ms"));
    let env = [("HOOKFAST_STORE__URL", url.as_str()), ("HOOKFAST_STORE__LEASE_MS", lease.as_str())];
    let (first, second) = (config(&dir, "first", &env), config(&dir, "second", &env));
    let token = first.create_token().await.unwrap();
    let one = Server::start(first).await.unwrap();
    let api = Client::tcp(&second.url(), Some(token)).unwrap();
    let other = Server::start(second.clone()).await.unwrap();
    let sender = open(&second);
    let (webhook, owner) = owners.register(&sender, "acme", None).await;
    emitter(&sender, "start", "acme", &webhook, "&rate=50").await;
    owner.until(25).await;
    let nodes = get(&api, "/api/v1/hookfast/node").await;
    let holders: Vec<&Value> = nodes["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["duties"].as_array().unwrap().contains(&json!("emitters")))
        .collect();
    assert_eq!(holders.len(), 1, "{nodes}");
    assert_eq!(holders[0]["incarnation"], nodes["data"][1]["incarnation"], "the first that came: {nodes}");
    one.kill().await.unwrap();
    let (killed, arrived) = (Instant::now(), owner.count());
    // What was on its way to be delivered comes too; a hundred do not come without somebody who makes them.
    owner.until(arrived + 100).await;
    let away = killed.elapsed();
    eprintln!("a hundred events of the other node after {away:?}");
    assert!(away < Duration::from_secs(20), "it took {away:?}");
    emitter(&sender, "stop", "acme", &webhook, "").await;
    assert_eq!(get(&sender, "/emitter").await, json!([]));
    owner.assert_sound();
    assert!(other.terminate(40_000).await.unwrap().success());
}

/// A repeat with another body would be no repeat, and end in the dead-letter topic.
#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_the_log_what_is_made_again_after_a_kill_is_known_as_a_repeat() {
    use hookfast_core::ports::LogReaders as _;
    use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
    let Some((kafka, database)) = crate::consumer::both() else { return };
    let (dir, owners) = (tempfile::tempdir().unwrap(), Owners::start().await);
    let mut config = config(&dir, "data", &[]);
    config.env.extend(crate::consumer::through_the_log(kafka.address(), &database.url()));
    config.env.push(("HOOKFAST_SERVER__ROLES".to_owned(), format!("{ROLES},consumer")));
    config.env.push(("HOOKFAST_SERVER__INTAKE".to_owned(), "log".to_owned()));
    let mut server = Server::start(config.clone()).await.unwrap();
    let sender = open(&config);
    let (webhook, owner) = owners.register(&sender, "acme", None).await;
    emitter(&sender, "start", "acme", &webhook, "&rate=100&count=400").await;
    for count in [50, 150, 250] {
        owner.until(count).await;
        server.kill().await.unwrap();
        server = Server::start(config.clone()).await.unwrap();
    }
    until("the end", || async { listed(&sender, &webhook).await.is_none() }).await;
    owner.until(400).await;
    until("all to be stored", || async { crate::consumer::stored(&database).0 >= 400 }).await;
    assert_eq!((crate::consumer::stored(&database), owner.count()), ((400, 400), 400));
    owner.assert_sound();
    let (_, topic) = config.env.iter().find(|(name, _)| name == "HOOKFAST_KAFKA__INTAKE_TOPIC").unwrap();
    let log = KafkaLog::open(KafkaConfig::new(kafka.address()), Metrics::default()).unwrap();
    let dead = log.peek(&format!("{topic}.dlq"), Vec::new(), 10).await.unwrap_or_default();
    assert!(dead.is_empty(), "{dead:?}");
    assert!(server.terminate(40_000).await.unwrap().success());
}
