//! `GET /app/{app_id}/endpoint/{endpoint_id}/secret`.

use crate::api::json;
use crate::auth::EndpointCaller;
use crate::secret;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// What receivers verify with.
#[derive(Serialize, ToSchema)]
pub(super) struct EndpointSecretOut {
    /// The secret (`whsec_…`), or the public key (`whpk_…`) of a key pair.
    #[schema(format = Password)]
    pub(super) key: String,
}

/// Reads what the endpoint's receivers verify with.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", operation_id = "v1.endpoint.get-secret",
    tag = "Endpoint", responses((status = 200, body = EndpointSecretOut)),
)]
pub(super) async fn get_secret(caller: EndpointCaller) -> Response {
    json(StatusCode::OK, &EndpointSecretOut { key: secret::shown(&caller.endpoint.secrets.current) })
}
