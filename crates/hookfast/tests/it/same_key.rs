//! Many requests with one caller key at once, over two nodes: one event, whatever happens to the nodes.

use crate::cluster::Cluster;
use crate::rig::until;
use crate::talk::{self, Bare, get};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::database;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Requests at once.
const REQUESTS: usize = 100;

/// Two nodes, and how an event is sent to them.
struct Sender {
    cluster: Cluster,
}

impl Sender {
    /// A request with this header besides the usual ones.
    fn request(&self, header: &str, event: &Value) -> Vec<u8> {
        let (app, token, event) = (&self.cluster.rig.app, &self.cluster.rig.token, event.to_string());
        let length = event.len();
        format!(
            "POST /api/v1/app/{app}/msg HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{header}\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{event}"
        )
        .into_bytes()
    }

    /// Sends an event through a node: status and body of the answer.
    async fn send(&self, node: usize, header: &str, event: &Value) -> (u16, Value) {
        let text = Bare::exchange(self.cluster.node(node).config().listen, self.request(header, event)).await;
        (talk::status(&text), talk::body(&text))
    }

    /// Sends it a hundred times at once; the one id that all were answered.
    async fn send_at_once(&self, header: &str, event: &Value) -> Value {
        let mut sent = JoinSet::new();
        for number in 0..REQUESTS {
            let listen = self.cluster.node(number % 2).config().listen;
            sent.spawn(Bare::exchange(listen, self.request(header, event)));
        }
        let mut first = Value::Null;
        for text in sent.join_all().await {
            assert_eq!(talk::status(&text), 202, "{text}");
            let id = talk::body(&text)["id"].clone();
            if first.is_null() {
                first = id;
            } else {
                assert_eq!(id, first, "another event was made");
            }
        }
        first
    }

    /// The ids of all events there are.
    async fn events(&self) -> Vec<Value> {
        let list =
            get(&self.cluster.rig.client(), &format!("/api/v1/app/{}/msg?limit=250", self.cluster.rig.app)).await;
        list["data"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_over_two_nodes_with_one_key_or_uid_are_one_event() {
    let Some(database) = database() else { return };
    let mut sender = Sender { cluster: Cluster::start(&database.url(), 2, &[Behaviour::Ok], &[]).await };
    let event = |amount: u32| json!({ "eventType": "lab.event", "payload": { "amount": amount } });
    let named =
        |amount: u32| json!({ "eventType": "lab.event", "payload": { "amount": amount }, "eventId": "order-7" });
    let key = "idempotency-key: the same\r\n";
    let by_key = sender.send_at_once(key, &event(1)).await;
    let by_uid = sender.send_at_once("", &named(1)).await;
    assert_eq!(sender.events().await, [by_uid.clone(), by_key.clone()]);
    // Neither a node that ends in order nor one that is killed takes it with it.
    sender.cluster.terminate(0).await;
    sender.cluster.restart(0).await;
    sender.cluster.kill_and_restart(1).await;
    for node in 0..2 {
        for (header, event, first) in [(key, event(1), &by_key), ("", named(1), &by_uid)] {
            let (status, body) = sender.send(node, header, &event).await;
            assert_eq!((status, &body["id"]), (202, first), "{body}");
        }
        for (header, event) in [(key, event(2)), ("", named(2))] {
            let (status, body) = sender.send(node, header, &event).await;
            assert_eq!(status, 409, "{body}");
        }
    }
    assert_eq!(sender.events().await.len(), 2);
    until("both to arrive", || async { sender.cluster.rig.receiver.requests() >= 2 }).await;
}
