//! `GET /app/{app_id}/msg/{msg_id}/endpoint`.

use super::destination_wire::MessageEndpointOut;
use super::event_id;
use crate::api::json;
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, PathParams, Query, QueryReader};
use crate::page::{FixedPageParams, ListResponse, PageQuery};
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
        Self(PageQuery::read(query, Order::Ascending, false, |key| key.parse().ok()))
    }
}

/// Lists the endpoints that a message goes to, with how far each delivery came.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint",
    operation_id = "v1.message-attempt.list-attempted-destinations", tag = "Message Attempt",
    params(FixedPageParams), responses((status = 200, body = ListResponse<MessageEndpointOut>)),
)]
pub(super) async fn list_destinations(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    params: PathParams,
    Query(ListQuery(query)): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let event = event_id(&shared, &app, params.get("msg_id")).await?;
    let mut all = shared.api.ports.reading.destinations(app.id, event).await?;
    all.sort_unstable_by_key(|destination| destination.endpoint.id);
    let found = query.cut(all, |destination| destination.endpoint.id);
    let key = |destination: &_| -> String { endpoint_id(destination).to_string() };
    Ok(json(StatusCode::OK, &query.answer(found, key, |destination| MessageEndpointOut::from(&destination))))
}

fn endpoint_id(destination: &hookfast_core::ports::Destination) -> EndpointId {
    destination.endpoint.id
}
