//! `GET /hookfast/msg/{msg_id}/explain` and `GET /hookfast/app/{app_id}/msg/{msg_id}/explain`.

use super::event_wire::EventExplanationOut;
use super::{any_attempt, application_of, newest};
use crate::api::json;
use crate::auth::{AnyCaller, AppCaller};
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::limits::PAGE_ROWS_MAX;
use hookfast_core::model::{Application, Endpoint};
use hookfast_core::ports::{Order, Page, Thing};
use hookfast_core::{AppId, EventId};
use http::StatusCode;
use std::sync::Arc;

/// Tells the whole story of a message: which endpoints it went to and how far it came, which ones it did not go to and
/// why, every attempt, and what happens next.
#[utoipa::path(
    get, path = "/api/v1/hookfast/app/{app_id}/msg/{msg_id}/explain",
    operation_id = "v1.hookfast.message.explain-of-application", tag = "Explain",
    responses((status = 200, body = EventExplanationOut)),
)]
pub(super) async fn explain_event_of_app(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    story(&shared, &app, params.get("msg_id")).await
}

/// The same for a message whose application is not known: its id is enough.
#[utoipa::path(
    get, path = "/api/v1/hookfast/msg/{msg_id}/explain", operation_id = "v1.hookfast.message.explain", tag = "Explain",
    responses((status = 200, body = EventExplanationOut)),
)]
pub(super) async fn explain_event(
    State(shared): State<Arc<Shared>>,
    AnyCaller(principal): AnyCaller,
    params: PathParams,
) -> Result<Response, ApiError> {
    let reference = params.get("msg_id");
    let id: EventId = reference.parse().map_err(|_| ApiError::not_found("message"))?;
    let app = application_of(&shared, &principal, Thing::Event(id)).await?;
    story(&shared, &app, reference).await
}

async fn story(shared: &Shared, app: &Application, reference: &str) -> Result<Response, ApiError> {
    let reading = &shared.api.ports.reading;
    let event = reading.event(app.id, reference).await?;
    let endpoints = all_endpoints(shared, app.id).await?;
    let destinations = reading.destinations(app.id, event.id).await?;
    let attempts = reading.attempts_of_event(app.id, event.id, any_attempt(), newest(PAGE_ROWS_MAX)).await?;
    Ok(json(StatusCode::OK, &EventExplanationOut::of(app, &event, &endpoints, &destinations, attempts)))
}

/// Every endpoint that the application has now: their number is limited.
async fn all_endpoints(shared: &Shared, app: AppId) -> Result<Vec<Arc<Endpoint>>, ApiError> {
    let mut all: Vec<Arc<Endpoint>> = Vec::new();
    loop {
        let after = all.last().map(|endpoint| endpoint.id);
        let page = Page { limit: PAGE_ROWS_MAX, after, backwards: false, order: Order::Ascending };
        let found = shared.api.ports.endpoints.endpoints(app, page).await?;
        let ends = found.done || found.items.is_empty();
        all.extend(found.items);
        if ends {
            return Ok(all);
        }
    }
}
