//! Access tokens: hookfast's own routes.

mod create;
mod list;
mod revoke;
mod wire;

use crate::router::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list::list_tokens, create::create_token)).routes(routes!(revoke::revoke_token))
}
