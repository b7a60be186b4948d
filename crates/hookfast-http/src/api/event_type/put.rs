//! `PUT /event-type/{event_type_name}`.

use super::wire::{EventTypeOut, EventTypeUpdate};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{Input, PathParams, event_type_name};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::Error;
use http::StatusCode;
use std::sync::Arc;

/// Replaces an event type, or makes one when there is none.
#[utoipa::path(
    put, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.update", tag = "Event Type",
    request_body = EventTypeUpdate,
    responses(
        (status = 200, body = EventTypeOut, description = "Replaced"),
        (status = 201, body = EventTypeOut, description = "Made"),
    ),
)]
pub(super) async fn put_event_type(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
    input: Input<EventTypeUpdate>,
) -> Result<Response, ApiError> {
    let name = params.get("event_type_name");
    event_type_name(name).map_err(|problem| ApiError::field("path", "event_type_name", problem.kind, problem.msg))?;
    let EventTypeUpdate(update) = input.value;
    let event_types = &shared.api.ports.event_types;
    match event_types.event_type(&principal.org, name).await {
        Ok(_) => {
            let changed = event_types.update_event_type(&principal.org, name, update.into_replacement()).await?;
            Ok(json(StatusCode::OK, &EventTypeOut::of(changed, true)))
        }
        Err(Error::NotFound { .. }) => {
            let new = update.into_event_type(principal.org, name.to_owned(), shared.api.clock.now());
            let created = event_types.create_event_type(new, None).await?;
            Ok(json(StatusCode::CREATED, &EventTypeOut::of(created.value, true)))
        }
        Err(other) => Err(other.into()),
    }
}
