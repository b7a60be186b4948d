//! `GET /hookfast/node`.

use super::wire::{NodeOut, NodesOut};
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Lists the nodes on the store, newest first: those at work, and those that ended within the last day. At most 1,000,
/// on one page.
#[utoipa::path(
    get, path = "/api/v1/hookfast/node", operation_id = "v1.hookfast.node.list", tag = "Node",
    responses((status = 200, body = NodesOut)),
)]
pub(super) async fn list_nodes(State(shared): State<Arc<Shared>>, _: OrgCaller) -> Result<Response, ApiError> {
    let nodes = shared.api.ports.maintenance.nodes().await?;
    Ok(json(StatusCode::OK, &NodesOut { data: nodes.iter().map(NodeOut::of).collect() }))
}
