//! `POST /event-type`.

use super::wire::{EventTypeIn, EventTypeOut};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Makes an event type, or brings an archived one of that name back.
#[utoipa::path(
    post, path = "/api/v1/event-type", operation_id = "v1.event-type.create", tag = "Event Type",
    request_body = EventTypeIn, responses((status = 201, body = EventTypeOut)),
)]
pub(super) async fn create_event_type(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    input: Input<EventTypeIn>,
) -> Result<Response, ApiError> {
    let key = input.caller_key();
    let name = input.value.name.clone();
    let new = input.value.into_event_type(principal.org, name, shared.api.clock.now());
    let created = shared.api.ports.event_types.create_event_type(new, key).await?;
    Ok(json(StatusCode::CREATED, &EventTypeOut::of(created.value, true)))
}
