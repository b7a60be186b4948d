//! `POST /app`.

use super::wire::{ApplicationIn, ApplicationOut, check_retention};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Input, Query, QueryReader};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::ports::OnExisting;
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateQuery {
    /// Answer with the existing application when the uid is taken. Also read as `getIfExists`.
    #[param(value_type = Option<bool>)]
    get_if_exists: bool,
}

impl FromQuery for CreateQuery {
    fn read(query: &mut QueryReader) -> Self {
        let old = query.flag("getIfExists");
        Self { get_if_exists: query.flag("get_if_exists").or(old).unwrap_or(false) }
    }
}

/// Makes an application.
#[utoipa::path(
    post, path = "/api/v1/app", operation_id = "v1.application.create", tag = "Application",
    params(CreateQuery), request_body = ApplicationIn,
    responses(
        (status = 201, body = ApplicationOut, description = "Made"),
        (status = 200, body = ApplicationOut, description = "It existed, and `get_if_exists` was set"),
    ),
)]
pub(super) async fn create_application(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    Query(query): Query<CreateQuery>,
    input: Input<ApplicationIn>,
) -> Result<Response, ApiError> {
    let key = input.caller_key();
    check_retention(&shared, input.value.retention_days, "retentionDays")?;
    let existing = if query.get_if_exists { OnExisting::Return } else { OnExisting::Refuse };
    let new = input.value.into_new(principal.org);
    let created = shared.api.ports.applications.create_application(new, existing, key).await?;
    let status = if created.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &ApplicationOut::from(&*created.value)))
}
