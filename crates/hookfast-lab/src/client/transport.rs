//! One HTTP exchange with a server, by TCP or by Unix socket, over kept connections. Knows no routes.

use crate::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Greatest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Connections kept for the next call.
const IDLE_MAX: usize = 16;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `host:port`.
    Tcp(String),
    /// A socket's path.
    Unix(PathBuf),
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

#[derive(Debug)]
pub(super) struct Transport {
    pub(super) target: Target,
    timeout: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Transport {
    pub(super) fn new(target: Target, timeout: Duration) -> Self {
        Self { target, timeout, idle: Mutex::default() }
    }

    /// Sends `request` and reads the whole answer. Never sends twice: a kept connection that broke before it was
    /// used is replaced, one that breaks afterwards is an error. Dropping the future drops the connection.
    pub(super) async fn exchange(&self, what: &str, request: http::Request<Full<Bytes>>) -> Result<Answer> {
        let exchange = Box::pin(self.exchange_at_leisure(what, request));
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} ms", self.timeout.as_millis());
            Err(Error::Exchange { what: what.to_owned(), reason })
        })
    }

    async fn exchange_at_leisure(&self, what: &str, request: http::Request<Full<Bytes>>) -> Result<Answer> {
        let broke = |reason: String| Error::Exchange { what: what.to_owned(), reason };
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => self.dial(what).await?,
        };
        sender.ready().await.map_err(|error| broke(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| broke(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| broke(error.to_string()))?;
        self.keep(sender);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|sender| !sender.is_closed())
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    async fn dial(&self, what: &str) -> Result<SendRequest<Full<Bytes>>> {
        match &self.target {
            Target::Tcp(authority) => {
                let what_dial = format!("{what}: connect to {authority}");
                let stream = TcpStream::connect(authority.as_str()).await.map_err(Error::io(&what_dial))?;
                stream.set_nodelay(true).map_err(Error::io(what_dial))?;
                handshake(what, stream).await
            }
            Target::Unix(path) => {
                let what_dial = format!("{what}: connect to {}", path.display());
                handshake(what, UnixStream::connect(path).await.map_err(Error::io(what_dial))?).await
            }
        }
    }
}

async fn handshake<S>(what: &str, stream: S) -> Result<SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broke = |error: hyper::Error| Error::Exchange { what: what.to_owned(), reason: error.to_string() };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    // It ends with the last `SendRequest`; its error reaches whoever waits for an answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
