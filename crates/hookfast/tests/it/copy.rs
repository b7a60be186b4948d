//! `hookfast store copy`: a server on a database goes on where the one on a directory stopped.

use crate::cli::{hookfast, path, run, text};
use crate::rig::BINARY;
use crate::talk::{Bare, body, get, send, until_state};
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::journal::{Journal, Signature};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use hookfast_testkit::postgres::database;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

const SECRET_KEY: (&str, &str) = ("HOOKFAST_STORE__SECRET_KEY", "correct horse battery staple and more");

/// Sends an event under an idempotency key, and answers its id.
async fn send_keyed(addr: SocketAddr, token: &str, app: &str) -> String {
    let payload = r#"{"eventType":"lab.event","payload":{"keyed":true}}"#;
    let request = format!(
        "POST /api/v1/app/{app}/msg HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nidempotency-key: same\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{payload}",
        payload.len()
    );
    body(&Bare::exchange(addr, request).await)["id"].as_str().unwrap().to_owned()
}

/// Kills a command when it says this.
fn cut_off(words: &[&str], said: &str) {
    let mut command = hookfast(words);
    let mut child =
        command.env(SECRET_KEY.0, SECRET_KEY.1).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: Vec<_> = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .take_while(|line| {
            let goes_on = !line.contains(said);
            if !goes_on {
                child.kill().unwrap();
            }
            goes_on
        })
        .collect();
    assert!(!child.wait().unwrap().success(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_the_copy_delivers_what_the_one_on_the_directory_could_not() {
    let Some(database) = database() else { return };
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(10_000))).await.unwrap();
    receiver.behave("/hook", Behaviour::Status(503));
    let mut config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    let delays = ("HOOKFAST_RETRY__DELAYS".into(), vec!["1s"; 50].join(","));
    config.env.extend([delays, (SECRET_KEY.0.into(), SECRET_KEY.1.into())]);
    let token = config.create_token().await.unwrap();
    let server = Server::start(config.clone()).await.unwrap();
    let client = server.client(&token).unwrap();
    let app = client.create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap().id;
    let endpoint = EndpointIn { url: receiver.url("/hook"), ..EndpointIn::default() };
    let endpoint = client.create_endpoint(&app, &endpoint).await.unwrap().id;
    receiver.verify("/hook", &client.endpoint_secret(&app, &endpoint).await.unwrap()).unwrap();
    let mut events = vec![send_keyed(config.listen, &token, &app).await];
    for number in 0..50 {
        events.push(send(&client, &app, &json!({ "number": number })).await);
    }
    until_state(&client, &app, &events[0], &endpoint, "retrying").await;

    let (from, to) = (format!("sqlite:{}", path(&config.data_dir)), database.url());
    let copy = ["store", "copy", "--from", &from, "--to", &to, "--json"];
    let copy = || hookfast(&copy).env(SECRET_KEY.0, SECRET_KEY.1).output().unwrap();
    let running = copy();
    assert_eq!(running.status.code(), Some(1), "a server has the directory");
    assert!(text(&running.stderr).contains("in use by another hookfast process"), "{}", text(&running.stderr));
    // What it had in memory only is copied too.
    server.kill().await.unwrap();
    cut_off(&["store", "copy", "--from", &from, "--to", &to], "copying deliveries");
    let copied = copy();
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let told: Value = serde_json::from_slice(&copied.stdout).unwrap();
    let rows = |name: &str| {
        let tables = told["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name && table["equal"] == true).unwrap()["rows"].clone()
    };
    assert_eq!((&told["complete"], rows("events"), rows("queue")), (&json!(true), json!(51), json!(51)));
    assert!(!text(&copied.stderr).contains("copying events") && text(&copied.stderr).contains("the copy is complete"));

    config.env.push(("HOOKFAST_STORE__URL".into(), to));
    let server = Server::start(config.clone()).await.unwrap();
    let client = server.client(&token).unwrap();
    receiver.behave("/hook", Behaviour::Ok);
    for event in &events {
        until_state(&client, &app, event, &endpoint, "delivered").await;
    }
    let arrived = receiver.journal().entries();
    assert!(arrived.iter().all(|entry| entry.signature == Signature::Good), "the secret is another");
    assert_eq!(send_keyed(config.listen, &token, &app).await, events[0], "its key was forgotten");
    let listed = get(&client, &format!("/api/v1/app/{app}/msg?limit=250")).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), events.len());
    assert!(server.terminate(30_000).await.unwrap().success());
}

#[test]
fn a_copy_that_cannot_be_made_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nothing");
    let without = run(&["store", "copy", "--from", path(&missing)]);
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without.stderr).contains("--to"), "{}", text(&without.stderr));
    let backwards = run(&["store", "copy", "--from", "postgres://h/db", "--to", "postgres://h/db"]);
    assert_eq!(backwards.status.code(), Some(2));
    let nothing = run(&["store", "copy", "--from", path(&missing), "--to", "postgres://hookfast@127.0.0.1:1/db"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("there is no store in it"), "{}", text(&nothing.stderr));
    assert!(!missing.exists(), "it was made");
}
