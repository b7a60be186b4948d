//! Webhooks as a sender posts them, over connections of its own, so that nothing is repeated behind a test's back.

use hookfast_signing::BodyHexKey;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What signs them.
pub(crate) const SECRET: &str = "the token of the first system";

/// What was answered.
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only tests with Kafka look at all of it"))]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) keep_alive: bool,
    pub(crate) body: String,
}

/// One kept connection to a handler or to nginx.
pub(crate) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    pub(crate) async fn dial(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads the whole answer. After an error the connection is spent.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = parse(&self.buffer) {
                return Ok(answer);
            }
        }
    }
}

/// The answer, if all of it is there.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let has = |field: &str| head.contains(field);
    let (retry_after, keep_alive) = (has("\r\nretry-after: "), !has("\r\nconnection: close"));
    (body.len() >= length).then(|| Answer { status, retry_after, keep_alive, body: body.to_owned() })
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    Link::dial(address).await.ok()?.exchange(request.as_bytes()).await.ok()
}

/// A POST of this body to `/webhook`, with further lines of the head.
pub(crate) fn request(body: &str, more: &str) -> Vec<u8> {
    let head = format!("POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n{more}\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

/// An event of this id.
pub(crate) fn event(id: &str) -> String {
    let invoice = &id[..id.len() - 1];
    format!(
        r#"{{"event_id":"{id}","event_type":"PAID","timestamp":"2026-01-31T12:00:00Z","data":{{"invoice_id":"{invoice}"}}}}"#
    )
}

/// A signed event of this id.
pub(crate) fn signed(key: &BodyHexKey, id: &str) -> Vec<u8> {
    let body = event(id);
    let mut signature = String::new();
    key.sign_into(&mut signature, body.as_bytes());
    request(&body, &format!("{}: {signature}\r\n", BodyHexKey::HEADER))
}
