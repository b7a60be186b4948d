//! What a connection is doing, seen from its reads and writes: enough to know a slow head from an idle connection.
//! Marks are flags that a coarse tick reads, so that nothing on the way of a request asks for the time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The marks of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// A request is with its handler.
    in_flight: AtomicBool,
    /// Bytes of a head have come (or the connection is new), and no request has begun since.
    head_open: AtomicBool,
    /// Bytes moved, or a request began or ended, since the last tick.
    moved: AtomicBool,
}

/// What a connection should be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Nothing happened for too long.
    Idle,
    /// The head of a request takes too long.
    SlowHead,
}

/// Counts ticks for one connection.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    idle: u32,
    head: u32,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let (in_flight, moved) = (AtomicBool::new(false), AtomicBool::new(true));
        Arc::new(Self { in_flight, head_open: AtomicBool::new(true), moved })
    }

    /// A request has its head and goes to its handler.
    pub(super) fn begin(&self) {
        self.in_flight.store(true, Ordering::Relaxed);
        self.head_open.store(false, Ordering::Relaxed);
    }

    /// The handler has answered, or was dropped.
    pub(super) fn end(&self) {
        self.moved.store(true, Ordering::Relaxed);
        self.in_flight.store(false, Ordering::Relaxed);
    }

    fn read(&self) {
        self.moved.store(true, Ordering::Relaxed);
        if !self.in_flight.load(Ordering::Relaxed) {
            self.head_open.store(true, Ordering::Relaxed);
        }
    }
}

impl Ticks {
    /// Judges a connection at a tick; it is slow or idle after so many ticks.
    pub(super) fn tick(&mut self, activity: &Activity, idle_max: u32, head_max: u32) -> Verdict {
        let moved = activity.moved.swap(false, Ordering::Relaxed);
        if activity.in_flight.load(Ordering::Relaxed) {
            *self = Self::default();
            return Verdict::Fine;
        }
        self.idle = if moved { 0 } else { self.idle + 1 };
        self.head = if activity.head_open.load(Ordering::Relaxed) { self.head + 1 } else { 0 };
        if self.head > head_max {
            return Verdict::SlowHead;
        }
        if self.idle > idle_max { Verdict::Idle } else { Verdict::Fine }
    }
}

/// A stream that marks what moves through it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = out.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, out);
        if out.filled().len() > filled {
            self.activity.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, data);
        self.activity.moved.fetch_or(polled.is_ready(), Ordering::Relaxed);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.activity.moved.fetch_or(polled.is_ready(), Ordering::Relaxed);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_drips_is_slow_and_a_silent_connection_idle() {
        let activity = Activity::new();
        let mut ticks = Ticks::default();
        // A new connection that drips: bytes move, but no request begins.
        for _ in 0..2 {
            activity.read();
            assert_eq!(ticks.tick(&activity, 5, 2), Verdict::Fine);
        }
        activity.read();
        assert_eq!(ticks.tick(&activity, 5, 2), Verdict::SlowHead);
        // A request that takes long is neither.
        let mut ticks = Ticks::default();
        activity.begin();
        for _ in 0..20 {
            assert_eq!(ticks.tick(&activity, 2, 2), Verdict::Fine);
        }
        activity.end();
        // After it, silence is idle, and the count starts at the end of the request.
        let verdicts: Vec<Verdict> = (0..4).map(|_| ticks.tick(&activity, 2, 9)).collect();
        assert_eq!(verdicts, [Verdict::Fine, Verdict::Fine, Verdict::Fine, Verdict::Idle]);
    }
}
