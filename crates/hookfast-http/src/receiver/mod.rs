//! The receiver: webhooks that others send. Checks who sent them and what they say, hands them to the port that makes
//! them durable, and answers then. Works on a node without a store; must not know where webhooks go.
//!
//! Checks are made in the order of what they cost: limits and whether anything can be accepted before the body is read,
//! then its size, its signature, the caller's token or key, its shape.

mod access;
mod client;
mod event;
mod metrics;
mod rate;
mod signature;
mod source;

pub use event::EventShape;
pub use metrics::ReceiverMetrics;
pub use signature::SignatureRule;
pub use source::{SOURCES_MAX, SourceConfig, Sources, WEBHOOK};

use crate::ApiMetrics;
use crate::api::json;
use crate::error::ApiError;
use crate::extract::{BodyBudget, PathParams, read_body};
use crate::router::finished;
use crate::{health, metrics as pages};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hookfast_core::ports::{Inbound, Received};
use hookfast_core::{Clock, limits};
use http::StatusCode;
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use rate::TooSoon;
use serde::Serialize;
use source::Source;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// When to come again while nothing can be accepted.
const AWAY_RETRY_MS: u64 = 1_000;

/// Limits of the receiver.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// Greatest body, in bytes; above it 413.
    pub body_bytes_max: usize,
    /// Bodies held at once over all connections, in bytes; above it 503 before the body is read.
    pub body_bytes_in_flight_max: usize,
    /// A body must have come within this time, else 408.
    pub body_timeout_ms: u64,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ReceiverConfig {
    /// The documented defaults; no proxy is trusted.
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            body_bytes_in_flight_max: 64 << 20,
            body_timeout_ms: 30_000,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Everything the receiver's routes are built from.
#[derive(Clone)]
pub struct ReceiverState {
    /// Makes durable what is received.
    pub inbound: Arc<dyn Inbound>,
    /// Whom it is received from.
    pub sources: Arc<Sources>,
    /// The node's time.
    pub clock: Arc<dyn Clock>,
    /// Limits.
    pub config: ReceiverConfig,
    /// The receiver's own counters.
    pub metrics: ReceiverMetrics,
    /// The counters of its listener.
    pub http_metrics: ApiMetrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Cancelled when the node drains: `/health/ready` then says 503.
    pub draining: CancellationToken,
}

impl fmt::Debug for ReceiverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverState").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the handlers share.
struct Receiver {
    state: ReceiverState,
    budget: Arc<BodyBudget>,
}

/// What a node serves that receives and has no store: the receiver's routes, health and metrics.
pub fn receiver_router(state: ReceiverState) -> Router {
    let (registry, http_metrics) = (Arc::clone(&state.registry), state.http_metrics.clone());
    let ready_state = state.clone();
    let routes = receiver_routes(state)
        .merge(ping_route())
        .route("/metrics", get(move || async move { pages::scrape_registry(&registry) }))
        .route("/api/v1/health/ping", get(health::ping))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(move || async move { ready(&ready_state) }));
    finished(routes, http_metrics)
}

/// `POST /webhook` and `POST /in/{source}` alone, to stand beside the routes of [`crate::router_with`].
pub fn receiver_routes(state: ReceiverState) -> Router {
    let budget = BodyBudget::new(state.config.body_bytes_in_flight_max);
    Router::new()
        .route("/webhook", post(webhook))
        .route("/in/{source}", post(named))
        .with_state(Arc::new(Receiver { state, budget }))
}

/// `GET /ping`, which every service of the first system answers.
pub fn ping_route() -> Router {
    Router::new().route("/ping", get(|| async { json(StatusCode::OK, &StatusOut { status: "ok", event_id: None }) }))
}

#[derive(Serialize)]
struct StatusOut<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
}

fn ready(state: &ReceiverState) -> Response {
    if state.draining.is_cancelled() {
        return ApiError::overloaded("the node is shutting down", AWAY_RETRY_MS).into_response();
    }
    if !state.inbound.is_available() {
        return away().into_response();
    }
    json(StatusCode::OK, &StatusOut { status: "ok", event_id: None })
}

fn away() -> ApiError {
    ApiError::unavailable("nothing can be made durable at the moment; send it again later", AWAY_RETRY_MS)
}

async fn webhook(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    receiver.answer(WEBHOOK, request).await
}

async fn named(State(receiver): State<Arc<Receiver>>, path: PathParams, request: Request) -> Response {
    receiver.answer(path.get("source"), request).await
}

impl Receiver {
    async fn answer(&self, name: &str, request: Request) -> Response {
        let start = Instant::now();
        let Some(source) = self.state.sources.find(name) else {
            // The name is not counted by: strangers could make it grow without end.
            return ApiError::not_found("source").into_response();
        };
        match self.receive(source, request).await {
            Ok(event_id) => {
                self.state.metrics.accepted(&source.name, start.elapsed());
                json(StatusCode::OK, &StatusOut { status: "accepted", event_id: Some(&event_id) })
            }
            Err(error) => {
                self.state.metrics.refused(&source.name, error.code());
                error.into_response()
            }
        }
    }

    /// The sender's id of the event, when it is durable.
    async fn receive(&self, source: &Source, request: Request) -> Result<String, ApiError> {
        let Self { state, budget } = self;
        let (parts, body) = request.into_parts();
        let client = client::address(&parts.extensions, &parts.headers, &state.config.trusted_proxies);
        state.sources.ask(source, client, state.clock.now()).map_err(too_soon)?;
        if !state.inbound.is_available() {
            return Err(away());
        }
        let ReceiverConfig { body_bytes_max, body_timeout_ms, .. } = state.config;
        let body = read_body(&parts.headers, body, budget, body_bytes_max, body_timeout_ms).await?;
        let now = state.clock.wall();
        if let Some(keys) = &source.keys {
            keys.check(&parts.headers, &body.bytes, now)
                .map_err(|detail| ApiError::new(StatusCode::UNAUTHORIZED, "invalid_signature", detail))?;
        }
        source.passes.check(&parts.headers)?;
        let named = source.shape.read(&body.bytes, now, source.ahead_ms_max)?;
        source.take(state.clock.now()).map_err(too_soon)?;
        let received = Received {
            source: Arc::clone(&source.name),
            event_id: named.event_id.clone(),
            event_type: named.event_type,
            body: body.bytes.clone(),
        };
        state.inbound.receive(received).await.map_err(|error| match error {
            hookfast_core::Error::Invalid { field, reason } => event::invalid(&field, &reason),
            other => other.into(),
        })?;
        Ok(named.event_id)
    }
}

fn too_soon(TooSoon { wait_ms }: TooSoon) -> ApiError {
    ApiError::too_many(format!("too many requests; the next one is taken in {wait_ms} ms"), wait_ms)
}

#[cfg(test)]
mod tests;
