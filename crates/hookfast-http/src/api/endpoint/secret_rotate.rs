//! `POST /app/{app_id}/endpoint/{endpoint_id}/secret/rotate`.

use super::secret_get::EndpointSecretOut;
use crate::api::json;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Input};
use crate::router::Shared;
use crate::secret;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::model::SecretText;
use http::StatusCode;
use std::sync::Arc;
use utoipa::ToSchema;

/// How to rotate.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EndpointSecretRotateIn {
    /// The new secret; made by the server when not given.
    #[schema(value_type = Option<String>, format = Password)]
    key: Option<SecretText>,
    /// For how long the old one still signs.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 604800, default = 86400)]
    grace_period_seconds: u64,
}

impl FromFields for EndpointSecretRotateIn {
    const MAY_BE_EMPTY: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            key: secret::read(fields, "key"),
            grace_period_seconds: fields.number("gracePeriodSeconds", 0..=604_800).value().unwrap_or(86_400),
        }
    }
}

/// Puts a new secret in force at once; the old one signs too until its grace period ends.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    operation_id = "v1.endpoint.rotate-secret", tag = "Endpoint", request_body = Option<EndpointSecretRotateIn>,
    responses((status = 200, body = EndpointSecretOut)),
)]
pub(super) async fn rotate_secret(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    input: Input<EndpointSecretRotateIn>,
) -> Result<Response, ApiError> {
    let key = input.caller_key();
    let new = input.value.key.map_or_else(secret::generate, Ok)?;
    let grace_ms = input.value.grace_period_seconds * 1_000;
    let endpoint = shared.api.ports.endpoints.rotate_secret(app.id, endpoint.id, new, grace_ms, key).await?;
    Ok(json(StatusCode::OK, &EndpointSecretOut { key: secret::shown(&endpoint.secrets.current) }))
}
