//! `PATCH /event-type/{event_type_name}`.

use super::wire::{EventTypeOut, EventTypePatchIn};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{Input, PathParams};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Changes some fields of an event type.
#[utoipa::path(
    patch, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.patch", tag = "Event Type",
    request_body = EventTypePatchIn, responses((status = 200, body = EventTypeOut)),
)]
pub(super) async fn patch_event_type(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
    input: Input<EventTypePatchIn>,
) -> Result<Response, ApiError> {
    let event_types = &shared.api.ports.event_types;
    let patch = input.value.into_patch();
    let changed = event_types.update_event_type(&principal.org, params.get("event_type_name"), patch).await?;
    Ok(json(StatusCode::OK, &EventTypeOut::of(changed, true)))
}
