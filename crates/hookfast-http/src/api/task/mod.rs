//! Background tasks.

mod get;
mod wire;

pub(crate) use wire::TaskOut;

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(get::get_task))
}
