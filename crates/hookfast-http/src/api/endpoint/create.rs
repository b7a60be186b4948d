//! `POST /app/{app_id}/endpoint`.

use super::wire::{EndpointIn, EndpointOut, check_event_types, vetted};
use crate::api::json;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use crate::secret;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Makes an endpoint.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/endpoint", operation_id = "v1.endpoint.create", tag = "Endpoint",
    request_body = EndpointIn, responses((status = 201, body = EndpointOut)),
)]
pub(super) async fn create_endpoint(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    input: Input<EndpointIn>,
) -> Result<Response, ApiError> {
    let key = input.caller_key();
    let EndpointIn { mut common, secret, headers } = input.value;
    common.url = vetted(&shared, &common.url)?;
    check_event_types(&shared, &app, common.event_types.as_deref()).await?;
    let secret = secret.map_or_else(secret::generate, Ok)?;
    let created = shared.api.ports.endpoints.create_endpoint(common.into_new(&app, secret, headers), key).await?;
    Ok(json(StatusCode::CREATED, &EndpointOut::from(&*created.value)))
}
