//! `GET /app/{app_id}/endpoint`.

use super::wire::EndpointOut;
use crate::api::json;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::page::{ListResponse, PageParams, PageQuery};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::EndpointId;
use hookfast_core::ports::Order;
use http::StatusCode;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct ListQuery(PageQuery<EndpointId>);

impl FromQuery for ListQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self(PageQuery::read(query, Order::Descending, true, |key| key.parse().ok()))
    }
}

/// Lists the endpoints of an application, newest first unless asked otherwise.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint", operation_id = "v1.endpoint.list", tag = "Endpoint",
    params(PageParams), responses((status = 200, body = ListResponse<EndpointOut>)),
)]
pub(super) async fn list_endpoints(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    Query(ListQuery(query)): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let found = shared.api.ports.endpoints.endpoints(app.id, query.page()).await?;
    let page = query.answer(found, |endpoint| endpoint.id.to_string(), |endpoint| EndpointOut::from(&*endpoint));
    Ok(json(StatusCode::OK, &page))
}
