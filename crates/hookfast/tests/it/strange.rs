//! Requests as no ordinary client writes them, and payloads as few do: what HTTP and JSON allow goes through byte for byte,
//! what they forbid is refused, and nobody else's request suffers.

use crate::rig::{Rig, until};
use crate::talk::{Bare, body, call, get, status};
use bytes::Bytes;
use hookfast_lab::client::EndpointIn;
use hookfast_lab::receiver::{Asked, Behaviour, Request, Responder, Response};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// A receiver that keeps what arrives: the type of its content and its bytes.
#[derive(Default)]
struct Kept(Mutex<Vec<(String, Bytes)>>);

impl Responder for Kept {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        let kind = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let kind = kind.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        self.0.lock().unwrap().push((kind, request.body));
        Box::pin(ready(Response { status: 200, headers: Vec::new(), body: Bytes::new() }))
    }
}

impl Kept {
    async fn until(&self, kind: &str, body: &[u8]) {
        let arrived = || self.0.lock().unwrap().iter().any(|(came, bytes)| came == kind && bytes == body);
        until(&format!("a {kind} of {} bytes as it was sent", body.len()), || async { arrived() }).await;
    }
}

/// A server with a receiver that keeps what arrives.
async fn start() -> (Rig, Arc<Kept>) {
    let rig = Rig::start(&[], &[]).await;
    let kept = Arc::<Kept>::default();
    rig.receiver.behave("/kept", Behaviour::Ask(Asked(Arc::clone(&kept) as _)));
    let endpoint = EndpointIn { url: rig.receiver.url("/kept"), ..EndpointIn::default() };
    rig.client().create_endpoint(&rig.app, &endpoint).await.unwrap();
    (rig, kept)
}

/// The head of a request for a new event, without the fields of its body and without its end.
fn head(rig: &Rig) -> String {
    let (app, addr, token) = (&rig.app, rig.config.listen, &rig.token);
    format!("POST /api/v1/app/{app}/msg HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n")
}

