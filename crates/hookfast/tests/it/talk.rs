//! How the tests speak to a server besides the lab's client: JSON calls with every field in view, and bytes on a bare
//! socket. It knows no fault and judges nothing.

use crate::rig::until;
use hookfast_lab::client::{Client, MessageIn};
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One JSON call: its status and its body (`Null` when there is none).
pub(crate) async fn call(client: &Client, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|body| serde_json::to_vec(&body).unwrap());
    let answer = client.call(method, path, body).await.unwrap();
    let json = match answer.body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&answer.body).unwrap_or_else(|error| {
            panic!("{method} {path}: {} is no JSON: {error}", String::from_utf8_lossy(&answer.body))
        }),
    };
    (answer.status, json)
}

/// A call that must succeed.
pub(crate) async fn get(client: &Client, path: &str) -> Value {
    let (status, body) = call(client, "GET", path, None).await;
    assert_eq!(status, 200, "GET {path}: {body}");
    body
}

/// Sends an event and answers its id.
pub(crate) async fn send(client: &Client, app: &str, payload: &Value) -> String {
    let payload = to_raw_value(payload).unwrap();
    let message = MessageIn { event_type: "lab.event", payload: &payload, event_id: None };
    client.create_event(app, &message).await.unwrap().id
}

/// How an event stands at an endpoint, with every field; `Null` when it was not routed there.
pub(crate) async fn standing(client: &Client, app: &str, event: &str, endpoint: &str) -> Value {
    let page = get(client, &format!("/api/v1/app/{app}/msg/{event}/endpoint?limit=250")).await;
    let found = page["data"].as_array().unwrap().iter().find(|one| one["id"] == endpoint);
    found.cloned().unwrap_or_default()
}

/// Waits until an event stands so at an endpoint, and answers how.
pub(crate) async fn until_state(client: &Client, app: &str, event: &str, endpoint: &str, state: &str) -> Value {
    until(&format!("{event} to be {state} at {endpoint}"), || async {
        standing(client, app, event, endpoint).await["state"] == state
    })
    .await;
    standing(client, app, event, endpoint).await
}

/// Through which source an event was accepted, and by whom. It may be named by its uid.
pub(crate) async fn origin(client: &Client, app: &str, event: &str) -> (Value, Value) {
    let story = get(client, &format!("/api/v1/hookfast/app/{app}/msg/{event}/explain")).await;
    (story["source"].clone(), story["acceptedBy"].clone())
}

/// The attempts of an event at an endpoint, oldest first.
pub(crate) async fn attempts(client: &Client, app: &str, event: &str, endpoint: &str) -> Vec<Value> {
    let page = get(client, &format!("/api/v1/app/{app}/attempt/msg/{event}?limit=250")).await;
    let mut found: Vec<_> = page["data"].as_array().unwrap().clone();
    found.retain(|one| one["endpointId"] == endpoint);
    found.reverse();
    found
}

/// A connection to a server, without a client that minds its manners.
pub(crate) struct Bare(TcpStream);

impl Bare {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// Writes what the server still takes; it may have closed already.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Everything that comes until the server closes; at most 20 s.
    pub(crate) async fn until_closed(mut self) -> String {
        let mut bytes = Vec::new();
        let read = async {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = self.0.read(&mut chunk).await {
                bytes.extend_from_slice(&chunk[..length]);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the server closes the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes, says that nothing more comes, and reads to the end.
    pub(crate) async fn exchange(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
        let mut bare = Self::connect(addr).await;
        bare.write(bytes).await;
        bare.until_closed().await
    }
}

/// The status of the first answer in a text; 0 when there is none.
pub(crate) fn status(text: &str) -> u16 {
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// The JSON body of the one answer in a text.
pub(crate) fn body(text: &str) -> Value {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?} is no answer"));
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{body:?}: {error}"))
}
