//! Trouble at the door and at the start: requests that stop half-way or lie about themselves, too many at once, tokens
//! that end, a shutdown in the middle, a store that cannot be opened. Each has a clear answer, and nothing half-done.

use crate::disk::has_program;
use crate::rig::{BINARY, Rig, until};
use crate::talk::{Bare, body, call, get, status, until_state};
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::skip;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EVENT: &str = r#"{"eventType":"lab.event","payload":{"half":"way"}}"#;

/// The head of a request for a new event, without the fields of its body and without its end.
fn head(rig: &Rig) -> String {
    let (app, addr, token) = (&rig.app, rig.config.listen, &rig.token);
    format!(
        "POST /api/v1/app/{app}/msg HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n"
    )
}

/// A whole request for a new event.
fn post(rig: &Rig, body: &str) -> String {
    format!("{}content-length: {}\r\nconnection: close\r\n\r\n{body}", head(rig), body.len())
}

async fn stored(rig: &Rig) -> usize {
    let page = get(&rig.client(), &format!("/api/v1/app/{}/msg?limit=250", rig.app)).await;
    page["data"].as_array().unwrap().len()
}

/// A good request still gets in, and it alone is stored and delivered.
async fn assert_only_good_ones_count(rig: &Rig) {
    assert_eq!(stored(rig).await, 0, "a broken request was stored");
    let answer = Bare::exchange(rig.config.listen, post(rig, EVENT)).await;
    assert_eq!(status(&answer), 202, "{answer}");
    let event = body(&answer)["id"].as_str().unwrap().to_owned();
    until_state(&rig.client(), &rig.app, &event, &rig.expected[0].endpoint, "delivered").await;
    assert_eq!((stored(rig).await, rig.receiver.requests()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_half_way_leaves_nothing_behind() {
    let rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_SERVER__BODY_TIMEOUT_MS", "300ms")]).await;
    let addr = rig.config.listen;
    for cut in [0, 1, EVENT.len() / 2, EVENT.len() - 1] {
        let part = format!("{}content-length: {}\r\n\r\n{}", head(&rig), EVENT.len(), &EVENT[..cut]);
        // The sender goes away at once …
        let mut gone = Bare::connect(addr).await;
        gone.write(&part).await;
        drop(gone);
        // … says that no more comes …
        let mut finished = Bare::connect(addr).await;
        finished.write(&part).await;
        finished.finish().await;
        assert!(!(200..300).contains(&status(&finished.until_closed().await)), "cut at {cut}");
        // … or just says nothing more.
        let mut silent = Bare::connect(addr).await;
        silent.write(&part).await;
        let answer = silent.until_closed().await;
        assert_eq!(
            (status(&answer), &body(&answer)["code"]),
            (408, &json!("request_timeout")),
            "cut at {cut}: {answer}"
        );
    }
    // A chunked body without its last chunk.
    let mut chunked = Bare::connect(addr).await;
    chunked.write(format!("{}transfer-encoding: chunked\r\n\r\n{:x}\r\n{EVENT}\r\n", head(&rig), EVENT.len())).await;
    chunked.finish().await;
    assert!(!(200..300).contains(&status(&chunked.until_closed().await)));
    assert_only_good_ones_count(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_lies_about_its_length_is_refused() {
    let rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_SERVER__BODY_TIMEOUT_MS", "300ms")]).await;
    let length = EVENT.len();
    let lies = [
        ("too long", format!("content-length: {}\r\n\r\n{EVENT}", length + 1), 408),
        ("too short", format!("content-length: {}\r\n\r\n{EVENT}", length - 1), 422),
        ("negative", format!("content-length: -1\r\n\r\n{EVENT}"), 400),
        ("no number", format!("content-length: {length}x\r\n\r\n{EVENT}"), 400),
        ("two of them", format!("content-length: {length}\r\ncontent-length: 5\r\n\r\n{EVENT}"), 400),
        ("beyond 64 bits", format!("content-length: 18446744073709551616\r\n\r\n{EVENT}"), 400),
        ("a bad chunk", format!("transfer-encoding: chunked\r\n\r\nzz\r\n{EVENT}\r\n0\r\n\r\n"), 400),
        ("a chunk too short", format!("transfer-encoding: chunked\r\n\r\n5\r\n{EVENT}\r\n0\r\n\r\n"), 400),
        ("unknown coding", format!("transfer-encoding: chunked, identity\r\n\r\n{EVENT}"), 400),
    ];
    for (lie, rest, wanted) in lies {
        let answer = Bare::exchange(rig.config.listen, head(&rig) + &rest).await;
        assert_eq!(status(&answer), wanted, "{lie}: {answer}");
        assert!(!answer.contains(" 202 "), "{lie}: {answer}");
    }
    // Both ways to say a length at once: one request at most is seen, and the connection ends.
    let smuggled = "0\r\n\r\nGET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let both =
        format!("{}content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{smuggled}", head(&rig), smuggled.len());
    let answer = Bare::exchange(rig.config.listen, both).await;
    assert!((400..500).contains(&status(&answer)) && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
    assert_only_good_ones_count(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_413_however_it_comes() {
    let rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_SERVER__BODY_BYTES_MAX", "4KiB")]).await;
    let large = format!(r#"{{"eventType":"lab.event","payload":{{"a":"{}"}}}}"#, "x".repeat(8 << 10));
    // Its length is said: refused before the body is sent.
    let mut said = Bare::connect(rig.config.listen).await;
    said.write(format!("{}content-length: {}\r\n\r\n", head(&rig), large.len())).await;
    said.finish().await;
    let answer = said.until_closed().await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_eq!(body(&answer)["code"], "payload_too_large");
    // It is not said: counted while it streams.
    let chunks: String = large.as_bytes().chunks(100).fold(String::new(), |text, chunk| {
        text + &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap())
    });
    let chunked = format!("{}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n", head(&rig));
    let answer = Bare::exchange(rig.config.listen, chunked).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_only_good_ones_count(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_idle_connections_are_closed_and_disturb_nobody() {
    let env = [("HOOKFAST_SERVER__HEADER_TIMEOUT_MS", "400ms"), ("HOOKFAST_SERVER__IDLE_TIMEOUT_MS", "800ms")];
    let rig = Rig::start(&[Behaviour::Ok], &env).await;
    let addr = rig.config.listen;
    let started = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..200 {
        slow.spawn(async move {
            let mut bare = Bare::connect(addr).await;
            match number % 3 {
                0 => bare.write("POST /api/v1/app HTTP/1.1\r\nhost: x\r\nx-slow: ").await,
                1 => bare.write("P").await,
                _ => {}
            }
            bare.until_closed().await
        });
    }
    let load = rig.load(4);
    load.reach(200).await;
    while let Some(answer) = slow.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(status(&answer), 0 | 408), "{answer}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "closed only after {:?}", started.elapsed());
    // A connection that trickles a byte now and then is not saved by it.
    let mut trickling = Bare::connect(addr).await;
    let trickle = async {
        for byte in std::iter::repeat_n(b'x', 100) {
            trickling.write([byte]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        trickling.until_closed().await
    };
    let answer = tokio::time::timeout(Duration::from_secs(8), trickle).await.expect("trickling ends");
    assert!(matches!(status(&answer), 0 | 400 | 408), "{answer}");
    let report = load.stop().await;
    rig.assert_sound(&report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_told_with_retry_after_and_loses_nothing() {
    // Many endpoints, each with one slow try at a time: deliveries fall behind at once.
    const ENDPOINTS: usize = 20;
    let env = [
        ("HOOKFAST_DELIVERY__IN_FLIGHT_PER_ENDPOINT_MAX", "1"),
        ("HOOKFAST_DELIVERY__ADMISSION_LAG_MS", "1ms"),
        ("HOOKFAST_DELIVERY__ADMISSION_WAIT_MS", "0"),
    ];
    let rig = Rig::start(&vec![Behaviour::Delay(20); ENDPOINTS], &env).await;
    let load = rig.load(16);
    until("a refusal", || async { load.progress.counts().refused > 0 }).await;
    let mut answers = Vec::new();
    for _ in 0..200 {
        answers.push(Bare::exchange(rig.config.listen, post(&rig, EVENT)).await);
        if answers.last().is_some_and(|answer| status(answer) != 202) {
            break;
        }
    }
    let refused = answers.iter().find(|answer| status(answer) != 202).expect("one of 200 is refused");
    assert!(matches!(status(refused), 429 | 503), "{refused}");
    assert_eq!(body(refused)["code"], "overloaded");
    let retry_after =
        refused.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("retry-after: ").map(str::to_owned));
    assert!(retry_after.expect("Retry-After").trim().parse::<u32>().unwrap() >= 1);
    let report = load.stop().await;
    assert_eq!((report.counts.failed, report.counts.unknown), (0, 0), "overload is refused, never an error");
    rig.assert_sound(&report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_is_told_so() {
    let rig = Rig::start(&[Behaviour::Ok], &[("HOOKFAST_SERVER__CONNECTIONS_MAX", "8")]).await;
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(Bare::connect(rig.config.listen).await);
    }
    let request = format!("GET /api/v1/health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", rig.config.listen);
    let answer = Bare::exchange(rig.config.listen, &request).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
    drop(held);
    until("room for one more", || async { status(&Bare::exchange(rig.config.listen, &request).await) == 200 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_401_at_once_and_others_go_on() {
    let rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let made: Value = serde_json::from_str(&rig.config.run(&["token", "create", "--json"]).await.unwrap()).unwrap();
    let client = rig.server().client(made["token"].as_str().unwrap()).unwrap();
    let path = format!("/api/v1/app/{}", rig.app);
    for _ in 0..3 {
        assert_eq!(call(&client, "GET", &path, None).await.0, 200);
    }
    rig.config.run(&["token", "revoke", made["id"].as_str().unwrap()]).await.unwrap();
    // On the connection that was let in before, too.
    let (status, body) = call(&client, "GET", &path, None).await;
    assert_eq!((status, &body["code"]), (401, &json!("authentication_failed")));
    assert_eq!(call(&rig.client(), "GET", &path, None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_middle_of_a_request_answers_it_or_refuses_it_but_never_half() {
    let mut rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let addr = rig.config.listen;
    // In all stages: nothing sent yet, half a head, a head, half a body.
    let whole = format!("{}content-length: {}\r\n\r\n{EVENT}", head(&rig), EVENT.len());
    let body_at = whole.len() - EVENT.len();
    let mut open = Vec::new();
    for cut in [0, 20, body_at, body_at + 10, whole.len() - 1] {
        let mut bare = Bare::connect(addr).await;
        bare.write(&whole[..cut]).await;
        open.push((cut, bare));
    }
    // They are known to be there once a later one was answered.
    assert!(rig.client().ping().await);
    let pid = rig.server().pid().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let client = rig.client();
    until("the port to close", || async { !client.ping().await }).await;
    let mut answered = Vec::new();
    for (cut, mut bare) in open {
        bare.write(&whole[cut..]).await;
        let answer = bare.until_closed().await;
        match status(&answer) {
            202 => answered.push(body(&answer)["id"].as_str().unwrap().to_owned()),
            0 | 503 => {}
            other => panic!("cut at {cut}: {other}: {answer}"),
        }
        // Its head was there: the drain waits for its body.
        assert!(cut < body_at || status(&answer) == 202, "cut at {cut}: a request under way was dropped: {answer:?}");
    }
    let from_us = rig.clock.now_us();
    assert!(rig.ended(from_us).await.success(), "SIGTERM ends with exit code 0");
    rig.restart().await;
    let client = rig.client();
    for event in &answered {
        until_state(&client, &rig.app, event, &rig.expected[0].endpoint, "delivered").await;
    }
    assert_eq!(stored(&rig).await, answered.len(), "what was answered is stored, and nothing else");
    assert_eq!(rig.receiver.requests(), answered.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_when_it_says_so_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    let token = config.create_token().await.unwrap();
    for life in 0..5 {
        // `start` returns with the first 204.
        let server = Server::start(config.clone()).await.unwrap();
        let client = server.client(&token).unwrap();
        assert_eq!(call(&client, "GET", "/health/ready", None).await.0, 200, "life {life}");
        let app = client.create_application(&ApplicationIn { name: "a".into(), uid: None }).await.unwrap().id;
        let endpoint = EndpointIn { url: "http://127.0.0.1:9999/".into(), ..EndpointIn::default() };
        client.create_endpoint(&app, &endpoint).await.unwrap();
        assert!(server.terminate(30_000).await.unwrap().success(), "life {life}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_answers_head_and_what_is_not_there_is_json() {
    let rig = Rig::start(&[], &[]).await;
    let client = rig.client();
    for (path, wanted) in
        [("/api/v1/health", 200), ("/api/v1/health/ping", 204), ("/health/live", 200), ("/health/ready", 200)]
    {
        let answer = client.call("HEAD", path, None).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (wanted, 0), "HEAD {path}");
    }
    for (method, path, wanted) in [
        ("GET", "/", 200),
        ("GET", "/no/such/route", 404),
        ("GET", "/api/v1/app/nobody", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/app/%00/msg", 404),
        ("DELETE", "/api/v1/health", 405),
        ("PUT", "/api/v1/app", 405),
    ] {
        let answer = client.call(method, path, None).await.unwrap();
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{method} {path} is no JSON"));
        assert_eq!(answer.status, wanted, "{method} {path}: {json}");
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
        assert!(wanted == 200 || (json["code"].is_string() && json["detail"].is_string()), "{method} {path}: {json}");
        assert!(wanted != 405 || answer.headers.contains_key("allow"), "{method} {path}");
    }
}

/// Why a server does not start.
async fn refusal(config: ServerConfig) -> String {
    Server::start(config).await.err().expect("it must not start").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    config.create_token().await.unwrap();
    let store = config.data_dir.join("store.db");
    let future = rusqlite::Connection::open(&store).unwrap();
    future.execute("INSERT INTO migrations (version, name, checksum) VALUES (9999, 'future', x'00')", []).unwrap();
    future.close().unwrap();
    let said = refusal(config.clone()).await;
    assert!(said.contains("9999") && said.contains("newer hookfast") && said.contains("exit status: 1"), "{said}");
    let said = config.create_token().await.unwrap_err().to_string();
    assert!(said.contains("newer hookfast"), "{said}");
    // Nothing was touched: taken back, it is as before.
    let past = rusqlite::Connection::open(&store).unwrap();
    past.execute("DELETE FROM migrations WHERE version = 9999", []).unwrap();
    past.close().unwrap();
    Server::start(config).await.unwrap().terminate(30_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_somebody_else_is_refused_by_its_name() {
    if !rustix::process::geteuid().is_root() || !has_program("setpriv") {
        return skip("no other user to run as: this needs root and setpriv");
    }
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let seen = std::process::Command::new(nobody[0]).args(&nobody[1..]).args([BINARY, "--version"]).output().unwrap();
    if !seen.status.success() {
        return skip("another user cannot run the binary where it was built");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    config.create_token().await.unwrap();
    config.wrapper = nobody.map(str::to_owned).to_vec();
    let said = refusal(config.clone()).await;
    let name = config.data_dir.to_str().unwrap();
    assert!(said.contains(&format!("data directory {name} cannot be used")) && said.contains("ermission"), "{said}");
    config.wrapper.clear();
    Server::start(config).await.unwrap().terminate(30_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_harms_nobody() {
    let mut rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let load = rig.load(4);
    load.reach(50).await;
    // On the directory of a running server, with a port of its own …
    let mut second = rig.config.clone();
    second.listen.set_port(hookfast_lab::process::free_port().unwrap());
    second.log = rig.dir.path().join("second.log");
    let said = refusal(second).await;
    assert!(
        said.contains("in use by another hookfast process") && said.contains(&rig.server().pid().to_string()),
        "{said}"
    );
    // … and on its port, with a directory of its own, which is free again afterwards.
    let other = rig.dir.path().join("other");
    let third = ServerConfig {
        listen: rig.config.listen,
        log: rig.dir.path().join("third.log"),
        ..ServerConfig::new(BINARY, other).unwrap()
    };
    let mut third_server = Server::spawn(third.clone()).unwrap();
    assert_eq!(third_server.wait(20_000).await.unwrap().code(), Some(1));
    let said = third_server.log_end();
    assert!(said.contains(&format!("cannot listen on {}", rig.config.listen)), "{said}");
    third.create_token().await.unwrap();
    load.reach(load.progress.counts().accepted + 50).await;
    let report = load.stop().await;
    rig.assert_sound(&report).await;
    assert!(rig.config.data_dir.join("control.sock").exists(), "the second one took the first one's socket away");
    assert!(rig.terminate().await.success());
}
