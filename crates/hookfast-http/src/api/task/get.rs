//! `GET /background-task/{task_id}`.

use super::TaskOut;
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Reads how far a background task came.
#[utoipa::path(
    get, path = "/api/v1/background-task/{task_id}", operation_id = "v1.background-task.get",
    tag = "Background Tasks", responses((status = 200, body = TaskOut)),
)]
pub(super) async fn get_task(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    let id = params.get("task_id").parse().map_err(|_| ApiError::not_found("task"))?;
    Ok(json(StatusCode::OK, &TaskOut::from(&shared.api.ports.replays.task(&principal.org, id).await?)))
}
