//! `GET /app`.

use super::wire::ApplicationOut;
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::page::{ListResponse, PageParams, PageQuery};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::AppId;
use hookfast_core::ports::Order;
use http::StatusCode;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct ListQuery(PageQuery<AppId>);

impl FromQuery for ListQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self(PageQuery::read(query, Order::Ascending, true, |key| key.parse().ok()))
    }
}

/// Lists the applications of the organisation, oldest first unless asked otherwise.
#[utoipa::path(
    get, path = "/api/v1/app", operation_id = "v1.application.list", tag = "Application",
    params(PageParams), responses((status = 200, body = ListResponse<ApplicationOut>)),
)]
pub(super) async fn list_applications(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    Query(ListQuery(query)): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let found = shared.api.ports.applications.applications(principal.org, query.page()).await?;
    let page = query.answer(found, |app| app.id.to_string(), |app| ApplicationOut::from(&*app));
    Ok(json(StatusCode::OK, &page))
}
