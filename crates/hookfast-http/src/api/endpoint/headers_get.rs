//! `GET /app/{app_id}/endpoint/{endpoint_id}/headers`.

use super::headers_wire::EndpointHeadersOut;
use crate::api::json;
use crate::auth::EndpointCaller;
use axum::response::Response;
use http::StatusCode;

/// Reads the headers sent with each attempt; values of credentials are withheld.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", operation_id = "v1.endpoint.get-headers",
    tag = "Endpoint", responses((status = 200, body = EndpointHeadersOut)),
)]
pub(super) async fn get_headers(caller: EndpointCaller) -> Response {
    json(StatusCode::OK, &EndpointHeadersOut::from(&*caller.endpoint))
}
