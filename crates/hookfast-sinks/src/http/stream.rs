//! The bytes of one connection, plain or by TLS, with a bound on what one exchange may read. Must not know HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// One exchange reads at most this much: interim answers, head, kept body, and what chunking adds to it.
const READ_BYTES_MAX: usize = 256 << 10;

/// How much was read since the current exchange began.
#[derive(Debug, Default)]
pub(super) struct ReadMeter(AtomicUsize);

impl ReadMeter {
    /// A new exchange begins.
    pub(super) fn restart(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Has the receiver sent anything yet?
    pub(super) fn has_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// The receiver sent more than an answer may have.
#[derive(Debug, thiserror::Error)]
#[error("the answer is too large")]
pub(super) struct TooMuch;

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) struct Stream {
    transport: Transport,
    meter: Arc<ReadMeter>,
}

impl Stream {
    pub(super) fn new(transport: Transport) -> (Self, Arc<ReadMeter>) {
        let meter = Arc::new(ReadMeter::default());
        (Self { transport, meter: Arc::clone(&meter) }, meter)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let read = buf.filled().len() - before;
        if read > 0 && self.meter.0.fetch_add(read, Ordering::Relaxed) > READ_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
