//! `GET /app/{app_id}/msg/{msg_id}/attempt/{attempt_id}`.

use super::wire::MessageAttemptOut;
use crate::api::json;
use crate::api::message::event_id;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Reads an attempt.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", operation_id = "v1.message-attempt.get",
    tag = "Message Attempt", responses((status = 200, body = MessageAttemptOut)),
)]
pub(super) async fn get_attempt(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    let attempt = params.get("attempt_id").parse().map_err(|_| ApiError::not_found("attempt"))?;
    let event = event_id(&shared, &app, params.get("msg_id")).await?;
    let attempt = shared.api.ports.reading.attempt(app.id, event, attempt).await?;
    Ok(json(StatusCode::OK, &MessageAttemptOut::of(attempt, true)))
}
