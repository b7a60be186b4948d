//! `GET /app/{app_id}`.

use super::wire::ApplicationOut;
use crate::api::json;
use crate::auth::AppCaller;
use axum::response::Response;
use http::StatusCode;

/// Reads an application.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}", operation_id = "v1.application.get", tag = "Application",
    responses((status = 200, body = ApplicationOut)),
)]
pub(super) async fn get_application(AppCaller(app): AppCaller) -> Response {
    json(StatusCode::OK, &ApplicationOut::from(&*app))
}
