//! The accept loop: connections within their number and their times, and a drain that loses no request in flight.
//! Knows no route: it is given a router.

mod connection;
mod watch;

use crate::metrics::ApiMetrics;
use axum::Router;
use connection::Settings;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// So many connections over the limit are told 503; further ones are dropped.
const REFUSALS_MAX: usize = 64;
/// Wait after a failed accept, such as when the process is out of file descriptors.
const ACCEPT_PAUSE_MS: u64 = 50;

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections at once; the ones over it are answered with 503.
    pub connections_max: usize,
    /// A request's head must be complete so long after its first byte (a new connection's: after it was opened).
    pub header_timeout_ms: u64,
    /// A connection without a request in flight is closed after so long without a byte.
    pub idle_timeout_ms: u64,
    /// Most headers of a request.
    pub headers_max: usize,
    /// Most bytes of a request's head; at least 8 KiB.
    pub head_bytes_max: usize,
    /// After the shutdown began, requests in flight have so long to finish.
    pub drain_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            headers_max: 100,
            head_bytes_max: 64 << 10,
            drain_ms: 30_000,
        }
    }
}

/// Where connections come from.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl From<TcpListener> for Acceptor {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Acceptor {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// The address at the other end of a TCP connection: an extension of each of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were cut at the end of the drain.
    pub cut: usize,
}

struct Loop {
    router: Router,
    settings: Arc<Settings>,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    tracker: TaskTracker,
    metrics: ApiMetrics,
}

/// Serves until `shutdown` is cancelled: then accepts nothing more, lets requests in flight finish within
/// `drain_ms`, closes idle connections at once, and cuts what is left.
///
/// Runs on the current tokio runtime. Dropping the future stops accepting; connections go on until they end.
pub async fn serve(
    acceptor: Acceptor,
    router: Router,
    config: ServerConfig,
    metrics: ApiMetrics,
    shutdown: CancellationToken,
) -> ServeReport {
    let drain = Duration::from_millis(config.drain_ms);
    let cut = CancellationToken::new();
    let server = Loop {
        router,
        slots: Arc::new(Semaphore::new(config.connections_max)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        settings: Arc::new(Settings::new(&config, shutdown.clone(), cut.clone())),
        tracker: TaskTracker::new(),
        metrics,
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = server.accept(&acceptor) => {
                if let Err(error) = accepted {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
    drop(acceptor);
    server.tracker.close();
    if tokio::time::timeout(drain, server.tracker.wait()).await.is_ok() {
        return ServeReport { cut: 0 };
    }
    let report = ServeReport { cut: server.tracker.len() };
    tracing::warn!(connections = report.cut, "connections were cut at the end of the drain");
    cut.cancel();
    server.tracker.wait().await;
    report
}

impl Loop {
    async fn accept(&self, acceptor: &Acceptor) -> io::Result<()> {
        match acceptor {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small and written at once: waiting for more would only add latency.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                self.start(stream, Some(Peer(peer.ip())));
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                self.start(stream, None);
            }
        }
        Ok(())
    }

    fn start<S>(&self, stream: S, peer: Option<Peer>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let open = Open { metrics: self.metrics.clone(), _slot: slot };
            open.metrics.connections.inc();
            let serving = connection::run(stream, peer, self.router.clone(), Arc::clone(&self.settings));
            self.tracker.spawn(async move {
                serving.await;
                drop(open);
            });
            return;
        }
        self.metrics.refused.inc();
        if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            let settings = Arc::clone(&self.settings);
            self.tracker.spawn(async move {
                connection::refuse(stream, settings).await;
                drop(permit);
            });
        }
    }
}

/// An open connection, counted until it is dropped.
struct Open {
    metrics: ApiMetrics,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests;
