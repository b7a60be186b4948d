//! `GET /app/{app_id}/msg/{msg_id}`.

use super::wire::MessageOut;
use crate::api::json;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, PathParams, Query, QueryReader};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GetQuery {
    /// Show the payload.
    #[param(value_type = Option<bool>, default = true)]
    with_content: bool,
}

impl FromQuery for GetQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self { with_content: query.flag("with_content").unwrap_or(true) }
    }
}

/// Reads a message.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/msg/{msg_id}", operation_id = "v1.message.get", tag = "Message",
    params(GetQuery), responses((status = 200, body = MessageOut)),
)]
pub(super) async fn get_message(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
    Query(query): Query<GetQuery>,
) -> Result<Response, ApiError> {
    let event = shared.api.ports.reading.event(app.id, params.get("msg_id")).await?;
    Ok(json(StatusCode::OK, &MessageOut::of(&event, query.with_content)))
}
