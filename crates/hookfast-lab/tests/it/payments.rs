//! The payment API on a real Redis.

use hookfast_lab::client::{Answer, Client};
use hookfast_lab::payments::{self, BookConfig, PaymentsConfig};
use hookfast_lab::receiver::Receiver;
use hookfast_testkit::redis::{PASSWORD, RedisServer};
use serde_json::Value;
use std::net::SocketAddr;

fn config(server: &RedisServer) -> PaymentsConfig {
    PaymentsConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        book: BookConfig {
            addresses: vec![server.address()],
            username: None,
            password: Some(PASSWORD.into()),
            channel: "payments".into(),
            stream: "payments".into(),
        },
        webhook_url: Some("http://a.example/hook".into()),
        polls_per_second_max: 1,
        settle_ms: 0,
    }
}

async fn start(config: PaymentsConfig) -> (Receiver, Client) {
    let api = payments::start(config).await.unwrap();
    let client = Client::tcp(&format!("http://{}", api.addr()), None).unwrap();
    (api, client)
}

async fn get(client: &Client, path: &str) -> Answer {
    client.call("GET", path, None).await.unwrap()
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_payment_is_announced_on_the_stream_with_the_bytes_of_the_answer() {
    let Some(server) = RedisServer::start() else { return };
    let (api, client) = start(config(&server)).await;
    let made = get(&client, "/payment").await;
    assert_eq!(made.status, 200);
    let other = get(&client, "/payment?url=http%3A%2F%2Fb.example%2F%3Fx").await;
    let added = server.command(&["xrange", "payments", "-", "+"]);
    let messages: Vec<Value> = added.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let messages: Vec<&Value> = messages.iter().filter(|message| message.is_object()).collect();
    assert_eq!(messages.len(), 2, "{added}");
    assert_eq!((&messages[0]["url"], &messages[0]["data"]), (&"http://a.example/hook".into(), &json(&made)));
    assert_eq!((&messages[1]["url"], &messages[1]["data"]), (&"http://b.example/?x".into(), &json(&other)));
    let ttl = server.command(&["ttl", &format!("payment:{}", json(&made)["id"].as_str().unwrap())]);
    assert!((86_000..=86_400).contains(&ttl.parse::<u32>().unwrap()), "{ttl}");
    api.stop().await;
}

#[tokio::test]
async fn how_a_payment_stands_is_told_so_often_and_survives_restarts_of_both() {
    let Some(mut server) = RedisServer::start() else { return };
    let (api, client) = start(config(&server)).await;
    let made = json(&get(&client, "/payment").await);
    api.stop().await;
    server.kill();
    server.restart();
    let (api, client) = start(config(&server)).await;
    let path = format!("/payment/{}", made["id"].as_str().unwrap());
    let standing = get(&client, &path).await;
    assert_eq!((standing.status, &json(&standing)["status"]), (200, &made["event"]));
    let again = get(&client, &path).await;
    assert_eq!((again.status, again.headers["retry-after"].as_bytes()), (429, &b"1"[..]));
    let text = String::from_utf8(get(&client, "/metrics").await.body.to_vec()).unwrap();
    assert!(text.contains("payments_asked_total 2") && text.contains("payments_throttled_total 1"), "{text}");
    api.stop().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_in_json() {
    let Some(mut server) = RedisServer::start() else { return };
    let (api, client) = start(PaymentsConfig { webhook_url: None, ..config(&server) }).await;
    for (method, path, status) in [
        ("GET", "/ping", 200),
        ("GET", "/payment/PAY0", 404),
        ("GET", "/elsewhere", 404),
        ("POST", "/payment", 405),
        ("GET", "/payment", 400),
    ] {
        let answer = client.call(method, path, None).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(status == 200 || json(&answer)["error"].is_string(), "{path}");
    }
    server.kill();
    let away = get(&client, "/payment?url=http://a.example").await;
    assert_eq!((away.status, away.headers["retry-after"].as_bytes()), (503, &b"1"[..]));
    server.restart();
    assert_eq!(get(&client, "/payment?url=http://a.example").await.status, 200);
    api.stop().await;
    let mut wrong = config(&server);
    wrong.book.password = Some("guess".into());
    let (api, client) = start(wrong).await;
    let refused = get(&client, "/payment").await;
    assert_eq!(refused.status, 503);
    assert!(json(&refused)["error"].as_str().unwrap().contains("--redis-password"));
    api.stop().await;
}

#[tokio::test]
async fn of_several_servers_the_master_is_used() {
    let Some(server) = RedisServer::start() else { return };
    let replica = server.replica();
    let mut config = config(&server);
    config.book.addresses = vec![replica.address(), server.address()];
    let (api, client) = start(config).await;
    assert_eq!(get(&client, "/payment").await.status, 200);
    assert_eq!(server.command(&["xlen", "payments"]), "1");
    api.stop().await;
}
