//! Event types.

mod create;
mod delete;
mod get;
mod list;
mod patch;
mod put;
mod wire;

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list::list_event_types, create::create_event_type)).routes(routes!(
        get::get_event_type,
        put::put_event_type,
        patch::patch_event_type,
        delete::delete_event_type
    ))
}
