//! Attempts: single tries of deliveries.

mod by_endpoint;
mod by_message;
mod filters;
mod get;
mod wire;

pub(crate) use wire::MessageAttemptOut;

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(by_endpoint::list_attempts_by_endpoint))
        .routes(routes!(by_message::list_attempts_by_message))
        .routes(routes!(get::get_attempt))
}
