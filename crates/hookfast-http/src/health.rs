//! Is the process alive, is it ready, does the store answer? No token is needed.

use crate::api::json;
use crate::error::ApiError;
use crate::router::Shared;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How one component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    /// It answers.
    Ok,
    /// It does not.
    Error,
}

/// One component.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct ComponentOut {
    /// How it is.
    status: HealthStatus,
}

/// Every component.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct HealthOut {
    /// The store.
    database: ComponentOut,
    /// The queue, which lives in the store.
    queue: ComponentOut,
    /// What is kept in memory.
    cache: ComponentOut,
}

async fn store_status(shared: &Shared) -> HealthStatus {
    match shared.api.ports.maintenance.ping().await {
        Ok(()) => HealthStatus::Ok,
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            HealthStatus::Error
        }
    }
}

/// Asks every component whether it works.
#[utoipa::path(
    get, path = "/api/v1/health", operation_id = "v1.health.get", tag = "Health", security(()),
    responses((status = 200, body = HealthOut), (status = 500, body = HealthOut)),
)]
pub(crate) async fn get_health(State(shared): State<Arc<Shared>>) -> Response {
    let status = store_status(&shared).await;
    let answer = if status == HealthStatus::Ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let (store, cache) = (ComponentOut { status }, ComponentOut { status: HealthStatus::Ok });
    json(answer, &HealthOut { database: store, queue: store, cache })
}

/// Says that the server answers requests.
#[utoipa::path(
    get, path = "/api/v1/health/ping", operation_id = "v1.health.ping", tag = "Health", security(()),
    responses((status = 204, description = "It does")),
)]
pub(crate) async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `GET /health/live`: the process runs.
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &ComponentOut { status: HealthStatus::Ok })
}

/// `GET /health/ready`: requests may be sent here; not while the node drains, or what makes events durable is away.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.api.draining.is_cancelled() {
        return ApiError::overloaded("the node is shutting down", 1_000).into_response();
    }
    let (is_there, away) = match &shared.api.log {
        Some(log) => (log.is_available(), "the log does not answer"),
        None => (store_status(&shared).await == HealthStatus::Ok, "the store does not answer"),
    };
    if is_there {
        json(StatusCode::OK, &ComponentOut { status: HealthStatus::Ok })
    } else {
        ApiError::overloaded(away, 1_000).into_response()
    }
}
