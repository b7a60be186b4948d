//! Endpoints that keep order, end to end: each key arrives in its order through failures and kills, and nothing is lost.

use crate::cluster::Cluster;
use crate::rig::{Rig, seeded};
use crate::talk::{call, until_state};
use hookfast_lab::EventKey;
use hookfast_lab::client::Client;
use hookfast_lab::journal::PathId;
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::PostgresServer;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const KEYS: usize = 20;
const EVENTS_PER_KEY: usize = 50;

async fn patch(rig: &Rig, endpoint: usize, change: Value) {
    let path = format!("/api/v1/app/{}/endpoint/{}", rig.app, rig.expected[endpoint].endpoint);
    let (status, body) = call(&rig.client(), "PATCH", &path, Some(change)).await;
    assert_eq!(status, 200, "{body}");
}

/// Sends the events of one key one after the other, each until it was accepted; answers their ids in this order.
async fn produce(clients: Vec<Arc<Client>>, app: String, key: usize) -> Vec<EventKey> {
    let mut sent = Vec::new();
    for n in 0..EVENTS_PER_KEY {
        let clients = clients.iter().cycle().skip(key + n);
        let payload = json!({"invoice": {"id": format!("invoice-{key}")}, "n": n});
        let body = json!({"eventType": "lab.event", "eventId": format!("{key}-{n}"), "payload": payload});
        let body = serde_json::to_vec(&body).unwrap();
        for client in clients {
            match client.call("POST", &format!("/api/v1/app/{app}/msg"), Some(body.clone())).await {
                Ok(answer) if answer.status == 202 => {
                    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                    sent.push(EventKey::of(answer["id"].as_str().unwrap()));
                    break;
                }
                // The server is being killed, or starts: the same event id makes the repeat safe.
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    sent
}

/// Waits until so many different events were accepted at a path.
pub(crate) async fn until_accepted(rig: &Rig, path: PathId, count: usize) {
    let (mut seen, mut read) = (HashSet::new(), 0);
    let start = Instant::now();
    while seen.len() < count {
        assert!(start.elapsed() < Duration::from_secs(120), "{} of {count} arrived", seen.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
        read += rig.receiver.journal().read(read, |entries| {
            let here = entries.iter().filter(|entry| entry.path == path && entry.accepted());
            seen.extend(here.map(|entry| entry.event));
            entries.len()
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_arrives_in_order_through_failures_and_kills() {
    let mut random = seeded();
    let mut rig = Rig::start(&[Behaviour::FailShare(0.3)], &[]).await;
    patch(&rig, 0, json!({"ordering": {"pointer": "/invoice/id", "onDead": "block"}})).await;
    let path = rig.expected[0].path;
    let produce = |key| tokio::spawn(produce(vec![rig.client()], rig.app.clone(), key));
    let producers: Vec<_> = (0..KEYS).map(produce).collect();
    for part in 1..=3 {
        until_accepted(&rig, path, KEYS * EVENTS_PER_KEY * part / 5).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..50_000))).await;
        rig.kill_and_restart().await;
    }
    assert_each_key_in_order(&rig, path, producers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_arrives_in_order_over_two_nodes_that_are_killed() {
    let mut random = seeded();
    let Some(postgres) = PostgresServer::start() else { return };
    let mut cluster = Cluster::start(&postgres.url(), 2, &[Behaviour::FailShare(0.3)], &[]).await;
    patch(&cluster.rig, 0, json!({"ordering": {"pointer": "/invoice/id", "onDead": "block"}})).await;
    let path = cluster.rig.expected[0].path;
    let clients: Vec<_> = cluster.listening().into_iter().map(|at| cluster.rig.client_at(at)).collect();
    let app = &cluster.rig.app;
    let producers = (0..KEYS).map(|key| tokio::spawn(produce(clients.clone(), app.clone(), key))).collect();
    for part in 1..=3 {
        until_accepted(&cluster.rig, path, KEYS * EVENTS_PER_KEY * part / 5).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..50_000))).await;
        cluster.kill_and_restart(part % 2).await;
    }
    assert_each_key_in_order(&cluster.rig, path, producers).await;
}

/// Waits until all events have arrived that were produced, and looks at every try.
async fn assert_each_key_in_order(rig: &Rig, path: PathId, producers: Vec<JoinHandle<Vec<EventKey>>>) {
    let mut places = HashMap::new();
    for (key, producer) in producers.into_iter().enumerate() {
        for (n, event) in producer.await.unwrap().into_iter().enumerate() {
            places.insert(event, (key, n));
        }
    }
    until_accepted(rig, path, KEYS * EVENTS_PER_KEY).await;
    // Of each key, the one that is on its turn, and whether it was accepted.
    let mut turns = [(0, false); KEYS];
    let mut failed = 0;
    for entry in rig.receiver.journal().entries() {
        let (key, n) = places[&entry.event];
        let (turn, accepted) = &mut turns[key];
        if n == *turn + 1 {
            assert!(*accepted, "key {key}: {n} was sent before {turn} was accepted");
            (*turn, *accepted) = (n, false);
        }
        assert_eq!(n, *turn, "key {key}: out of order");
        *accepted |= entry.accepted();
        failed += usize::from(!entry.accepted());
    }
    assert!(turns.iter().all(|turn| *turn == (EVENTS_PER_KEY - 1, true)), "{turns:?}");
    assert!(failed > KEYS * EVENTS_PER_KEY / 10, "too few failures to prove anything: {failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_holds_up_its_key_until_it_is_resent() {
    let rig = Rig::start(&[Behaviour::Status(500)], &[("HOOKFAST_RETRY__DELAYS", "10ms")]).await;
    patch(&rig, 0, json!({"ordering": {"onDead": "block"}})).await;
    let (client, endpoint) = (rig.client(), rig.expected[0].endpoint.clone());
    let send = async |key: Option<&str>| {
        let body = json!({"eventType": "lab.event", "payload": {}, "orderingKey": key});
        let (status, answer) = call(&client, "POST", &format!("/api/v1/app/{}/msg", rig.app), Some(body)).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (send(Some("k")).await, send(Some("k")).await);
    until_state(&client, &rig.app, &first, &endpoint, "dead").await;
    rig.receiver.behave("/hook/0", Behaviour::Ok);
    for other in [send(Some("other")).await, send(None).await] {
        until_state(&client, &rig.app, &other, &endpoint, "delivered").await;
    }
    let held = until_state(&client, &rig.app, &second, &endpoint, "pending").await;
    assert_eq!((&held["nextAttempt"], &held["tries"]), (&Value::Null, &json!(0)));
    client.resend(&rig.app, &first, &endpoint).await.unwrap();
    for event in [&first, &second] {
        until_state(&client, &rig.app, event, &endpoint, "delivered").await;
    }
}
