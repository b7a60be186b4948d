//! `PUT /app/{app_id}/endpoint/{endpoint_id}`.

use super::wire::{EndpointOut, EndpointUpdate, check_event_types, vetted};
use crate::api::json;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{Input, PathParams};
use crate::router::Shared;
use crate::secret;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::Error;
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Replaces an endpoint, or makes one when there is none; its uid then comes from the body, not from the path.
/// Secret and headers of an existing one stay.
#[utoipa::path(
    put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.update", tag = "Endpoint",
    request_body = EndpointUpdate,
    responses(
        (status = 200, body = EndpointOut, description = "Replaced"),
        (status = 201, body = EndpointOut, description = "Made"),
    ),
)]
pub(super) async fn put_endpoint(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
    input: Input<EndpointUpdate>,
) -> Result<Response, ApiError> {
    let mut update = input.value;
    update.url = vetted(&shared, &update.url)?;
    check_event_types(&shared, &app, update.event_types.as_deref()).await?;
    let endpoints = &shared.api.ports.endpoints;
    match endpoints.endpoint(app.id, params.get("endpoint_id")).await {
        Ok(endpoint) => {
            let endpoint = endpoints.update_endpoint(app.id, endpoint.id, update.into_replacement()).await?;
            Ok(json(StatusCode::OK, &EndpointOut::from(&*endpoint)))
        }
        Err(Error::NotFound { .. }) => {
            let new = update.into_new(&app, secret::generate()?, BTreeMap::new());
            let created = endpoints.create_endpoint(new, None).await?;
            Ok(json(StatusCode::CREATED, &EndpointOut::from(&*created.value)))
        }
        Err(other) => Err(other.into()),
    }
}