fn event(payload: &str) -> String {
    format!(r#"{{"eventType":"strange.event","payload":{payload}}}"#)
}

/// A request with these further lines of the head, on a connection that ends with it.
fn post(rig: &Rig, lines: &str, payload: &[u8]) -> Vec<u8> {
    let body = [br#"{"eventType":"strange.event","payload":"#, payload, b"}"].concat();
    let head = format!("{}{lines}content-length: {}\r\nconnection: close\r\n\r\n", head(rig), body.len());
    [head.into_bytes(), body].concat()
}

async fn stored(rig: &Rig) -> usize {
    let page = get(&rig.client(), &format!("/api/v1/app/{}/msg?limit=250&with_content=false", rig.app)).await;
    page["data"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_payload_that_is_json_arrives_byte_for_byte() {
    let (rig, kept) = start().await;
    let nines = "9".repeat(400);
    let payloads = [
        format!(r#"{{"deep":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000)),
        format!("{}1{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000)),
        format!(r#"{{"whole":{nines},"tiny":-0.{nines}e-{},"round":1.000,"e":1E+400}}"#, 400),
        r#"{"a":1,"a":2,"b":{"c":null,"c":null}}"#.to_owned(),
        r#"{ "spaces" :	[ 1 , 2 ]  }"#.to_owned(),
        r#"{"nul":"\u0000","lone":"\ud800","escaped":"\u00e4\/","plain":"ä\/💩"}"#.to_owned(),
        r#"{"":"","\u0000":"\u0000","__proto__":{}}"#.to_owned(),
        "{}".to_owned(),
    ];
    for payload in &payloads {
        let answer = Bare::exchange(rig.config.listen, post(&rig, "", payload.as_bytes())).await;
        assert_eq!(status(&answer), 202, "{payload}: {answer}");
        assert!(answer.contains(payload.as_str()), "the answer shows another payload than {payload}: {answer}");
        kept.until("application/json", payload.as_bytes()).await;
    }
    // The same as it is read back.
    let path = format!("/api/v1/app/{}/msg", rig.app);
    let list = rig.client().call("GET", &path, None).await.unwrap().body;
    let list = String::from_utf8(list.to_vec()).unwrap();
    assert!(payloads.iter().all(|payload| list.contains(&format!(r#""payload":{payload}"#))), "{list}");
    // Anything else, as text under a type of its own.
    let raw = "<a>\u{0}\r\n\u{7f}é</a>";
    let parameters = json!({ "rawPayload": raw, "headers": { "content-type": "text/xml" } });
    let wanted = json!({ "eventType": "strange.event", "payload": {}, "transformationsParams": parameters });
    assert_eq!(call(&rig.client(), "POST", &path, Some(wanted)).await.0, 202);
    kept.until("text/xml", raw.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_json_is_refused_and_leaves_nothing_behind() {
    let (rig, _) = start().await;
    let deep = "[".repeat(1_000);
    let payloads: [&[u8]; 12] = [
        b"{\"nul\":\"\0\"}",
        b"{\"a\":\0}",
        b"{\"invalid\":\"\xff\xfe\"}",
        b"{\"overlong\":\"\xc0\x80\"}",
        b"{\"surrogate\":\"\xed\xa0\x80\"}",
        b"{\"cut\":\"\xe2\x82\"}",
        b"{\"line\":\"a\nb\"}",
        b"{\"escape\":\"\\x41\"}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        b"{'a':1}",
        deep.as_bytes(),
    ];
    for payload in payloads {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        let answer = Bare::exchange(rig.config.listen, post(&rig, "", payload)).await;
        assert_eq!(status(&answer), 422, "{shown:?}: {answer}");
        assert_eq!(body(&answer)["detail"][0]["type"], "json_invalid", "{shown:?}: {answer}");
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), event("{}").as_bytes()].concat();
    let lines = format!("{}content-length: {}\r\nconnection: close\r\n\r\n", head(&rig), marked.len());
    let answer = Bare::exchange(rig.config.listen, [lines.as_bytes(), &marked].concat()).await;
    assert_eq!(status(&answer), 422, "a byte order mark: {answer}");
    assert_eq!(stored(&rig).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_the_head_that_break_its_lines_are_refused() {
    let (rig, _) = start().await;
    let lines = [
        "x-folded: a\r\n b\r\n",
        "x-bare: a\rb\r\n",
        "x-nul: a\0b\r\n",
        "x name: a\r\n",
        "x-colon : a\r\n",
        ": no name\r\n",
        "no colon\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: \u{b}chunked\r\n",
        "content-length: +45\r\n",
        "content-length: 4 5\r\n",
        "content-length: 0x2d\r\n",
        "idempotency-key: \r\n",
        &format!("idempotency-key: {}\r\n", "k".repeat(257)),
        &format!("x-long: {}\r\n", "v".repeat(1 << 20)),
        &"x-many: v\r\n".repeat(10_000),
    ];
    for line in lines {
        let answer = Bare::exchange(rig.config.listen, post(&rig, line, b"{}")).await;
        let shown = &line[..line.len().min(60)];
        // A connection that is closed while it still sends may lose the answer.
        assert!(
            (400..500).contains(&status(&answer)) || (line.len() > 1_000 && answer.is_empty()),
            "{shown:?}: {answer}"
        );
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{shown:?}: {answer}");
    }
    // The first line, too.
    let rest = format!("host: {}\r\n\r\n", rig.config.listen);
    for line in [
        "GET\r\n",
        "GET /\0 HTTP/1.1\r\n",
        "GET / HTTP/9.9\r\n",
        "G@T / HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "\x16\x03\x01\r\n",
    ] {
        let answer = Bare::exchange(rig.config.listen, format!("{line}{rest}")).await;
        assert!(matches!(status(&answer), 0 | 400 | 405 | 505), "{line:?}: {answer}");
    }
    assert_eq!(stored(&rig).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_one_packet_are_answered_in_order_and_each_by_itself() {
    let (rig, kept) = start().await;
    let one = |payload: &str| {
        let body = event(payload);
        format!("{}content-length: {}\r\n\r\n{body}", head(&rig), body.len())
    };
    let ping = format!("GET /api/v1/health HTTP/1.1\r\nhost: {}\r\n", rig.config.listen);
    let all = [
        one(r#"{"n":1}"#),
        one("[2]"),
        format!("{ping}\r\n"),
        one(r#"{"n":4}"#),
        format!("{ping}connection: close\r\n\r\n"),
    ];
    let answer = Bare::exchange(rig.config.listen, all.concat()).await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["202", "422", "200", "202", "200"], "{answer}");
    kept.until("application/json", br#"{"n":1}"#).await;
    kept.until("application/json", br#"{"n":4}"#).await;
    assert_eq!(stored(&rig).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_every_size_with_extensions_and_trailers_make_the_same_body() {
    let (rig, kept) = start().await;
    for (number, size) in [1, 2, 7, 1_000].into_iter().enumerate() {
        let payload = format!(r#"{{"n":{number},"text":"{}"}}"#, "ä".repeat(500));
        let mut request = head(&rig).into_bytes();
        request.extend(b"transfer-encoding: chunked\r\ntrailer: x-sum\r\nconnection: close\r\n\r\n");
        for chunk in event(&payload).as_bytes().chunks(size) {
            request.extend(format!("{:X};name=\"value\"\r\n", chunk.len()).into_bytes());
            request.extend([chunk, b"\r\n"].concat());
        }
        request.extend(b"0\r\nx-sum: 1\r\nauthorization: Bearer other\r\n\r\n");
        let answer = Bare::exchange(rig.config.listen, request).await;
        assert_eq!(status(&answer), 202, "chunks of {size}: {answer}");
        kept.until("application/json", payload.as_bytes()).await;
    }
    let sizes = ["-1", "1;", "g", "ffffffffffffffff1", "0x5", " ", "5\n"];
    for size in sizes {
        let mut request = head(&rig);
        write!(
            request,
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\n{size}\r\n{}\r\n0\r\n\r\n",
            event("{}")
        )
        .unwrap();
        let answer = Bare::exchange(rig.config.listen, request).await;
        assert!((400..500).contains(&status(&answer)), "{size:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{size:?}: {answer}");
    }
    assert_eq!(stored(&rig).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lengths_at_once_never_make_two_requests() {
    let (rig, _) = start().await;
    let smuggled = format!("0\r\n\r\n{}content-length: 0\r\n\r\n", head(&rig));
    let length = smuggled.len();
    let pairs = [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("content-length: 5\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}, 5\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: identity\r\n"),
        "transfer-encoding: xchunked\r\n".to_owned(),
    ];
    for lengths in &pairs {
        let answer = Bare::exchange(rig.config.listen, format!("{}{lengths}\r\n{smuggled}", head(&rig))).await;
        assert!((400..500).contains(&status(&answer)), "{lengths:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: {answer}");
    }
    let health: Value = get(&rig.client(), "/api/v1/health").await;
    assert!(health.is_object());
    assert_eq!(stored(&rig).await, 0);
}
