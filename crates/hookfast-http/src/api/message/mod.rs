//! Messages: events as this API calls them.

mod create;
mod destination_wire;
mod destinations;
mod filters;
mod get;
mod list;
mod message_in;
mod resend;
mod wire;

pub(crate) use destination_wire::MessageEndpointOut;
pub(crate) use filters::EventWindow;
pub(crate) use message_in::read_payload;
pub(crate) use wire::MessageOut;

use crate::error::ApiError;
use crate::router::Shared;
use hookfast_core::EventId;
use hookfast_core::model::Application;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_messages, create::create_message))
        .routes(routes!(get::get_message))
        .routes(routes!(destinations::list_destinations))
        .routes(routes!(resend::resend_message))
}

/// The id of a message that is named by its id or its `eventId`.
///
/// # Errors
/// 404 when the application has none.
pub(crate) async fn event_id(shared: &Shared, app: &Application, reference: &str) -> Result<EventId, ApiError> {
    match reference.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(shared.api.ports.reading.event(app.id, reference).await?.id),
    }
}
