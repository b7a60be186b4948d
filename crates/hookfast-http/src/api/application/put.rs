//! `PUT /app/{app_id}`.

use super::wire::{ApplicationIn, ApplicationOut, check_retention};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{Input, PathParams};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::Error;
use hookfast_core::ports::OnExisting;
use http::StatusCode;
use std::sync::Arc;

/// Replaces an application, or makes one when there is none; its uid then comes from the body, not from the path.
#[utoipa::path(
    put, path = "/api/v1/app/{app_id}", operation_id = "v1.application.upsert", tag = "Application",
    request_body = ApplicationIn,
    responses(
        (status = 200, body = ApplicationOut, description = "Replaced"),
        (status = 201, body = ApplicationOut, description = "Made"),
    ),
)]
pub(super) async fn put_application(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
    input: Input<ApplicationIn>,
) -> Result<Response, ApiError> {
    check_retention(&shared, input.value.retention_days, "retentionDays")?;
    let applications = &shared.api.ports.applications;
    match applications.application(&principal.org, params.get("app_id")).await {
        Ok(app) => {
            let app = applications.update_application(app.id, input.value.into_replacement()).await?;
            Ok(json(StatusCode::OK, &ApplicationOut::from(&*app)))
        }
        Err(Error::NotFound { .. }) => {
            let new = input.value.into_new(principal.org);
            let created = applications.create_application(new, OnExisting::Refuse, None).await?;
            Ok(json(StatusCode::CREATED, &ApplicationOut::from(&*created.value)))
        }
        Err(other) => Err(other.into()),
    }
}
