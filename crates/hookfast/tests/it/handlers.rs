//! Webhook handlers as they are deployed: three of them behind a real nginx, in front of a real Kafka. What they
//! acknowledged is read back from the topic.

use crate::posting::{Link, SECRET, event, get, request, signed};
use crate::rig::{BINARY, until};
use bytes::Bytes;
use hookfast_core::ports::{Log as _, LogReaders as _};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
use hookfast_signing::BodyHexKey;
use hookfast_testkit::kafka::{KafkaServer, kafka};
use hookfast_testkit::nginx::Nginx;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

const HANDLERS: usize = 3;
/// What a load may do at most: far more than any run here does.
const RECORDS_MAX: usize = 1 << 20;

/// The configuration of a handler that has no store.
fn handler(dir: &TempDir, number: usize, broker: &str, topic: &str) -> ServerConfig {
    let mut config = ServerConfig::new(BINARY, dir.path().join(format!("handler-{number}"))).unwrap();
    let variables = [
        ("HOOKFAST_SERVER__ROLES", "receiver"),
        ("HOOKFAST_SERVER__TRUSTED_PROXIES", "127.0.0.1/32"),
        ("HOOKFAST_RECEIVER__RATE_PER_CLIENT", "0"),
        ("KAFKA_ADDR", broker),
        ("KAFKA_TOPIC", topic),
        ("WEBHOOK_SECRET_TOKEN", SECRET),
    ];
    config.env.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    config
}

/// Starts a handler and waits until it would accept something.
async fn start(config: &ServerConfig) -> Server {
    let server = Server::start(config.clone()).await.unwrap();
    let address = config.listen;
    until("a handler that is ready", || async { get(address, "/health/ready").await.is_some_and(|a| a.status == 200) })
        .await;
    server
}

/// What a load knows of itself.
#[derive(Default)]
struct Seen {
    acked: Mutex<HashSet<String>>,
    acked_count: AtomicU64,
    /// 503 with `Retry-After`.
    refused: AtomicU64,
    /// The connection broke without an answer.
    broken: AtomicU64,
    strange: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    fn acked(&self) -> u64 {
        self.acked_count.load(Ordering::Relaxed)
    }
}

/// Signed events over so many connections, each sent again until it is acknowledged.
struct Load {
    seen: Arc<Seen>,
    senders: JoinSet<()>,
}

impl Load {
    fn start(address: SocketAddr, connections: usize) -> Self {
        let (seen, mut senders) = (Arc::new(Seen::default()), JoinSet::new());
        for number in 0..connections {
            senders.spawn(send(address, number, Arc::clone(&seen)));
        }
        Self { seen, senders }
    }

    async fn reach(&self, acked: u64) {
        until("acknowledged events", || async { self.seen.acked() >= acked }).await;
    }

    /// Ends it after the events under way.
    async fn stop(self) -> Arc<Seen> {
        self.seen.stop.store(true, Ordering::Relaxed);
        self.senders.join_all().await;
        self.seen
    }
}

