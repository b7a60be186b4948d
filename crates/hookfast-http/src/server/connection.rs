//! One connection: HTTP/1 within its times, ended gently when the server drains.

use super::watch::{Activity, Ticks, Verdict, Watched};
use super::{Peer, ServerConfig};
use crate::error::ApiError;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// Ticks within the shorter of the two time-outs: a connection ends at most a quarter late.
const TICKS: u64 = 4;
/// hyper takes no smaller buffer.
const HEAD_BYTES_MIN: usize = 8 << 10;
/// So many headers hyper takes by default.
const HEADERS_DEFAULT: usize = 100;
/// A refused connection has so long to take its answer.
const REFUSAL_MS: u64 = 1_000;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Settings {
    http: http1::Builder,
    tick: Duration,
    idle_ticks: u32,
    head_ticks: u32,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Settings {
    pub(super) fn new(config: &ServerConfig, shutdown: CancellationToken, cut: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        // hyper's own header time-out would also end idle connections, and costs a timer for each request.
        let head_bytes_max = config.head_bytes_max.max(HEAD_BYTES_MIN);
        http.timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(head_bytes_max)
            .max_header_size(head_bytes_max);
        if config.headers_max != HEADERS_DEFAULT {
            // Not the default: from here on hyper allocates for each request.
            http.max_headers(config.headers_max);
        }
        let tick_ms = (config.idle_timeout_ms.min(config.header_timeout_ms) / TICKS).max(1);
        let ticks = |timeout_ms: u64| u32::try_from(timeout_ms / tick_ms).unwrap_or(u32::MAX);
        Self {
            http,
            tick: Duration::from_millis(tick_ms),
            idle_ticks: ticks(config.idle_timeout_ms),
            head_ticks: ticks(config.header_timeout_ms),
            shutdown,
            cut,
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn run<S>(stream: S, peer: Option<Peer>, router: Router, settings: Arc<Settings>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let inner = TowerToHyperService::new(router);
    let marks = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        marks.begin();
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        InFlight { answer: inner.call(request), activity: Arc::clone(&marks) }
    });
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let mut connection = pin!(settings.http.serve_connection(io, service));
    let mut ticks = Ticks::default();
    let mut timer = pin!(tokio::time::sleep(settings.tick));
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = settings.cut.cancelled(), if draining => return,
            () = settings.shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = timer.as_mut() => {
                timer.as_mut().reset(tokio::time::Instant::now() + settings.tick);
                // What is slow or idle has nothing in flight that closing could lose.
                if ticks.tick(&activity, settings.idle_ticks, settings.head_ticks) != Verdict::Fine {
                    return;
                }
            }
        }
    }
}

/// Answers one connection that is over the limit with 503, and closes it.
pub(super) async fn refuse<S>(stream: S, settings: Arc<Settings>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|_: Request<Incoming>| async {
        let mut response = ApiError::overloaded("too many connections", 1_000).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok::<Response<Body>, Infallible>(response)
    });
    let serving = settings.http.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        () = settings.cut.cancelled() => {}
        () = tokio::time::sleep(Duration::from_millis(REFUSAL_MS)) => {}
    }
}

/// The answer of a handler; marks its end, also when it is dropped.
struct InFlight<F> {
    answer: F,
    activity: Arc<Activity>,
}

impl<F: Future + Unpin> Future for InFlight<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.answer).poll(context)
    }
}

impl<F> Drop for InFlight<F> {
    fn drop(&mut self) {
        self.activity.end();
    }
}
