//! Endpoints, with their secrets, headers, statistics and test events.

mod create;
mod delete;
mod ended;
mod get;
mod headers_get;
mod headers_patch;
mod headers_put;
mod headers_wire;
mod list;
mod ordering_wire;
mod patch;
mod put;
mod recover;
mod secret_get;
mod secret_rotate;
mod send_example;
mod stats;
mod wire;

pub(crate) use wire::EndpointOut;

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_endpoints, create::create_endpoint))
        .routes(routes!(get::get_endpoint, put::put_endpoint, patch::patch_endpoint, delete::delete_endpoint))
        .routes(routes!(secret_get::get_secret))
        .routes(routes!(secret_rotate::rotate_secret))
        .routes(routes!(headers_get::get_headers, headers_put::put_headers, headers_patch::patch_headers))
        .routes(routes!(stats::get_stats))
        .routes(routes!(recover::recover))
        .routes(routes!(ended::list_ended))
        .routes(routes!(send_example::send_example))
}
