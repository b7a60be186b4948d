//! `GET /hookfast/endpoint/{endpoint_id}/explain` and `GET /hookfast/app/{app_id}/endpoint/{endpoint_id}/explain`.

use super::endpoint_wire::EndpointExplanationOut;
use super::{any_attempt, application_of, newest};
use crate::api::json;
use crate::auth::{AnyCaller, EndpointCaller};
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::EndpointId;
use hookfast_core::model::{Application, Endpoint};
use hookfast_core::ports::Thing;
use http::StatusCode;
use std::sync::Arc;

/// Over how long attempts are counted.
const COUNTED_MS: u64 = 24 * 3_600_000;
/// Attempts that are shown.
const ATTEMPTS_SHOWN: u32 = 10;

/// Tells how an endpoint does: whether it gets anything and why not, since when it fails, what waits for it, and the
/// newest attempts.
#[utoipa::path(
    get, path = "/api/v1/hookfast/app/{app_id}/endpoint/{endpoint_id}/explain",
    operation_id = "v1.hookfast.endpoint.explain-of-application", tag = "Explain",
    responses((status = 200, body = EndpointExplanationOut)),
)]
pub(super) async fn explain_endpoint_of_app(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
) -> Result<Response, ApiError> {
    story(&shared, &app, &endpoint).await
}

/// The same for an endpoint whose application is not known: its id is enough.
#[utoipa::path(
    get, path = "/api/v1/hookfast/endpoint/{endpoint_id}/explain", operation_id = "v1.hookfast.endpoint.explain",
    tag = "Explain", responses((status = 200, body = EndpointExplanationOut)),
)]
pub(super) async fn explain_endpoint(
    State(shared): State<Arc<Shared>>,
    AnyCaller(principal): AnyCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    let reference = params.get("endpoint_id");
    let id: EndpointId = reference.parse().map_err(|_| ApiError::not_found("endpoint"))?;
    let app = application_of(&shared, &principal, Thing::Endpoint(id)).await?;
    let endpoint = shared.api.ports.endpoints.endpoint(app.id, reference).await?;
    story(&shared, &app, &endpoint).await
}

async fn story(shared: &Shared, app: &Application, endpoint: &Endpoint) -> Result<Response, ApiError> {
    let reading = &shared.api.ports.reading;
    let now = shared.api.clock.now();
    let stats = reading.endpoint_stats(app.id, endpoint.id, now.minus_ms(COUNTED_MS), now).await?;
    let oldest = reading.oldest_waiting(app.id, endpoint.id).await?;
    let attempts = reading.attempts_of_endpoint(app.id, endpoint.id, any_attempt(), newest(ATTEMPTS_SHOWN)).await?;
    Ok(json(StatusCode::OK, &EndpointExplanationOut::of(endpoint, stats, oldest, attempts.items)))
}
