//! Webhooks received by a server of its own, without Kafka: they become events that are delivered as all others are.

use crate::posting::{Link, SECRET, event, get, request, signed};
use crate::rig::{BINARY, until};
use crate::talk::origin;
use hookfast_lab::client::EndpointIn;
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Receiver, ReceiverConfig};
use hookfast_signing::BodyHexKey;
use serde_json::{Value, json};

/// The application of what comes to `/webhook`.
const APPLICATION: &str = "receiver.webhook";

#[test]
fn what_is_received_is_stored_once_and_delivered() {
    hookfast_testkit::run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
        let roles = ("HOOKFAST_SERVER__ROLES", "api,engine,maintenance,sources,receiver");
        for (name, value) in [roles, ("HOOKFAST_RECEIVER__SECRETS", SECRET)] {
            config.env.push((name.to_owned(), value.to_owned()));
        }
        let (token, address) = (config.create_token().await.unwrap(), config.listen);
        let server = Server::start(config.clone()).await.unwrap();
        let client = server.client(&token).unwrap();
        let behind = Receiver::start(ReceiverConfig::loopback(Journal::new(100))).await.unwrap();
        let endpoint = EndpointIn { url: behind.url("/hook"), ..EndpointIn::default() };
        client.create_endpoint(APPLICATION, &endpoint).await.unwrap();

        let key = BodyHexKey::new(SECRET).unwrap();
        let post = async |bytes: Vec<u8>| Link::dial(address).await.unwrap().exchange(&bytes).await.unwrap();
        for _ in 0..3 {
            assert_eq!(post(signed(&key, "e1")).await.status, 200, "the same again is no error");
        }
        assert_eq!(post(request(&event("e2"), "")).await.status, 401);
        let other = event("e1").replace("PAID", "FAILED");
        let mut signature = String::new();
        key.sign_into(&mut signature, other.as_bytes());
        let answer = post(request(&other, &format!("{}: {signature}\r\n", BodyHexKey::HEADER))).await;
        assert_eq!(answer.status, 409, "{}", answer.body);

        assert_eq!(origin(&client, APPLICATION, "e1").await, (json!("receiver:webhook"), Value::Null));
        until("the delivery", || async { behind.journal().len() == 1 }).await;
        // Killed, it knows the event still.
        server.kill().await.unwrap();
        let server = Server::start(config).await.unwrap();
        assert_eq!(post(signed(&key, "e1")).await.status, 200);
        assert_eq!(post(signed(&key, "e3")).await.status, 200);
        until("the delivery of the other one", || async { behind.journal().len() >= 2 }).await;
        assert_eq!(behind.journal().len(), 2, "e1 came once");
        assert_eq!(get(address, "/health/ready").await.unwrap().status, 200);
        drop(server);
    });
}
