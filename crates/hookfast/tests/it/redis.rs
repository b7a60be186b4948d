//! The second system, whole: payments announced in a real Redis, sent by the real binary, received, asked for. It knows
//! Redis by `redis-cli` and hookfast by its command line, its API and what arrives.

use crate::cli::{hookfast, text};
use crate::cluster::Cluster;
use crate::rig::{BINARY, Rig, until};
use crate::talk::{call, get, origin, until_state};
use hookfast_lab::EventKey;
use hookfast_lab::client::Client;
use hookfast_lab::journal::Signature;
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::database;
use hookfast_testkit::redis::{PASSWORD, RedisSentinel, RedisServer};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const APP: &str = "redis.payments";

/// A Redis and a server that reads it.
struct System {
    redis: RedisServer,
    rig: Rig,
}

impl System {
    async fn start(env: &[(&str, &str)]) -> Option<Self> {
        let redis = RedisServer::start()?;
        let address = redis.address();
        let system = Self { rig: Self::rig(&address, PASSWORD, env).await, redis };
        system.until_listening().await;
        Some(system)
    }

    async fn rig(address: &str, password: &str, env: &[(&str, &str)]) -> Rig {
        let ours = [("HOOKFAST_REDIS__PASSWORD", password), ("HOOKFAST_REDIS__RETRY_FIRST_MS", "20ms")];
        // The variable of the system that this takes the place of.
        let all: Vec<_> = ours.iter().chain(env).copied().chain([("REDIS_ADDRESS", address)]).collect();
        Rig::start(&[], &all).await
    }

    async fn until_listening(&self) {
        let client = self.rig.client();
        until("the subscription", || shows(&client, "hookfast_redis_channel_subscribed 1")).await;
    }

    fn message(&self, path: &str, id: &str) -> String {
        let data = json!({ "id": id, "payment": "PY-1", "event": "completed", "created": "2026-01-01T00:00:00Z" });
        json!({ "url": self.rig.receiver.url(path), "webhookId": id, "data": data }).to_string()
    }

    fn add(&self, message: &str) {
        self.redis.command(&["xadd", "payments", "*", "payload", message]);
    }

    /// The event of a message, once it is accepted.
    async fn event(&self, id: &str) -> Value {
        let (client, path) = (self.rig.client(), format!("/api/v1/app/{APP}/msg/{id}"));
        until(&format!("message {id}"), || async { call(&client, "GET", &path, None).await.0 == 200 }).await;
        get(&client, &path).await
    }

