//! One connection of a receiver: reads requests, has them written down, does what the path's behaviour says.
//! Knows HTTP only through `wire`.

use super::behaviour::{Asked, Request, Response, Step};
use super::{Route, Seen, Shared};
use crate::EventKey;
use crate::journal::{Entry, Signature, us_between};
use crate::wire::{self, BodyLength, Chunks, RequestHead};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a body starts with that carries its intended send time, in µs since the epoch.
pub(crate) const SENT_PREFIX: &[u8] = b"{\"sent_us\":";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Read at once, and how much room a connection starts with.
const READ_BYTES: usize = 8 << 10;

/// Where the first request of the buffer stands.
enum Framed {
    /// More bytes are needed.
    Part { continue_wanted: bool },
    /// Its head has this length and all of it this length; chunked bodies come joined.
    Whole { head: usize, total: usize, joined: Option<Vec<u8>> },
    /// It is answered so, and the connection closed.
    Refused(&'static [u8]),
}

pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    buf: Vec<u8>,
    filled: usize,
    /// The head is known not to end before this.
    scanned: usize,
    continued: bool,
    /// A sender keeps a connection to one endpoint: its path is nearly always the last one.
    last: Option<(String, Arc<Route>)>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) -> Self {
        let buf = vec![0; READ_BYTES];
        Self { stream, peer, shared, buf, filled: 0, scanned: 0, continued: false, last: None }
    }

    /// Serves until the peer goes, an answer ends the connection, or it is aborted.
    pub(super) async fn run(mut self) {
        // How a connection broke is the sender's to know; the journal has what came before.
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            match self.framed() {
                Framed::Part { continue_wanted } => {
                    if continue_wanted && !self.continued {
                        self.continued = true;
                        self.stream.write_all(CONTINUE).await?;
                    }
                    if !self.read_more().await? {
                        return Ok(());
                    }
                }
                Framed::Refused(answer) => {
                    self.stream.write_all(answer).await?;
                    return self.linger().await;
                }
                Framed::Whole { head, total, joined } => {
                    if self.handle(head, total, joined).await?.is_break() {
                        return Ok(());
                    }
                    self.buf.copy_within(total..self.filled, 0);
                    self.filled -= total;
                    (self.scanned, self.continued) = (0, false);
                }
            }
        }
    }

    fn framed(&mut self) -> Framed {
        let bytes = &self.buf[..self.filled];
        let Some(head_end) = wire::head_end(bytes, self.scanned) else {
            self.scanned = self.filled;
            let too_long = self.filled > wire::HEAD_BYTES_MAX;
            return if too_long { Framed::Refused(BAD_REQUEST) } else { Framed::Part { continue_wanted: false } };
        };
        let Some(head) = wire::request_head(&bytes[..head_end]) else { return Framed::Refused(BAD_REQUEST) };
        let body_bytes_max = self.shared.config.body_bytes_max;
        let part = Framed::Part { continue_wanted: head.expects_continue };
        match head.body {
            BodyLength::Fixed(length) if length > body_bytes_max => Framed::Refused(TOO_LARGE),
            BodyLength::Fixed(length) if head_end + length > bytes.len() => part,
            BodyLength::Fixed(length) => Framed::Whole { head: head_end, total: head_end + length, joined: None },
            BodyLength::Chunked | BodyLength::UntilClose => match wire::unchunk(&bytes[head_end..]) {
                Chunks::Broken => Framed::Refused(BAD_REQUEST),
                // Framing of chunks costs at most as much as the smallest chunks do.
                Chunks::Incomplete if bytes.len() - head_end > body_bytes_max.saturating_mul(8) => {
                    Framed::Refused(TOO_LARGE)
                }
                Chunks::Incomplete => part,
                Chunks::Whole(body, _) if body.len() > body_bytes_max => Framed::Refused(TOO_LARGE),
                Chunks::Whole(body, used) => {
                    Framed::Whole { head: head_end, total: head_end + used, joined: Some(body) }
                }
            },
        }
    }

    /// False when the peer has gone.
    async fn read_more(&mut self) -> io::Result<bool> {
        if self.buf.len() - self.filled < READ_BYTES / 2 {
            let room = self.buf.len() * 2;
            self.buf.resize(room, 0);
        }
        let read = self.stream.read(&mut self.buf[self.filled..]).await?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Writes the first request of the buffer down and answers it.
    async fn handle(&mut self, head: usize, total: usize, joined: Option<Vec<u8>>) -> io::Result<ControlFlow<()>> {
        let bytes = &self.buf[..total];
        let Some(request) = wire::request_head(&bytes[..head]) else { return Ok(ControlFlow::Break(())) };
        let body = joined.as_deref().unwrap_or(&bytes[head..]);
        let path = request.target.split('?').next().unwrap_or_default();
        let route = match &self.last {
            Some((last, route)) if last == path => route.clone(),
            _ => {
                let route = self.shared.route(path);
                self.last = Some((path.to_owned(), route.clone()));
                route
            }
        };
        let keep_alive = request.keep_alive;
        let (step, ticket) = write_down(&self.shared, self.peer, &route, &request, body);
        let step = match step {
            Step::Ask(asked) => {
                let request = owned(self.peer, &request, body);
                self.ask(&asked, request).await
            }
            step => step,
        };
        let done = self.perform(step).await;
        if let Some(ticket) = ticket {
            self.shared.config.journal.ended(ticket, self.shared.config.clock.now_us());
        }
        Ok(if keep_alive { done? } else { ControlFlow::Break(()) })
    }

    async fn ask(&self, asked: &Asked, request: Request) -> Step {
        match asked.0.respond(request).await {
            Response { status: 0, .. } => Step::Close(b""),
            response => Step::Send(response.to_bytes()),
        }
    }

    /// Does a step; an error or `Break` when the connection is over.
    async fn perform(&mut self, step: Step) -> io::Result<ControlFlow<()>> {
        match step {
            Step::Ok | Step::Ask(_) => self.stream.write_all(OK).await?,
            Step::Send(bytes) => self.stream.write_all(&bytes).await?,
            Step::WaitThenOk(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.stream.write_all(OK).await?;
            }
            Step::Silence => return Err(self.until_gone().await),
            Step::Drip { start, byte, interval_ms } => {
                self.stream.write_all(start).await?;
                return Err(self.repeat(&[byte], interval_ms.max(1)).await);
            }
            Step::Flood { start, again, interval_ms } => {
                self.stream.write_all(start).await?;
                return Err(self.repeat(again, interval_ms).await);
            }
            Step::Reset(bytes) => {
                self.stream.write_all(bytes).await?;
                self.stream.set_zero_linger()?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Step::Close(bytes) => {
                self.stream.write_all(bytes).await?;
                self.linger().await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads and forgets until the peer goes.
    async fn until_gone(&mut self) -> io::Error {
        let mut scratch = [0; 512];
        loop {
            match self.stream.read(&mut scratch).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Sends `again` each `interval_ms` (0: as fast as the peer reads) until it goes.
    async fn repeat(&mut self, again: &[u8], interval_ms: u64) -> io::Error {
        let (mut reader, mut writer) = self.stream.split();
        let mut scratch = [0; 512];
        loop {
            if let Err(error) = writer.write_all(again).await {
                return error;
            }
            let pause = async {
                match interval_ms {
                    0 => tokio::task::yield_now().await,
                    ms => tokio::time::sleep(Duration::from_millis(ms)).await,
                }
            };
            tokio::select! {
                () = pause => {}
                read = reader.read(&mut scratch) => match read {
                    Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                    Ok(_) => {}
                    Err(error) => return error,
                },
            }
        }
    }

    /// Closes orderly: says so, then reads what still comes for a moment, so that the answer is not lost to a reset.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let _ = tokio::time::timeout(Duration::from_millis(500), self.until_gone()).await;
        Ok(())
    }
}

/// Puts the arrival into the journal and shows it; answers what to do with it.
fn write_down(
    shared: &Shared,
    peer: SocketAddr,
    route: &Route,
    request: &RequestHead<'_>,
    body: &[u8],
) -> (Step, Option<usize>) {
    let config = &shared.config;
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let id = request.fields.get("webhook-id").or_else(|| request.fields.get("svix-id"));
    let webhook_id = id.and_then(|id| std::str::from_utf8(id).ok());
    let checker = route.checker.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let now_us = config.clock.now_us();
    let fault = checker.as_ref().and_then(|checker| checker.fault(request.fields, body, now_us));
    let signature = match (&checker, &fault) {
        (None, _) => Signature::Unchecked,
        (Some(_), None) => Signature::Good,
        (Some(_), Some(_)) => Signature::Bad,
    };
    let entry = Entry {
        event: EventKey::of(webhook_id.unwrap_or_default()),
        at_us: now_us,
        lag_us: sent_us(body).map_or(Entry::NONE, |sent| us_between(sent, now_us)),
        open_us: Entry::NONE,
        path: route.path,
        ordinal: 0,
        status: 0,
        signature,
    };
    let behaviour = route.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let chance = fastrand::f64();
    let mut planned = (0, Step::Silence);
    let (ordinal, ticket) = config.journal.record(entry, |ordinal| {
        planned = behaviour.plan(ordinal, chance);
        planned.0
    });
    let (status, step) = planned;
    if let Some(observer) = &config.observer {
        let (method, target, signature_fault) = (request.method, request.target, fault.as_deref());
        let at_us = now_us;
        observer.seen(&Seen {
            at_us,
            peer,
            method,
            target,
            webhook_id,
            ordinal,
            signature,
            signature_fault,
            body,
            status,
        });
    }
    (step, ticket)
}

/// The intended send time, if the body carries one.
fn sent_us(body: &[u8]) -> Option<u64> {
    let digits = body.strip_prefix(SENT_PREFIX)?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end.min(19)]).ok()?.parse().ok()
}

fn owned(peer: SocketAddr, request: &RequestHead<'_>, body: &[u8]) -> Request {
    let field =
        |(name, value): (&[u8], &[u8])| (String::from_utf8_lossy(name).into_owned(), Bytes::copy_from_slice(value));
    Request {
        peer,
        method: request.method.to_owned(),
        target: request.target.to_owned(),
        headers: request.fields.iter().map(field).collect(),
        body: Bytes::copy_from_slice(body),
    }
}
