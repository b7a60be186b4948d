//! Events through the log into the store, on a real Kafka and a real PostgreSQL: what was acknowledged is stored once,
//! whatever is killed in the middle.

use crate::cluster::{Cluster, LEASE_MS, goes_on, more};
use crate::rig::{BINARY, Load, Rig, seeded, torture, until};
use hookfast_core::ports::{Log as _, LogReaders as _, LogRecord};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::Behaviour;
use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
use hookfast_testkit::kafka::{KafkaServer, TestKafka, kafka, unique};
use hookfast_testkit::postgres::{PostgresServer, TestDatabase, database};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

const PARTITIONS: i32 = 4;
const ROLES: &str = "api,engine,maintenance,sources,consumer";

/// A topic of invoices, a database, and what servers must be told to read the one into the other.
struct Line {
    log: Arc<KafkaLog>,
    topic: String,
    env: Vec<(String, String)>,
    dir: TempDir,
}

impl Line {
    async fn new(broker: &str, topic: String, database: &str) -> Self {
        let log = KafkaLog::open(KafkaConfig::new(broker), Metrics::default()).unwrap();
        until("the broker", || async { log.is_available() }).await;
        let group = unique("group");
        let mut env = through_the_log(broker, database);
        env.extend([("KAFKA__TOPIC", topic.as_str()), ("KAFKA__GROUP_ID", group.as_str())].map(setting));
        Self { log: Arc::new(log), topic, env, dir: tempfile::tempdir().unwrap() }
    }

    fn node(&self, number: usize, more: &[(&str, &str)]) -> ServerConfig {
        let mut config = ServerConfig::new(BINARY, self.dir.path().join(format!("node{number}"))).unwrap();
        config.env.clone_from(&self.env);
        config.env.extend(more.iter().copied().map(setting));
        config
    }

    async fn append(&self, key: Option<&str>, value: String, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into())).collect();
        let key = key.map(|key| key.to_owned().into());
        let record = LogRecord { topic: self.topic.as_str().into(), key, value: value.into(), headers };
        self.log.append(record).await.unwrap();
    }

    /// Appends the events with these numbers, many at a time.
    async fn fill(&self, numbers: std::ops::Range<usize>) {
        let mut under_way = JoinSet::new();
        for number in numbers {
            if under_way.len() == 256 {
                under_way.join_next().await.unwrap().unwrap();
            }
            let (log, topic) = (Arc::clone(&self.log), Arc::from(self.topic.as_str()));
            under_way.spawn(async move {
                let (id, value) = (format!("e{number}"), event(number, number));
                let record = LogRecord { topic, key: Some(id.into()), value: value.into(), headers: Vec::new() };
                log.append(record).await.unwrap();
            });
        }
        under_way.join_all().await;
    }

    /// How many records the topic has.
    async fn records(&self, topic: &str) -> usize {
        self.log.peek(topic, Vec::new(), usize::MAX).await.map_or(0, |entries| entries.len())
    }
}

fn setting((name, value): (&str, &str)) -> (String, String) {
    (format!("HOOKFAST_{name}"), value.to_owned())
}

/// What a server is told, with topics and groups of its own.
pub(crate) fn through_the_log(broker: &str, database: &str) -> Vec<(String, String)> {
    let (lease, partitions) = (format!("{LEASE_MS}ms"), PARTITIONS.to_string());
    let names = [unique("topic"), unique("group"), unique("topic"), unique("group")];
    let settings = [
        ("STORE__URL", database),
        ("STORE__LEASE_MS", &lease),
        ("SERVER__ROLES", ROLES),
        ("KAFKA__BROKERS", broker),
        ("KAFKA__PARTITIONS", &partitions),
        ("KAFKA__TOPIC", &names[0]),
        ("KAFKA__GROUP_ID", &names[1]),
        ("KAFKA__INTAKE_TOPIC", &names[2]),
        ("KAFKA__INTAKE_GROUP_ID", &names[3]),
    ];
    settings.map(setting).into()
}

/// The event with this number; later events have later times, and ten invoices take turns.
fn event(number: usize, second: usize) -> String {
    let time = jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(second).unwrap()).unwrap();
    let invoice = number % 10;
    format!(
        r#"{{"event_id":"e{number}","event_type":"PAID","timestamp":"{time}","data":{{"invoice_id":"i{invoice}"}}}}"#
    )
}

/// How many events with a uid are stored, and how many different ones.
pub(crate) fn stored(database: &TestDatabase) -> (usize, usize) {
    let counts = database.psql("SELECT count(*), count(DISTINCT uid) FROM hookfast.events WHERE uid IS NOT NULL");
    // Until a server has made its tables there are none.
    let counts = counts.unwrap_or_else(|_| "0|0".to_owned());
    let (all, distinct) = counts.trim().split_once('|').unwrap();
    (all.parse().unwrap(), distinct.parse().unwrap())
}