    /// The endpoint that was made for a path.
    async fn endpoint(&self, path: &str) -> String {
        let page = get(&self.rig.client(), &format!("/api/v1/app/{APP}/endpoint")).await;
        let url = self.rig.receiver.url(path);
        let found = page["data"].as_array().unwrap().iter().find(|one| one["url"] == url.as_str());
        found.unwrap_or_else(|| panic!("no endpoint for {url}: {page}"))["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the message stands so, and answers how.
    async fn until_state(&self, path: &str, id: &str, state: &str) -> Value {
        let event = self.event(id).await["id"].as_str().unwrap().to_owned();
        until_state(&self.rig.client(), APP, &event, &self.endpoint(path).await, state).await
    }

    /// Arrivals of a message that were answered with 2xx.
    async fn arrivals(&self, id: &str) -> usize {
        let event = self.event(id).await;
        let key = EventKey::of(event["id"].as_str().unwrap());
        let entries = self.rig.receiver.journal().entries();
        entries.iter().filter(|entry| entry.event == key && entry.accepted()).count()
    }

    /// Requests that came to a path.
    fn arrived(&self, path: &str) -> usize {
        let path = self.rig.receiver.path_id(path);
        self.rig.receiver.journal().entries().iter().filter(|entry| entry.path == path).count()
    }

    fn pending(&self) -> String {
        self.redis.command(&["xpending", "payments", "hookfast"]).lines().next().unwrap_or_default().to_owned()
    }
}

/// Is this line among the metrics?
async fn shows(client: &Client, line: &str) -> bool {
    client.metrics().await.unwrap_or_default().lines().any(|shown| shown == line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_delivered_signed_and_once_though_it_comes_both_ways() {
    let Some(system) = System::start(&[]).await else { return };
    system.add(&system.message("/hook", "w1"));
    system.until_state("/hook", "w1", "delivered").await;
    let client = system.rig.client();
    let secret = client.endpoint_secret(APP, &system.endpoint("/hook").await).await.unwrap();
    system.rig.receiver.verify("/hook", &secret).unwrap();
    let message = system.message("/hook", "w2");
    assert_eq!(system.redis.command(&["publish", "payments", &message]), "1");
    system.add(&message);
    system.until_state("/hook", "w2", "delivered").await;
    until("the acknowledgement", || async { system.pending() == "0" }).await;
    assert_eq!(system.arrivals("w2").await, 1);
    let last = *system.rig.receiver.journal().entries().last().unwrap();
    assert_eq!(last.signature, Signature::Good);
    assert_eq!(origin(&client, APP, "w1").await, (json!("redis:stream:payments"), Value::Null));
    assert_eq!(system.redis.command(&["publish", "payments", &system.message("/hook", "w3")]), "1");
    system.event("w3").await;
    assert_eq!(origin(&client, APP, "w3").await, (json!("redis:channel:payments"), Value::Null));
    let event = get(&client, &format!("/api/v1/app/{APP}/msg/w2")).await;
    assert_eq!((&event["eventType"], &event["payload"]["payment"]), (&json!("completed"), &json!("PY-1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_delivered_is_in_the_application_with_its_cause_and_can_be_sent_by_hand() {
    let Some(system) = System::start(&[]).await else { return };
    system.add("{ not json");
    let forbidden = system.message("/hook", "w1").replace(&system.rig.receiver.url("/hook"), "http://10.0.0.1/hook");
    system.add(&forbidden);
    let (client, path) = (system.rig.client(), format!("/api/v1/app/{APP}/msg?event_types=source.rejected"));
    until("both", || async {
        let (status, page) = call(&client, "GET", &path, None).await;
        status == 200 && page["data"].as_array().is_some_and(|events| events.len() == 2)
    })
    .await;
    let kept = get(&client, &path).await["data"].as_array().unwrap().clone();
    let said = |event: &Value| (event["payload"]["cause"].clone(), event["payload"]["message"].clone());
    assert_eq!(said(&kept[1]), (json!("invalid_json"), json!("{ not json")));
    assert_eq!(said(&kept[0]), (json!("forbidden_url"), json!(forbidden)));
    // Whoever wants to hear of them makes an endpoint for that, and has the old ones sent.
    let endpoint = json!({ "url": system.rig.receiver.url("/alarm") });
    let (status, made) = call(&client, "POST", &format!("/api/v1/app/{APP}/endpoint"), Some(endpoint)).await;
    assert_eq!(status, 201, "{made}");
    let (event, endpoint) = (kept[0]["id"].as_str().unwrap(), made["id"].as_str().unwrap());
    let resend = format!("/api/v1/app/{APP}/msg/{event}/endpoint/{endpoint}/resend");
    assert_eq!(call(&client, "POST", &resend, Some(json!({}))).await.0, 202);
    until_state(&client, APP, event, endpoint, "delivered").await;
    // It hears of the next one by itself, and of nothing that has an endpoint of its own.
    system.add("[]");
    system.add(&system.message("/hook", "w2"));
    system.until_state("/hook", "w2", "delivered").await;
    until("the alarm", || async { system.arrived("/alarm") == 2 }).await;
    until("the acknowledgements", || async { system.pending() == "0" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_five_tries_a_message_is_a_dead_letter_that_can_be_replayed() {
    let Some(system) = System::start(&[]).await else { return };
    system.rig.receiver.behave("/hook", Behaviour::Status(500));
    system.add(&system.message("/hook", "w1"));
    let dead = system.until_state("/hook", "w1", "dead").await;
    assert_eq!(dead["tries"], 5, "{dead}");
    system.rig.receiver.behave("/hook", Behaviour::Ok);
    let (client, endpoint) = (system.rig.client(), system.endpoint("/hook").await);
    let resend = format!("/api/v1/app/{APP}/msg/w1/endpoint/{endpoint}/resend");
    assert_eq!(call(&client, "POST", &resend, Some(json!({}))).await.0, 202);
    system.until_state("/hook", "w1", "delivered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_stream_is_lost_though_redis_and_the_server_are_killed() {
    let Some(mut system) = System::start(&[]).await else { return };
    let ids: Vec<String> = (0..90).map(|n| format!("w{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        match n {
            30 => {
                system.redis.kill();
                system.redis.restart();
            }
            60 => system.rig.kill().await,
            _ => {}
        }
        system.add(&system.message("/hook", id));
    }
    system.rig.restart().await;
    for id in &ids {
        system.until_state("/hook", id, "delivered").await;
    }
    until("the acknowledgements", || async { system.pending() == "0" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_is_followed_by_the_server() {
    let Some(mut first) = RedisServer::start() else { return };
    let mut second = first.replica();
    let sentinel = RedisSentinel::start(&first, 1);
    let env = [("HOOKFAST_REDIS__SENTINEL_MASTER", RedisSentinel::MASTER)];
    let rig = System::rig(&sentinel.address(), PASSWORD, &env).await;
    let system = System { redis: RedisServer::start().unwrap(), rig };
    system.until_listening().await;
    let add = |server: &RedisServer, id: &str| {
        server.command(&["xadd", "payments", "*", "payload", &system.message("/hook", id)]);
    };
    add(&first, "w1");
    system.until_state("/hook", "w1", "delivered").await;
    second.wait_for(&["xlen", "payments"], |length| length == "1");
    first.kill();
    second.wait_for(&["role"], |role| role.starts_with("master"));
    add(&second, "w2");
    system.until_state("/hook", "w2", "delivered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_logged_with_what_to_set_and_the_server_works_on() {
    let Some(redis) = RedisServer::start() else { return };
    let rig = System::rig(&redis.address(), "a wrong guess", &[]).await;
    until("the log line", || async {
        let log = std::fs::read_to_string(&rig.config.log).unwrap();
        assert!(!log.contains("a wrong guess"), "{log}");
        log.contains("refused user or password: set redis.password")
    })
    .await;
    assert!(shows(&rig.client(), "hookfast_redis_channel_subscribed 0").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_one_reads_and_when_it_is_killed_one_goes_on() {
    let (Some(database), Some(redis)) = (database(), RedisServer::start()) else { return };
    let address = redis.address();
    let env = [("HOOKFAST_REDIS__ADDRESSES", address.as_str()), ("HOOKFAST_REDIS__PASSWORD", PASSWORD)];
    let mut cluster = Cluster::start(&database.url(), 2, &[], &env).await;
    let first = holder(&cluster).await;
    let receiver = cluster.rig.receiver.url("/hook");
    let add = |n: usize| {
        let message = json!({ "url": receiver, "webhookId": format!("w{n}"), "data": {} }).to_string();
        redis.command(&["xadd", "payments", "*", "payload", &message]);
    };
    (0..20).for_each(add);
    cluster.kill_and_restart(first).await;
    (20..40).for_each(add);
    let pending = || redis.command(&["xinfo", "groups", "payments"]);
    until("every entry", || async { pending().contains("pending\n0\n") && pending().ends_with("lag\n0") }).await;
    holder(&cluster).await;
    let client = cluster.rig.client();
    for n in 0..40 {
        let path = format!("/api/v1/app/{APP}/msg/w{n}/endpoint");
        until(&format!("w{n}"), || async { get(&client, &path).await["data"][0]["state"] == "delivered" }).await;
    }
}

/// Which of two servers reads, once exactly one does.
async fn holder(cluster: &Cluster) -> usize {
    let reads = async |node: usize| {
        let client = cluster.node(node).client(&cluster.rig.token).unwrap();
        shows(&client, "hookfast_redis_holder 1").await
    };
    let found = std::cell::Cell::new(None);
    until("one that reads", || async {
        let both = (reads(0).await, reads(1).await);
        found.set(match both {
            (true, false) => Some(0),
            (false, true) => Some(1),
            _ => None,
        });
        found.get().is_some()
    })
    .await;
    found.get().unwrap()
}

/// `hookfast payments` at work. Killed when dropped.
pub(crate) struct PaymentApi {
    child: Child,
    pub(crate) url: String,
}

impl PaymentApi {
    pub(crate) fn start(redis: &RedisServer, args: &[&str]) -> Self {
        let address = redis.address();
        let words = ["payments", "--listen", "127.0.0.1:0", "--redis", &address];
        let mut command = hookfast(&words);
        command.args(args).env("REDIS_PASSWORD", PASSWORD).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("{line}")).trim_end_matches("/payment").to_owned();
        Self { child, url }
    }

    async fn pay(&self, args: &[&str]) -> (Option<i32>, Value, String) {
        let mut command = Command::new(BINARY);
        command.args(["pay", "--json", "--api", &self.url]).args(args).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json, text(&output.stderr))
    }
}

impl Drop for PaymentApi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_hears_by_webhook_and_asks_when_it_stays_away() {
    let Some(mut system) = System::start(&[]).await else { return };
    let api = PaymentApi::start(&system.redis, &["--polls-per-second", "1", "--settle", "1500ms"]);
    let (code, heard, stderr) = api.pay(&["--wait", "30s"]).await;
    assert_eq!((code, &heard["by"], &heard["polls"]), (Some(0), &json!("webhook"), &json!(0)), "{stderr}");
    assert!(["completed", "failed"].contains(&heard["outcome"].as_str().unwrap()), "{heard}");
    system.rig.kill().await;
    let (code, asked, stderr) = api.pay(&["--wait", "100ms", "--poll"]).await;
    assert_eq!((code, &asked["by"]), (Some(0), &json!("poll")), "{stderr}");
    assert!(asked["polls"].as_u64().unwrap() >= 2 && asked["throttled"].as_u64().unwrap() >= 1, "{asked}");
    let (code, _, stderr) = api.pay(&["--wait", "100ms"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--poll asks for it"), "{stderr}");
    drop(api);
    let nobody = PaymentApi { url: "http://127.0.0.1:1".into(), child: Command::new("true").spawn().unwrap() };
    let (code, _, stderr) = nobody.pay(&[]).await;
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains("is `hookfast payments` running?"), "{stderr}");
}
