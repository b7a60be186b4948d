//! `GET /app/{app_id}/msg`.

use super::filters::EventWindow;
use super::wire::MessageOut;
use crate::api::json;
use crate::api::texts::{ChannelFilter, EventTypeFilter};
use crate::auth::AppCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::page::{FixedPageParams, ListResponse, PageQuery};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::EventId;
use hookfast_core::ports::{EventFilter, Found, Order};
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

/// Which messages to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what ListQuery::read reads")]
struct MessageListParams {
    /// Only of these types; comma-joined or repeated.
    #[param(style = Form, explode = false, inline, value_type = Option<Vec<EventTypeFilter>>, max_items = 100)]
    event_types: Option<Vec<String>>,
    /// Only sent on this channel.
    #[param(inline, value_type = Option<ChannelFilter>)]
    channel: Option<String>,
    /// Only accepted at or after.
    #[param(format = DateTime)]
    after: Option<String>,
    /// Only accepted before.
    #[param(format = DateTime)]
    before: Option<String>,
    /// Show payloads.
    #[param(default = true)]
    with_content: Option<bool>,
}

#[derive(Debug)]
pub(super) struct ListQuery {
    page: PageQuery<EventId>,
    window: EventWindow,
    with_content: bool,
}

impl FromQuery for ListQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self {
            page: PageQuery::read(query, Order::Descending, false, |key| key.parse().ok()),
            window: EventWindow::read(query),
            with_content: query.flag("with_content").unwrap_or(true),
        }
    }
}

/// Lists the messages of an application, newest first.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/msg", operation_id = "v1.message.list", tag = "Message",
    params(FixedPageParams, MessageListParams), responses((status = 200, body = ListResponse<MessageOut>)),
)]
pub(super) async fn list_messages(
    State(shared): State<Arc<Shared>>,
    AppCaller(app): AppCaller,
    Query(ListQuery { page, window, with_content }): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let EventWindow { event_types, channel, after, before } = window;
    let filter = EventFilter { event_types, channel, after, before, with_body: with_content };
    let found = shared.api.ports.reading.events(app.id, filter, page.page()).await?;
    let found = Found { items: found.items.iter().collect(), done: found.done, stopped_at: found.stopped_at };
    let answer = page.answer(found, |event| event.id.to_string(), |event| MessageOut::of(event, with_content));
    Ok(json(StatusCode::OK, &answer))
}
