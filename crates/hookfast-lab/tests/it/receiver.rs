//! Each behaviour of a receiver does what it says, seen over a real socket.

use hookfast_lab::journal::{Entry, Journal, Signature};
use hookfast_lab::receiver::{
    Asked, Behaviour, Observer, Receiver, ReceiverConfig, Request, Responder, Response, Seen,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ID: &str = "msg_0000000000000000000001";

async fn receiver() -> Receiver {
    Receiver::start(ReceiverConfig::loopback(Journal::new(100))).await.unwrap()
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nwebhook-id: {ID}\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn send(receiver: &Receiver, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.addr()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything until the receiver closes.
async fn until_closed(mut stream: TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `n` bytes.
async fn some(stream: &mut TcpStream, n: usize) -> String {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn answer_of(behaviour: Behaviour) -> String {
    let receiver = receiver().await;
    receiver.behave("/x", behaviour);
    until_closed(send(&receiver, &post("/x", "connection: close\r\n", "{}")).await).await.unwrap()
}

async fn statuses(behaviour: Behaviour, n: usize) -> Vec<u16> {
    let receiver = receiver().await;
    receiver.behave("/x", behaviour);
    for _ in 0..n {
        until_closed(send(&receiver, &post("/x", "connection: close\r\n", "{}")).await).await.unwrap();
    }
    receiver.journal().read(0, |entries| entries.iter().map(|entry| entry.status).collect())
}

#[tokio::test]
async fn it_answers_as_told() {
    assert!(answer_of(Behaviour::Ok).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer_of(Behaviour::Status(418)).await.starts_with("HTTP/1.1 418 "));
    assert!(!answer_of(Behaviour::Status(204)).await.contains("content-length"));
    assert!(answer_of(Behaviour::Delay(20)).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let redirect = answer_of(Behaviour::Redirect("http://169.254.169.254/".into())).await;
    assert!(redirect.starts_with("HTTP/1.1 302 ") && redirect.contains("\r\nlocation: http://169.254.169.254/\r\n"));
    let busy = answer_of(Behaviour::RetryAfter("-5".into())).await;
    assert!(busy.starts_with("HTTP/1.1 429 ") && busy.contains("\r\nretry-after: -5\r\n"));
    assert_eq!(statuses(Behaviour::FailFirst(2), 3).await, [500, 500, 200]);
    assert_eq!(statuses(Behaviour::FailShare(1.0), 2).await, [500, 500]);
    assert_eq!(statuses(Behaviour::FailShare(0.0), 2).await, [200, 200]);
}

#[tokio::test]
async fn it_breaks_connections_as_told() {
    assert_eq!(answer_of(Behaviour::Close).await, "");
    assert!(!answer_of(Behaviour::Garbage).await.starts_with("HTTP"));
    let receiver = receiver().await;
    receiver.behave("/x", Behaviour::Reset);
    let broken = until_closed(send(&receiver, &post("/x", "", "{}")).await).await.unwrap_err();
    assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
    receiver.behave("/x", Behaviour::ResetInBody);
    let mut stream = send(&receiver, &post("/x", "", "{}")).await;
    let mut seen = Vec::new();
    let ended = stream.read_to_end(&mut seen).await;
    assert!(ended.is_err(), "a reset, after {:?}", String::from_utf8_lossy(&seen));
}

#[tokio::test]
async fn it_keeps_senders_waiting_as_told() {
    let receiver = receiver().await;
    for (behaviour, start) in [
        (Behaviour::Drip(1), "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nxxx"),
        (Behaviour::DripHead(1), "HTTP/1.1 200 OK\r\nx-slow: xxx"),
        (Behaviour::HugeBody, "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n000"),
        (Behaviour::EndlessBody, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123"),
        (Behaviour::Informational, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 "),
    ] {
        receiver.behave("/x", behaviour);
        let mut stream = send(&receiver, &post("/x", "", "{}")).await;
        assert_eq!(some(&mut stream, start.len()).await, start);
    }
    receiver.behave("/x", Behaviour::Hang);
    let mut stream = send(&receiver, &post("/x", "", "{}")).await;
    let answer = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(answer.is_err(), "a hanging receiver says nothing");
    assert_eq!(receiver.journal().len(), 6, "written down before the answer");
    assert_eq!(receiver.journal().entries()[5].open_us, Entry::NONE);
}

#[tokio::test]
async fn a_connection_is_kept_and_its_behaviour_switched() {
    let receiver = receiver().await;
    let mut stream = send(&receiver, &post("/x?a=1", "", "{}")).await;
    assert!(some(&mut stream, 38).await.starts_with("HTTP/1.1 200 OK"));
    receiver.behave("/x", Behaviour::Status(204));
    stream.write_all(post("/x?b=2", "connection: close\r\n", "{}").as_bytes()).await.unwrap();
    assert!(until_closed(stream).await.unwrap().starts_with("HTTP/1.1 204"));
    assert_eq!((receiver.connections(), receiver.requests()), (1, 2));
    let entries = receiver.journal().entries();
    assert_eq!([entries[0].ordinal, entries[1].ordinal], [1, 2]);
    assert!(entries[0].open_us < Entry::NONE);
}

#[tokio::test]
async fn pipelined_chunked_and_expecting_requests_are_read() {
    let receiver = receiver().await;
    let two = post("/a", "", "{}") + &post("/b", "connection: close\r\n", "{}");
    let answers = until_closed(send(&receiver, &two).await).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2);
    let chunked = "POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert!(until_closed(send(&receiver, chunked).await).await.unwrap().starts_with("HTTP/1.1 200"));
    let head = "POST /d HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\n";
    let mut stream = send(&receiver, head).await;
    assert_eq!(some(&mut stream, 25).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    assert!(until_closed(stream).await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(receiver.journal().len(), 4);
}

#[tokio::test]
async fn what_is_no_request_or_too_large_is_refused() {
    let receiver = receiver().await;
    let large = "POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n";
    assert!(until_closed(send(&receiver, large).await).await.unwrap().starts_with("HTTP/1.1 413"));
    assert!(until_closed(send(&receiver, "hello\r\n\r\n").await).await.unwrap().starts_with("HTTP/1.1 400"));
    assert!(receiver.journal().is_empty());
}

#[tokio::test]
async fn signatures_are_checked_per_path() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let receiver = receiver().await;
    receiver.verify("/signed", secret).unwrap();
    let now_s = hookfast_lab::LabClock::start().now_us() / 1_000_000;
    let mut signature = String::new();
    let signer = hookfast_signing::Secret::parse(secret).unwrap().signer();
    signer.sign_into(&mut signature, ID, &now_s.to_string(), b"{}").unwrap();
    let fields = format!("connection: close\r\nwebhook-timestamp: {now_s}\r\nwebhook-signature: {signature}\r\n");
    for (path, body) in [("/signed", "{}"), ("/signed", "{ }"), ("/other", "{}")] {
        until_closed(send(&receiver, &post(path, &fields, body)).await).await.unwrap();
    }
    let verdicts: Vec<_> = receiver.journal().entries().iter().map(|entry| entry.signature).collect();
    assert_eq!(verdicts, [Signature::Good, Signature::Bad, Signature::Unchecked]);
    assert!(receiver.verify("/x", "whsec_short").is_err());
}

#[tokio::test]
async fn the_lag_is_measured_from_the_intended_time() {
    let receiver = receiver().await;
    let sent_us = hookfast_lab::LabClock::start().now_us() - 250_000;
    let body = format!("{{\"sent_us\":{sent_us},\"n\":1}}");
    until_closed(send(&receiver, &post("/x", "connection: close\r\n", &body)).await).await.unwrap();
    let lag_us = receiver.journal().entries()[0].lag_us;
    assert!((250_000..Entry::NONE).contains(&lag_us), "{lag_us}");
}

struct Echo(Mutex<Vec<(String, u16)>>);

impl Responder for Echo {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        let headers = vec![("x-method".to_owned(), request.method.into_bytes().into())];
        Box::pin(async move { Response { status: 201, headers, body: request.body } })
    }
}

impl Observer for Echo {
    fn seen(&self, request: &Seen<'_>) {
        self.0.lock().unwrap().push((request.target.to_owned(), request.status));
    }
}

#[tokio::test]
async fn answers_can_be_made_by_somebody_else_and_requests_watched() {
    let echo = Arc::new(Echo(Mutex::default()));
    let mut config = ReceiverConfig::loopback(Journal::new(0));
    config.observer = Some(echo.clone());
    let receiver = Receiver::start(config).await.unwrap();
    receiver.behave("/ask", Behaviour::Ask(Asked(echo.clone())));
    let answer = until_closed(send(&receiver, &post("/ask?q", "connection: close\r\n", "hello")).await).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("x-method: POST") && answer.ends_with("hello"));
    assert_eq!(*echo.0.lock().unwrap(), [("/ask?q".to_owned(), 0)]);
}

#[tokio::test]
async fn a_stopped_receiver_leaves_its_address() {
    let receiver = receiver().await;
    let addr = receiver.addr();
    let mut open = send(&receiver, &post("/x", "", "{}")).await;
    some(&mut open, 38).await;
    receiver.stop().await;
    assert!(until_closed(open).await.is_ok_and(|rest| rest.is_empty()));
    let config = ReceiverConfig { listen: addr, ..ReceiverConfig::loopback(Journal::new(1)) };
    assert_eq!(Receiver::start(config).await.unwrap().addr(), addr);
}
