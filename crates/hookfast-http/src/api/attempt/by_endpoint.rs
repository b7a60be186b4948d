//! `GET /app/{app_id}/attempt/endpoint/{endpoint_id}`.

use super::filters::{AttemptParams, AttemptQuery};
use super::wire::MessageAttemptOut;
use crate::api::json;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::Query;
use crate::page::{FixedPageParams, ListResponse};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Lists the attempts to an endpoint, newest first.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}",
    operation_id = "v1.message-attempt.list-by-endpoint", tag = "Message Attempt",
    params(FixedPageParams, AttemptParams), responses((status = 200, body = ListResponse<MessageAttemptOut>)),
)]
pub(super) async fn list_attempts_by_endpoint(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    Query(query): Query<AttemptQuery>,
) -> Result<Response, ApiError> {
    if query.finds_nothing() {
        return Ok(json(StatusCode::OK, &query.nothing()));
    }
    let reading = &shared.api.ports.reading;
    let found = reading.attempts_of_endpoint(app.id, endpoint.id, query.filter(None), query.page()).await?;
    Ok(json(StatusCode::OK, &query.answer(found)))
}