async fn until_stored(database: &TestDatabase, events: usize) {
    until("every event to be stored", || async { stored(database).1 >= events }).await;
    assert_eq!(stored(database), (events, events), "each event once");
}

/// The sum of the positions kept for a topic.
fn read_so_far(database: &TestDatabase, topic: &str) -> usize {
    let sql = format!("SELECT coalesce(sum(next), 0) FROM hookfast.positions WHERE topic = '{topic}'");
    database.psql(&sql).unwrap().trim().parse().unwrap()
}

pub(crate) fn both() -> Option<(TestKafka, TestDatabase)> {
    kafka().zip(database())
}

async fn cluster(broker: &str, database: &str, nodes: usize) -> Cluster {
    let mut env = through_the_log(broker, database);
    env.push(setting(("SERVER__INTAKE", "log")));
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Cluster::start(database, nodes, &[Behaviour::Ok, Behaviour::FailShare(0.2)], &env).await
}

fn load(rig: &Rig, cluster: &Cluster) -> Vec<Load> {
    cluster.listening().into_iter().map(|at| rig.load_without_keys_at(at, 4)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_through_the_log_are_delivered_once_although_their_consumers_are_killed() {
    let Some((kafka, database)) = both() else { return };
    let (mut random, started) = (seeded(), Instant::now());
    let mut cluster = cluster(kafka.address(), &database.url(), 2).await;
    let loads = load(&cluster.rig, &cluster);
    more(&loads, 100).await;
    let mut faults = 0;
    while goes_on(faults * 2, started) {
        more(&loads, 1 + random.u64(..200)).await;
        cluster.kill_and_restart(random.usize(..cluster.nodes())).await;
        faults += 1;
    }
    more(&loads, 50).await;
    cluster.assert_sound(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing_that_was_accepted() {
    let (Some(mut broker), Some(database)) = (KafkaServer::start(), database()) else { return };
    let started = Instant::now();
    let cluster = cluster(&broker.address(), &database.url(), 1).await;
    let loads = load(&cluster.rig, &cluster);
    let mut faults = 0;
    while goes_on(faults * 4, started) {
        more(&loads, 200).await;
        broker.kill();
        broker.restart();
        faults += 1;
    }
    more(&loads, 200).await;
    cluster.assert_sound(loads).await;
    let by = database.psql("SELECT DISTINCT source, accepted_by LIKE 'tok\\_%' FROM hookfast.events").unwrap();
    assert_eq!(by.trim(), "api|t", "the log keeps who sent an event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_becomes_a_dead_letter_with_its_cause_and_a_replay_brings_it_back_once() {
    let Some((kafka, database)) = both() else { return };
    let line = Line::new(kafka.address(), kafka.topic(PARTITIONS), &database.url()).await;
    line.append(Some("e1"), event(1, 1), &[]).await;
    line.append(Some("e1"), "not JSON".to_owned(), &[]).await;
    line.append(None, event(2, 2), &[]).await;
    // The newest of its invoice comes first.
    line.append(Some("e21"), event(21, 90), &[("source", "shop")]).await;
    line.append(Some("e11"), event(11, 10), &[("retry_count", "many"), ("trace", "t")]).await;
    let server = Server::start(line.node(0, &[])).await.unwrap();
    until_stored(&database, 4).await;
    let sources = database.psql("SELECT uid, source FROM hookfast.events ORDER BY uid").unwrap();
    let read = format!("kafka:{}", line.topic);
    let wanted = [("e1", read.as_str()), ("e11", &read), ("e2", &read), ("e21", "receiver:shop")];
    assert!(sources.lines().eq(wanted.map(|(uid, source)| format!("{uid}|{source}"))), "{sources}");
    // The same id with another body, whose header cannot be read.
    line.append(Some("e1"), event(1, 5), &[("retry_count", "a lot"), ("trace", "t")]).await;
    let config = server.config().clone();
    let listed = async || {
        let answer = config.run(&["dlq", "list", "--topic", &line.topic, "--json"]).await.unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["data"].as_array().unwrap().clone()
    };
    until("two dead letters", || async { listed().await.len() == 2 }).await;
    let letters: BTreeMap<String, Value> =
        listed().await.into_iter().map(|one| (one["cause"].as_str().unwrap().to_owned(), one)).collect();
    assert_eq!((&letters["undecodable"]["retryCount"], &letters["conflict"]["retryCount"]), (&0.into(), &3.into()));
    assert_eq!(letters["conflict"]["originTopic"], line.topic);
    let rows = database.psql("SELECT invoice_id, source_event_id FROM public.events ORDER BY 1").unwrap();
    assert_eq!(rows.lines().collect::<Vec<_>>(), ["i1|e21", "i2|e2"]);

    let at = letters["conflict"]["at"].as_str().unwrap().to_owned();
    let shown = config.run(&["dlq", "show", &at, "--topic", &line.topic]).await.unwrap();
    for text in ["retry_count_was", "a lot", "trace", &event(1, 5)] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let before = line.records(&line.topic).await;
    let replay = async |which: &str, more: &[&str]| {
        let words = ["dlq", "replay", which, "--topic", &line.topic, "--json"];
        let words: Vec<&str> = words.iter().chain(more).copied().collect();
        serde_json::from_str::<Value>(&config.run(&words).await.unwrap()).unwrap()["replayed"].clone()
    };
    assert_eq!(replay(&at, &["--dry-run"]).await, 1);
    assert_eq!(line.records(&line.topic).await, before);
    // The event that stood in its way is gone: now it can be stored.
    database.psql("DELETE FROM hookfast.uids; DELETE FROM hookfast.events WHERE uid = 'e1'").unwrap();
    assert_eq!(replay(&at, &[]).await, 1);
    until_stored(&database, 4).await;
    assert_eq!(replay(&at, &[]).await, 0, "it was replayed");
    assert_eq!(replay("--all", &["--yes"]).await, 1, "what cannot be read is appended again, and dies again");
    until("the third dead letter", || async { listed().await.len() == 3 }).await;
    assert!(server.terminate(30_000).await.unwrap().success());
    let nowhere = config.run(&["dlq", "list", "--topic", &unique("topic")]).await.unwrap_err().to_string();
    assert!(nowhere.contains("exit status: 3"), "{nowhere}");
}

#[tokio::test]
async fn dead_letters_of_a_topic_need_a_broker_that_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, dir.path()).unwrap();
    let unnamed = config.run(&["dlq", "list", "--topic", "t"]).await.unwrap_err().to_string();
    assert!(unnamed.contains("exit status: 2") && unnamed.contains("kafka.brokers"), "{unnamed}");
    // Nothing listens on port 1.
    config.env.push(setting(("KAFKA__BROKERS", "127.0.0.1:1")));
    let silent = config.run(&["dlq", "list", "--topic", "t"]).await.unwrap_err().to_string();
    assert!(silent.contains("exit status: 6"), "{silent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_of_which_one_is_killed_store_each_event_once() {
    let Some((kafka, database)) = both() else { return };
    let line = Line::new(kafka.address(), kafka.topic(PARTITIONS), &database.url()).await;
    line.fill(0..3_000).await;
    let small = [("KAFKA__BATCH_EVENTS_MAX", "20")];
    let (first, second) = (line.node(0, &small), line.node(1, &small));
    let first = Server::start(first).await.unwrap();
    let second = Server::start(second).await.unwrap();
    until("the middle", || async { stored(&database).0 > 300 }).await;
    first.kill().await.unwrap();
    line.fill(3_000..4_000).await;
    until_stored(&database, 4_000).await;
    // What was stored twice moves the position a moment later.
    until("the end", || async { read_so_far(&database, &line.topic) == 4_000 }).await;
    assert_eq!(line.records(&format!("{}.dlq", line.topic)).await, 0);
    assert!(second.terminate(30_000).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_postgresql_uses_up_no_retries_and_loses_nothing() {
    let (Some(kafka), Some(mut postgres)) = (kafka(), PostgresServer::start()) else { return };
    let database = postgres.database();
    let line = Line::new(kafka.address(), kafka.topic(PARTITIONS), &database.url()).await;
    line.fill(0..3_000).await;
    let server = Server::start(line.node(0, &[("KAFKA__BATCH_EVENTS_MAX", "20")])).await.unwrap();
    until("the middle", || async { stored(&database).0 > 300 }).await;
    postgres.stop_immediately();
    line.fill(3_000..4_000).await;
    // Longer than a group waits for a member that is silent would take too long here; the unit tests say that it is not.
    tokio::time::sleep(Duration::from_secs(2)).await;
    postgres.restart();
    until_stored(&database, 4_000).await;
    assert_eq!(line.records(&line.topic).await, 4_000, "nothing was tried again");
    assert_eq!(line.records(&format!("{}.dlq", line.topic)).await, 0);
    drop(server);
}

/// Not a test of speed: it prints what it measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_topic_is_read_to_its_end() {
    let Some((kafka, database)) = both() else { return };
    let events = if torture().is_some() { 100_000 } else { 20_000 };
    let line = Line::new(kafka.address(), kafka.topic(PARTITIONS), &database.url()).await;
    line.fill(0..events).await;
    let server = Server::start(line.node(0, &[])).await.unwrap();
    until("the first events", || async { read_so_far(&database, &line.topic) > 0 }).await;
    let (first, started) = (read_so_far(&database, &line.topic), Instant::now());
    until("the end", || async { read_so_far(&database, &line.topic) == events }).await;
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(stored(&database), (events, events));
    let per_second = (events - first) as f64 / seconds;
    let used = server.usage().unwrap();
    eprintln!("{} events in {seconds:.2} s: {per_second:.0} events/s into PostgreSQL; {used:?}", events - first);
    assert!(server.terminate(30_000).await.unwrap().success());
}
