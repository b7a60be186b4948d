//! `GET /app/{app_id}/attempt/msg/{msg_id}`.

use super::filters::{AttemptParams, AttemptQuery};
use super::wire::MessageAttemptOut;
use crate::api::json;
use crate::api::message::event_id;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{PathParams, Query};
use crate::page::{FixedPageParams, ListResponse};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Lists the attempts of a message, newest first.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/attempt/msg/{msg_id}",
    operation_id = "v1.message-attempt.list-by-msg", tag = "Message Attempt",
    params(
        FixedPageParams, AttemptParams,
        ("endpoint_id" = Option<String>, Query, description = "Only to this endpoint: its id or uid"),
    ),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)),
)]
pub(super) async fn list_attempts_by_message(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
    Query(query): Query<AttemptQuery>,
) -> Result<Response, ApiError> {
    let event = event_id(&shared, &app, params.get("msg_id")).await?;
    let endpoint = match &query.endpoint {
        Some(reference) => Some(shared.api.ports.endpoints.endpoint(app.id, reference).await?.id),
        None => None,
    };
    if query.finds_nothing() {
        return Ok(json(StatusCode::OK, &query.nothing()));
    }
    let reading = &shared.api.ports.reading;
    let found = reading.attempts_of_event(app.id, event, query.filter(endpoint), query.page()).await?;
    Ok(json(StatusCode::OK, &query.answer(found)))
}
