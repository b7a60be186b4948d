//! One HTTP/1.1 connection and one exchange on it at a time. Must not know pools or endpoints.
//!
//! The connection is driven by the task that uses it, not by a task of its own: that saves two hand-overs between
//! tasks per exchange, and an abandoned try takes its connection down with it.

use super::answer::{self, Answer, Failure, Stage};
use super::stream::{ReadMeter, Stream, TooMuch, Transport};
use bytes::Bytes;
use hookfast_core::UnixMs;
use hookfast_core::delivery::Cause;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Longest head of an answer, in bytes; also the most that is read ahead of a body.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 100;

/// Can another exchange follow?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    Reusable,
    Spent,
}

/// An exchange that broke.
pub(super) struct Broken {
    pub(super) failure: Failure,
    /// Not one byte of an answer had come.
    pub(super) before_answer: bool,
}

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    meter: Arc<ReadMeter>,
}

impl Connection {
    /// Speaks HTTP/1.1 on a transport. Sends nothing yet.
    pub(super) async fn open(transport: Transport) -> Result<Self, Failure> {
        let (stream, meter) = Stream::new(transport);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, future) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure_of(&error))?;
        Ok(Self { sender, driver: Driver { future: Box::pin(future), is_done: false }, meter })
    }

    /// Is it still open, as far as one can know without sending? To be asked before it is used again.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.driver.poll_once().await;
        !self.driver.is_done && self.sender.is_ready()
    }

    /// Sends a request and reads the answer into `answer`, body and all, as far as it is kept. Where there is more
    /// of it, reading stops and the connection is spent.
    ///
    /// Not cancel-safe for the connection: dropped half-way, it must be dropped too.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        answer: &mut Answer,
        now: UnixMs,
    ) -> Result<Afterwards, Broken> {
        self.meter.restart();
        answer.stage = Stage::Sent;
        let response = self.sender.send_request(request);
        let (head, mut body) = match self.driver.run(response).await {
            Ok(response) => Response::into_parts(response),
            Err(error) => return Err(self.broken(&error)),
        };
        answer.status = head.status.as_u16();
        answer.retry_after_ms = retry_after(&head.headers, answer.status, now);
        answer.is_text = is_text(&head.headers);
        self.read_body(&mut body, answer).await
    }

    async fn read_body(&mut self, body: &mut Incoming, answer: &mut Answer) -> Result<Afterwards, Broken> {
        while !body.is_end_stream() {
            let frame = match self.driver.run(body.frame()).await {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(self.broken(&error)),
            };
            if let Some(chunk) = frame.data_ref() {
                answer.keep(chunk);
            }
            if answer.is_full() && !body.is_end_stream() {
                return Ok(Afterwards::Spent);
            }
        }
        // Lets the connection notice that the exchange is over.
        if self.is_alive().await { Ok(Afterwards::Reusable) } else { Ok(Afterwards::Spent) }
    }

    fn broken(&self, error: &hyper::Error) -> Broken {
        Broken { failure: failure_of(error), before_answer: !self.meter.has_read() }
    }
}

/// The part of the connection that reads and writes.
struct Driver {
    future: Pin<Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>>,
    is_done: bool,
}

impl Driver {
    /// Runs `wanted` and the connection together until `wanted` is ready.
    async fn run<F: Future>(&mut self, wanted: F) -> F::Output {
        let mut wanted = pin!(wanted);
        poll_fn(|cx| {
            if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll(cx);
            // The connection often has it by now: no need to be woken for it.
            wanted.as_mut().poll(cx)
        })
        .await
    }

    async fn poll_once(&mut self) {
        poll_fn(|cx| {
            self.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// What ends the connection reaches the exchange as its own error, so it is not looked at here.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.is_done && self.future.as_mut().poll(cx).is_ready() {
            self.is_done = true;
        }
    }
}

fn retry_after(headers: &HeaderMap, status: u16, now: UnixMs) -> Option<u64> {
    if answer::cause_of(status) == Cause::Ok {
        return None;
    }
    answer::retry_after_ms(headers.get(header::RETRY_AFTER)?.as_bytes(), now)
}

fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    !headers.contains_key(header::CONTENT_ENCODING) && content_type.is_some_and(answer::announces_text)
}

/// What an error of the HTTP library says about the receiver.
fn failure_of(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        return Failure::new(Cause::Protocol, "the head of the answer is too large");
    }
    if error.is_parse() {
        return Failure::new(Cause::Protocol, "the answer is not HTTP/1.1");
    }
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source {
        Some(io) if io.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) => {
            Failure::new(Cause::Protocol, TooMuch.to_string())
        }
        Some(io) if matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            Failure::new(Cause::Protocol, "the body of the answer is not HTTP/1.1")
        }
        Some(io) => Failure::new(Cause::Reset, format!("the connection broke: {}", io.kind())),
        None if error.is_user() => Failure::new(Cause::Request, "the request could not be written"),
        None => Failure::new(Cause::Reset, "the receiver closed the connection before the answer was whole"),
    }
}
