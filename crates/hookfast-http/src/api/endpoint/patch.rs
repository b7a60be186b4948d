//! `PATCH /app/{app_id}/endpoint/{endpoint_id}`.

use super::wire::{EndpointOut, EndpointPatchIn, check_event_types, vetted};
use crate::api::json;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Changes some fields of an endpoint.
#[utoipa::path(
    patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.patch",
    tag = "Endpoint", request_body = EndpointPatchIn, responses((status = 200, body = EndpointOut)),
)]
pub(super) async fn patch_endpoint(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    input: Input<EndpointPatchIn>,
) -> Result<Response, ApiError> {
    let mut patch = input.value;
    if let Some(url) = &patch.url {
        patch.url = Some(vetted(&shared, url)?);
    }
    if let Some(Some(event_types)) = &patch.event_types {
        check_event_types(&shared, &app, Some(event_types)).await?;
    }
    let endpoint = shared.api.ports.endpoints.update_endpoint(app.id, endpoint.id, patch.into_patch()).await?;
    Ok(json(StatusCode::OK, &EndpointOut::from(&*endpoint)))
}
