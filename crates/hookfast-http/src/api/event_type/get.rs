//! `GET /event-type/{event_type_name}`.

use super::wire::EventTypeOut;
use crate::api::json;
use crate::auth::AnyCaller;
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Reads an event type.
#[utoipa::path(
    get, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.get", tag = "Event Type",
    responses((status = 200, body = EventTypeOut)),
)]
pub(super) async fn get_event_type(
    State(shared): State<Arc<Shared>>,
    AnyCaller(principal): AnyCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    let found = shared.api.ports.event_types.event_type(&principal.org, params.get("event_type_name")).await?;
    Ok(json(StatusCode::OK, &EventTypeOut::of(found, true)))
}
