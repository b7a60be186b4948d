//! `GET /event-type`.

use super::wire::EventTypeOut;
use crate::api::json;
use crate::auth::AnyCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader, event_type_name};
use crate::page::{FixedPageParams, ListResponse, PageQuery};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::ports::Order;
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

/// Which event types to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what ListQuery::read reads")]
struct EventTypeListParams {
    /// Archived ones too.
    #[param(default = false)]
    include_archived: Option<bool>,
    /// Show schemas.
    #[param(default = false)]
    with_content: Option<bool>,
}

#[derive(Debug)]
pub(super) struct ListQuery {
    page: PageQuery<String>,
    include_archived: bool,
    with_content: bool,
}

impl FromQuery for ListQuery {
    fn read(query: &mut QueryReader) -> Self {
        let parse = |key: &str| event_type_name(key).is_ok().then(|| key.to_owned());
        Self {
            page: PageQuery::read(query, Order::Ascending, false, parse),
            include_archived: query.flag("include_archived").unwrap_or(false),
            with_content: query.flag("with_content").unwrap_or(false),
        }
    }
}

/// Lists the event types of the organisation by name.
#[utoipa::path(
    get, path = "/api/v1/event-type", operation_id = "v1.event-type.list", tag = "Event Type",
    params(FixedPageParams, EventTypeListParams), responses((status = 200, body = ListResponse<EventTypeOut>)),
)]
pub(super) async fn list_event_types(
    State(shared): State<Arc<Shared>>,
    AnyCaller(principal): AnyCaller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let event_types = &shared.api.ports.event_types;
    let found = event_types.event_types(principal.org, query.include_archived, query.page.page()).await?;
    let show = |event_type| EventTypeOut::of(event_type, query.with_content);
    Ok(json(StatusCode::OK, &query.page.answer(found, |event_type| event_type.name.clone(), show)))
}
