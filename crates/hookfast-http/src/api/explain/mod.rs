//! The whole story of an event or an endpoint, for people who look for one that did not arrive: hookfast's own routes.

mod endpoint;
mod endpoint_wire;
mod event;
mod event_wire;

use crate::auth::visible_application;
use crate::error::ApiError;
use crate::router::Shared;
use hookfast_core::limits::PAGE_ROWS_MAX;
use hookfast_core::model::{Application, Principal};
use hookfast_core::ports::{AttemptFilter, Order, Page, Thing};
use hookfast_core::{AttemptId, UnixMs};
use http::StatusCode;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(event::explain_event_of_app))
        .routes(routes!(event::explain_event))
        .routes(routes!(endpoint::explain_endpoint_of_app))
        .routes(routes!(endpoint::explain_endpoint))
}

/// The application that has a thing, if this caller may see it.
async fn application_of(shared: &Shared, principal: &Principal, thing: Thing) -> Result<Arc<Application>, ApiError> {
    let owner = shared.api.ports.reading.owner(&principal.org, thing).await?;
    let what = match thing {
        Thing::Event(_) => "message",
        Thing::Endpoint(_) => "endpoint",
    };
    // Whoever may not see the application is not told whose the thing is.
    let app = visible_application(shared, principal, &owner.to_string()).await;
    app.map_err(|error| if error.status() == StatusCode::NOT_FOUND { ApiError::not_found(what) } else { error })
}

/// Attempts of every kind.
fn any_attempt() -> AttemptFilter {
    AttemptFilter {
        endpoint: None,
        succeeded: None,
        status_class: None,
        event_types: Vec::new(),
        channel: None,
        after: UnixMs::ZERO,
        before: UnixMs::MAX,
    }
}

/// The newest so many, at most a page.
fn newest(limit: u32) -> Page<AttemptId> {
    Page { limit: limit.min(PAGE_ROWS_MAX), after: None, backwards: false, order: Order::Descending }
}
