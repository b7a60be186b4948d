//! How a receiver answers, well or badly. Knows no sockets: it says what to send, `connection` sends it.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// What a receiver does with the requests at one path. Can be changed while it runs.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// 200 at once.
    #[default]
    Ok,
    /// This status at once.
    Status(u16),
    /// 500 to the first `n` arrivals of each event, then 200.
    FailFirst(u32),
    /// 500 to this share of the arrivals (`0.0..=1.0`), 200 to the others.
    FailShare(f64),
    /// 200 after so many milliseconds.
    Delay(u64),
    /// Takes the request and says nothing until the sender goes.
    Hang,
    /// A whole head and then a byte of the body each so many milliseconds, for ever.
    Drip(u64),
    /// A byte of the head each so many milliseconds; the head never ends.
    DripHead(u64),
    /// Resets the connection instead of answering.
    Reset,
    /// Half of an answer's body, then a reset.
    ResetInBody,
    /// Closes the connection orderly instead of answering.
    Close,
    /// 302 to this location.
    Redirect(Arc<str>),
    /// 429 with this `Retry-After`, whatever it is.
    RetryAfter(Arc<str>),
    /// 200 with a declared length of 10 GB, sent as long as the sender reads.
    HugeBody,
    /// 200 in chunks without end, sent as long as the sender reads.
    EndlessBody,
    /// `103 Early Hints` again and again, and no answer.
    Informational,
    /// Bytes that are not HTTP, then an orderly close.
    Garbage,
    /// Whatever this says.
    Ask(Asked),
}

/// Somebody who makes the answers, for receivers that pass requests on.
#[derive(Clone)]
pub struct Asked(pub Arc<dyn Responder>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

/// A request as a [`Responder`] gets it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its fields, in order.
    pub headers: Vec<(String, Bytes)>,
    /// Its body.
    pub body: Bytes,
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status; 0 closes the connection without an answer.
    pub status: u16,
    /// Fields besides the length.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
}

/// Makes answers.
pub trait Responder: Send + Sync {
    /// Answers one request. Dropped when the receiver stops.
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>>;
}

/// What is to happen on the connection.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// 200 with an empty body: the hot path.
    Ok,
    /// These bytes, then the next request.
    Send(Vec<u8>),
    /// Wait so many milliseconds, then 200.
    WaitThenOk(u64),
    /// Nothing, until the peer goes.
    Silence,
    /// These bytes, then one byte each so many milliseconds until the peer goes.
    Drip { start: &'static [u8], byte: u8, interval_ms: u64 },
    /// These bytes, then the second ones again and again until the peer goes.
    Flood { start: &'static [u8], again: &'static [u8], interval_ms: u64 },
    /// These bytes, then a reset.
    Reset(&'static [u8]),
    /// These bytes, then an orderly close.
    Close(&'static [u8]),
    /// Ask, then send.
    Ask(Asked),
}

const ZEROS: [u8; 16 << 10] = [b'0'; 16 << 10];
/// One chunk of 16 bytes.
const CHUNK: &[u8] = b"10\r\n0123456789abcdef\r\n";

impl Behaviour {
    /// What to do with an arrival, and the status the receiver sets out to answer (0: it misbehaves or asks).
    /// `chance` is random in `0.0..1.0`.
    pub(super) fn plan(&self, ordinal: u32, chance: f64) -> (u16, Step) {
        match self {
            Self::Ok => (200, Step::Ok),
            Self::Status(status) => (*status, Step::Send(answer(*status, "", b""))),
            Self::FailFirst(n) if ordinal <= *n => failed(),
            Self::FailShare(share) if chance < *share => failed(),
            Self::FailFirst(_) | Self::FailShare(_) => (200, Step::Ok),
            Self::Delay(ms) => (200, Step::WaitThenOk(*ms)),
            Self::Redirect(to) => (302, Step::Send(answer(302, &format!("location: {to}\r\n"), b""))),
            Self::RetryAfter(wait) => (429, Step::Send(answer(429, &format!("retry-after: {wait}\r\n"), b""))),
            Self::Ask(asked) => (0, Step::Ask(asked.clone())),
            Self::Hang => (0, Step::Silence),
            Self::Drip(interval_ms) => {
                let start = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                (0, Step::Drip { start, byte: b'x', interval_ms: *interval_ms })
            }
            Self::DripHead(interval_ms) => {
                (0, Step::Drip { start: b"HTTP/1.1 200 OK\r\nx-slow: ", byte: b'x', interval_ms: *interval_ms })
            }
            Self::Reset => (0, Step::Reset(b"")),
            Self::ResetInBody => (0, Step::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf,")),
            Self::Close => (0, Step::Close(b"")),
            Self::Garbage => (0, Step::Close(b"\x16\x03\x01 this is not what you are looking for\r\n\r\n")),
            Self::HugeBody => {
                let start = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
                (0, Step::Flood { start, again: &ZEROS, interval_ms: 0 })
            }
            Self::EndlessBody => {
                let start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                (0, Step::Flood { start, again: CHUNK, interval_ms: 0 })
            }
            Self::Informational => {
                let again = b"HTTP/1.1 103 Early Hints\r\n\r\n";
                (0, Step::Flood { start: b"", again, interval_ms: 1 })
            }
        }
    }
}

fn failed() -> (u16, Step) {
    (500, Step::Send(answer(500, "", b"failed, as told\n")))
}

/// A whole answer; `fields` are complete lines.
fn answer(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("Told");
    // 1xx, 204 and 304 carry no length.
    let length = match status {
        100..=199 | 204 | 304 => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let mut bytes = format!("HTTP/1.1 {status} {reason}\r\n{fields}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Response {
    /// Only a status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut fields = String::new();
        for (name, value) in &self.headers {
            let framing = ["content-length", "transfer-encoding", "connection", "keep-alive"];
            let value = String::from_utf8_lossy(value);
            let breaks = |text: &str| text.contains(['\r', '\n']);
            if framing.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) || breaks(name) || breaks(&value) {
                continue;
            }
            fields.extend([name.as_str(), ": ", &value, "\r\n"]);
        }
        answer(self.status, &fields, &self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_follows_ordinal_and_chance() {
        let first = Behaviour::FailFirst(2);
        assert_eq!([1, 2, 3].map(|ordinal| first.plan(ordinal, 0.0).0), [500, 500, 200]);
        let share = Behaviour::FailShare(0.3);
        assert_eq!([0.0, 0.29, 0.3, 0.99].map(|chance| share.plan(1, chance).0), [500, 500, 200, 200]);
    }

    #[test]
    fn an_answer_cannot_be_broken_by_a_header() {
        let response = Response {
            status: 200,
            headers: vec![("x".into(), "a\r\ninjected: 1".into()), ("Content-Length".into(), "9".into())],
            body: "hi".into(),
        };
        assert_eq!(response.to_bytes(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    }
}
