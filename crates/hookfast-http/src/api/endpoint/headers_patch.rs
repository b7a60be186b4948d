//! `PATCH /app/{app_id}/endpoint/{endpoint_id}/headers`.

use super::headers_wire::EndpointHeadersPatchIn;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use hookfast_core::ports::{EndpointPatch, HeadersChange};
use http::StatusCode;
use std::sync::Arc;

/// Sets some of the headers sent with each attempt and removes others.
#[utoipa::path(
    patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", operation_id = "v1.endpoint.patch-headers",
    tag = "Endpoint", request_body = EndpointHeadersPatchIn, responses((status = 204, description = "Changed")),
)]
pub(super) async fn patch_headers(
    State(shared): State<Arc<Shared>>,
    caller: EndpointCaller,
    input: Input<EndpointHeadersPatchIn>,
) -> Result<StatusCode, ApiError> {
    let EndpointHeadersPatchIn { headers: set, delete_headers: remove } = input.value;
    let patch = EndpointPatch { headers: Some(HeadersChange::Merge { set, remove }), ..EndpointPatch::default() };
    shared.api.ports.endpoints.update_endpoint(caller.app.id, caller.endpoint.id, patch).await?;
    Ok(StatusCode::NO_CONTENT)
}
