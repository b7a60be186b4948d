//! `DELETE /app/{app_id}/endpoint/{endpoint_id}`.

use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::router::Shared;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;

/// Deletes an endpoint; what waits for it ends as cancelled.
#[utoipa::path(
    delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.delete",
    tag = "Endpoint", responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_endpoint(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
) -> Result<StatusCode, ApiError> {
    shared.api.ports.endpoints.delete_endpoint(app.id, endpoint.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
