//! `GET /app/{app_id}/endpoint/{endpoint_id}`.

use super::wire::EndpointOut;
use crate::api::json;
use crate::auth::EndpointCaller;
use axum::response::Response;
use http::StatusCode;

/// Reads an endpoint.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.get", tag = "Endpoint",
    responses((status = 200, body = EndpointOut)),
)]
pub(super) async fn get_endpoint(caller: EndpointCaller) -> Response {
    json(StatusCode::OK, &EndpointOut::from(&*caller.endpoint))
}
