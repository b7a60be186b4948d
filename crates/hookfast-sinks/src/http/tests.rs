//! Tests against real sockets on loopback: receivers that behave, and receivers that do not.

mod addresses;
mod connections;
mod misbehaving;
mod requests;
mod statuses;
mod tls;

use super::*;
use bytes::Bytes;
use hookfast_core::address::AddressRules;
use hookfast_core::model::{AppThrottle, Endpoint, EndpointSecrets, SecretText, Signing};
use hookfast_core::ports::Outgoing;
use hookfast_core::{AppId, EndpointId, EventId, UnixMs};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: UnixMs = UnixMs(1_614_265_330_999);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A clock that stands still: nothing here measures with it.
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> UnixMs {
        NOW
    }

    fn wall(&self) -> UnixMs {
        NOW
    }
}

/// A receiver whose connections are served by a script; it counts how many it was given.
struct Receiver {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Receiver {
    async fn start<F, S>(script: F) -> Self
    where
        F: Fn(usize, Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Peer { stream, buffer: Vec::new() }));
            }
        });
        Self { address, accepted, task }
    }

    /// Answers every request on every connection with the same bytes.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |_, mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while peer.request().await.is_some() {
                    peer.write(&answer).await;
                }
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection as the receiver sees it.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    /// The next request, head and body; `None` when the connection ended.
    async fn request(&mut self) -> Option<Received> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                let received = Received { head, body: Vec::new() };
                let length: usize = received.header("content-length").unwrap().parse().unwrap();
                if self.buffer.len() >= end + 4 + length {
                    let body = self.buffer[end + 4..end + 4 + length].to_vec();
                    self.buffer.drain(..end + 4 + length);
                    return Some(Received { body, ..received });
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Writes; that the other side has gone is no fault.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Waits until the other side closes.
    async fn closed(&mut self) {
        let mut sink = [0u8; 1024];
        while self.stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    }
}

/// A request as it arrived.
struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        self.head.lines().skip(1).map(|line| line.split_once(": ").unwrap()).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers().into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        id: EndpointId::from_u128(7),
        app: AppId::from_u128(1),
        uid: None,
        url: url.to_owned(),
        description: String::new(),
        version: 1,
        disabled: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        app_throttle: AppThrottle::default(),
        ordering: None,
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
        secrets: EndpointSecrets { current: SecretText::new(SECRET), old: Vec::new() },
        signing: Signing::Standard,
        retry: None,
        timeout_ms: None,
        failing_since: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn event(body: impl Into<Bytes>) -> Outgoing {
    Outgoing {
        id: EventId::from_u128(0x0192_3456_789a_7bcd_8123_4567_89ab_cdef),
        event_type: "invoice.paid".to_owned(),
        content_type: None,
        body: Some(body.into()),
    }
}

/// Loopback is open and deadlines are far: a test of a deadline sets its own.
fn config() -> HttpSinkConfig {
    let rules = AddressRules::new(Vec::new(), true, Vec::new()).unwrap();
    HttpSinkConfig { rules, timeout_ms: 30_000, connect_timeout_ms: 30_000, ..HttpSinkConfig::default() }
}

fn sink(config: HttpSinkConfig) -> HttpSink {
    HttpSink::new(config, Arc::new(StillClock)).unwrap()
}

async fn send(sink: &HttpSink, endpoint: &Endpoint) -> TryOutcome {
    sink.send(Try { endpoint, event: &event(&b"{}"[..]) }).await
}