async fn send(address: SocketAddr, number: usize, seen: Arc<Seen>) {
    let key = BodyHexKey::new(SECRET).unwrap();
    let mut link = None;
    for event in 0u64.. {
        let id = format!("{number}-{event}");
        let request = signed(&key, &id);
        while !send_once(address, &mut link, &request, &id, &seen).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if seen.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Is the event acknowledged now?
async fn send_once(address: SocketAddr, link: &mut Option<Link>, request: &[u8], id: &str, seen: &Seen) -> bool {
    let mut kept = match link.take() {
        Some(kept) => kept,
        None => match Link::dial(address).await {
            Ok(fresh) => fresh,
            Err(_) => return false,
        },
    };
    let Ok(answer) = kept.exchange(request).await else {
        seen.broken.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    match answer.status {
        200 => {
            seen.acked.lock().unwrap().insert(id.to_owned());
            seen.acked_count.fetch_add(1, Ordering::Relaxed);
            *link = answer.keep_alive.then_some(kept);
            true
        }
        503 if answer.retry_after => {
            seen.refused.fetch_add(1, Ordering::Relaxed);
            false
        }
        status => {
            seen.strange.lock().unwrap().push(format!("{id}: {status} {}", answer.body));
            true
        }
    }
}

/// What lies in the topic: how often each key, all with the value that was sent.
async fn read_back(broker: &str, topic: &str) -> HashMap<String, usize> {
    let log = KafkaLog::open(KafkaConfig::new(broker), Metrics::default()).unwrap();
    until("Kafka", || async { log.is_available() }).await;
    let mut found = HashMap::new();
    for entry in log.peek(topic, Vec::new(), RECORDS_MAX).await.unwrap() {
        let id = String::from_utf8(entry.key.unwrap().to_vec()).unwrap();
        assert_eq!(entry.value.unwrap(), event(&id).as_bytes());
        assert_eq!(entry.headers, [("source".to_owned(), Bytes::from_static(b"webhook"))]);
        *found.entry(id).or_insert(0) += 1;
    }
    found
}

/// Nothing that was acknowledged is missing, and no answer was of another kind than it must be.
async fn assert_kept(seen: &Seen, broker: &str, topic: &str) {
    let strange = seen.strange.lock().unwrap().clone();
    assert!(strange.is_empty(), "{} strange answers: {:?}", strange.len(), &strange[..strange.len().min(3)]);
    let found = read_back(broker, topic).await;
    let acked = seen.acked.lock().unwrap().clone();
    let lost: Vec<_> = acked.iter().filter(|id| !found.contains_key(*id)).take(5).collect();
    eprintln!(
        "acknowledged {}, in the topic {} (repeated {}), refused {}, broken {}",
        acked.len(),
        found.len(),
        found.values().filter(|count| **count > 1).count(),
        seen.refused.load(Ordering::Relaxed),
        seen.broken.load(Ordering::Relaxed),
    );
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(!acked.is_empty());
}

async fn accepted_by(address: SocketAddr) -> u64 {
    let wanted = r#"hookfast_received_total{source="webhook",outcome="accepted"} "#;
    let Some(page) = get(address, "/metrics").await else { return 0 };
    page.body.lines().find_map(|line| line.strip_prefix(wanted)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_handler_is_killed_under_load_and_nobody_notices() {
    hookfast_testkit::run(async {
        let Some(kafka) = kafka() else { return };
        let (dir, topic) = (tempfile::tempdir().unwrap(), kafka.topic(6));
        let configs: Vec<_> = (0..HANDLERS).map(|number| handler(&dir, number, kafka.address(), &topic)).collect();
        let addresses: Vec<_> = configs.iter().map(|config| config.listen).collect();
        let Some(nginx) = Nginx::start(&addresses) else { return };
        let mut handlers = Vec::new();
        for config in &configs {
            handlers.push(start(config).await);
        }
        let load = Load::start(nginx.address(), 24);
        load.reach(300).await;
        handlers.remove(0).kill().await.unwrap();
        load.reach(load.seen.acked() + 500).await;
        let again = start(&configs[0]).await;
        until("events at the handler that came back", || async { accepted_by(addresses[0]).await > 20 }).await;
        // In order, too, one goes without anybody noticing.
        handlers.remove(0).terminate(30_000).await.unwrap();
        load.reach(load.seen.acked() + 500).await;
        let seen = load.stop().await;
        assert_eq!(seen.broken.load(Ordering::Relaxed), 0, "nginx answers every request");
        assert_kept(&seen, kafka.address(), &topic).await;
        drop((again, handlers));
    });
}

#[test]
fn what_is_refused_never_reaches_the_topic() {
    hookfast_testkit::run(async {
        let Some(kafka) = kafka() else { return };
        let (dir, topic) = (tempfile::tempdir().unwrap(), kafka.topic(1));
        let config = handler(&dir, 0, kafka.address(), &topic);
        let Some(nginx) = Nginx::start(&[config.listen]) else { return };
        let _handler = start(&config).await;
        let key = BodyHexKey::new(SECRET).unwrap();
        let sign = |body: &str| {
            let mut signature = String::new();
            key.sign_into(&mut signature, body.as_bytes());
            request(body, &format!("{}: {signature}\r\n", BodyHexKey::HEADER))
        };
        let far = event("far").replace("2026-01", "2126-01");
        for (bytes, status, code) in [
            (request(&event("unsigned"), ""), 401, "invalid_signature"),
            (signed(&BodyHexKey::new("other").unwrap(), "wrong"), 401, "invalid_signature"),
            (sign("not JSON"), 400, "invalid_event"),
            (sign("{}"), 400, "invalid_event"),
            (sign(&far), 400, "invalid_event"),
            // Its head alone: it is refused before the body comes.
            (
                b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 1048577\r\n\r\n".to_vec(),
                413,
                "payload_too_large",
            ),
        ] {
            for address in [nginx.address(), config.listen] {
                let answer = Link::dial(address).await.unwrap().exchange(&bytes).await.unwrap();
                assert_eq!(answer.status, status, "{}", answer.body);
                assert!(answer.body.contains(code), "{}", answer.body);
            }
        }
        let good = signed(&key, "good");
        for _ in 0..2 {
            let answer = Link::dial(nginx.address()).await.unwrap().exchange(&good).await.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"accepted","event_id":"good"}"#));
        }
        let found = read_back(kafka.address(), &topic).await;
        assert_eq!(found, HashMap::from([("good".to_owned(), 2)]), "a repeat has the same key");
    });
}

#[test]
fn while_kafka_is_away_senders_are_told_to_come_again() {
    hookfast_testkit::run(async {
        let Some(mut broker) = KafkaServer::start() else { return };
        let (dir, topic) = (tempfile::tempdir().unwrap(), broker.topic(3));
        let config = handler(&dir, 0, &broker.address(), &topic);
        let _handler = start(&config).await;
        let load = Load::start(config.listen, 8);
        load.reach(200).await;
        broker.kill();
        let not_ready =
            || async { get(config.listen, "/health/ready").await.is_some_and(|answer| answer.status == 503) };
        until("a handler that knows", not_ready).await;
        let refused = load.seen.refused.load(Ordering::Relaxed);
        until("requests refused at once", || async { load.seen.refused.load(Ordering::Relaxed) > refused + 20 }).await;
        broker.restart();
        load.reach(load.seen.acked() + 200).await;
        let seen = load.stop().await;
        assert_kept(&seen, &broker.address(), &topic).await;
    });
}

/// Prints how many signed events a second are acknowledged, and asserts nothing about it: the load runs on the same
/// cores.
#[test]
fn how_fast_handlers_are_is_printed() {
    hookfast_testkit::run(async {
        let Some(kafka) = kafka() else { return };
        let (dir, topic) = (tempfile::tempdir().unwrap(), kafka.topic(6));
        let configs: Vec<_> = (0..HANDLERS).map(|number| handler(&dir, number, kafka.address(), &topic)).collect();
        let mut handlers = vec![start(&configs[0]).await];
        let before = handlers[0].usage().unwrap().cpu_us;
        let rate = measure(configs[0].listen).await;
        let cpu_us = (handlers[0].usage().unwrap().cpu_us - before) / MEASURED as u64;
        eprintln!("one handler: {rate:.0} events/s, {cpu_us} us of processor time each");
        for config in &configs[1..] {
            handlers.push(start(config).await);
        }
        let addresses: Vec<_> = configs.iter().map(|config| config.listen).collect();
        let Some(nginx) = Nginx::start(&addresses) else { return };
        eprintln!("three handlers behind nginx: {:.0} events/s", measure(nginx.address()).await);
    });
}

const MEASURED: usize = 5_120;
const CONNECTIONS: usize = 128;

/// Acknowledged events a second, of requests that were signed before.
async fn measure(address: SocketAddr) -> f64 {
    let key = BodyHexKey::new(SECRET).unwrap();
    let mut senders = JoinSet::new();
    let prepared: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS)
        .map(|link| (0..MEASURED / CONNECTIONS).map(|event| signed(&key, &format!("m{link}-{event}"))).collect())
        .collect();
    let start = Instant::now();
    for requests in prepared {
        senders.spawn(async move {
            let mut link = Link::dial(address).await.unwrap();
            for request in requests {
                assert_eq!(link.exchange(&request).await.unwrap().status, 200);
            }
        });
    }
    senders.join_all().await;
    MEASURED as f64 / start.elapsed().as_secs_f64()
}
