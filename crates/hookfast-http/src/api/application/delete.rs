//! `DELETE /app/{app_id}`.

use crate::auth::AppByOrg;
use crate::error::ApiError;
use crate::router::Shared;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;

/// Deletes an application with its endpoints; what waits for them ends as cancelled.
#[utoipa::path(
    delete, path = "/api/v1/app/{app_id}", operation_id = "v1.application.delete", tag = "Application",
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_application(
    State(shared): State<Arc<Shared>>,
    AppByOrg(app): AppByOrg,
) -> Result<StatusCode, ApiError> {
    shared.api.ports.applications.delete_application(app.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
