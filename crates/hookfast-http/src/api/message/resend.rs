//! `POST /app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend`.

use super::event_id;
use crate::api::json;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::{PathParams, Raw};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct EmptyResponse {}

/// Sends a message to an endpoint again, whatever the endpoint's filters say.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    operation_id = "v1.message-attempt.resend", tag = "Message Attempt",
    responses((status = 202, body = EmptyResponse)),
)]
pub(super) async fn resend_message(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    params: PathParams,
    raw: Raw,
) -> Result<Response, ApiError> {
    let event = event_id(&shared, &app, params.get("msg_id")).await?;
    shared.api.ports.replays.resend(app.id, event, endpoint.id, raw.caller_key()).await?;
    Ok(json(StatusCode::ACCEPTED, &EmptyResponse {}))
}
