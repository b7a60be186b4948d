//! `PUT /app/{app_id}/endpoint/{endpoint_id}/headers`.

use super::headers_wire::EndpointHeadersIn;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use hookfast_core::ports::{EndpointPatch, HeadersChange};
use http::StatusCode;
use std::sync::Arc;

/// Replaces the headers sent with each attempt.
#[utoipa::path(
    put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", operation_id = "v1.endpoint.update-headers",
    tag = "Endpoint", request_body = EndpointHeadersIn, responses((status = 204, description = "Replaced")),
)]
pub(super) async fn put_headers(
    State(shared): State<Arc<Shared>>,
    caller: EndpointCaller,
    input: Input<EndpointHeadersIn>,
) -> Result<StatusCode, ApiError> {
    let headers = Some(HeadersChange::Replace(input.value.headers));
    let patch = EndpointPatch { headers, ..EndpointPatch::default() };
    shared.api.ports.endpoints.update_endpoint(caller.app.id, caller.endpoint.id, patch).await?;
    Ok(StatusCode::NO_CONTENT)
}
