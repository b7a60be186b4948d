//! `PATCH /app/{app_id}`.

use super::wire::{ApplicationOut, ApplicationPatchIn, check_retention};
use crate::api::json;
use crate::auth::AppByOrg;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Changes some fields of an application.
#[utoipa::path(
    patch, path = "/api/v1/app/{app_id}", operation_id = "v1.application.patch", tag = "Application",
    request_body = ApplicationPatchIn, responses((status = 200, body = ApplicationOut)),
)]
pub(super) async fn patch_application(
    State(shared): State<Arc<Shared>>,
    AppByOrg(app): AppByOrg,
    input: Input<ApplicationPatchIn>,
) -> Result<Response, ApiError> {
    check_retention(&shared, input.value.retention_days, "retentionDays")?;
    let app = shared.api.ports.applications.update_application(app.id, input.value.into_patch()).await?;
    Ok(json(StatusCode::OK, &ApplicationOut::from(&*app)))
}
