//! Applications.

mod create;
mod delete;
mod get;
mod list;
mod patch;
mod put;
mod wire;

pub(crate) use wire::{ApplicationIn, check_retention};

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list::list_applications, create::create_application)).routes(routes!(
        get::get_application,
        put::put_application,
        patch::patch_application,
        delete::delete_application
    ))
}
