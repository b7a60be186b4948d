//! `GET /app/{app_id}/endpoint/{endpoint_id}/ended`.

use crate::api::texts::{CauseWord, ENDS, EndWord};
use crate::api::{Text, json};
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::page::{FixedPageParams, ListResponse, PageQuery};
use crate::router::Shared;
use crate::time::Time;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::{EndedDelivery, EndedFilter, Order};
use hookfast_core::{AttemptId, EventId, UnixMs};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The filters of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what EndedQuery::read reads")]
struct EndedParams {
    /// Only those that ended so.
    #[param(inline, value_type = Option<EndWord>)]
    state: Option<String>,
    /// Only those with this cause.
    #[param(inline, value_type = Option<CauseWord>)]
    cause: Option<String>,
    /// Only of messages accepted at or after.
    #[param(format = DateTime)]
    after: Option<String>,
    /// Only of messages accepted before.
    #[param(format = DateTime)]
    before: Option<String>,
}

#[derive(Debug)]
pub(super) struct EndedQuery {
    page: PageQuery<AttemptId>,
    state: Option<DeliveryState>,
    cause: Option<Cause>,
    after: UnixMs,
    before: UnixMs,
}

impl FromQuery for EndedQuery {
    fn read(query: &mut QueryReader) -> Self {
        let causes: Vec<_> = Cause::ALL.iter().map(|cause| (cause.as_str(), *cause)).collect();
        Self {
            page: PageQuery::read(query, Order::Descending, false, |key| key.parse().ok()),
            state: query.choice("state", &ENDS.map(|state| (state.as_str(), state))),
            cause: query.choice("cause", &causes),
            after: query.time("after").unwrap_or(UnixMs::ZERO),
            before: query.time("before").unwrap_or(UnixMs::MAX),
        }
    }
}

/// A delivery whose latest run has ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndedDeliveryOut {
    /// The message.
    #[schema(value_type = String)]
    msg_id: Text<EventId>,
    /// Its type.
    event_type: String,
    /// The caller's own id for it.
    #[schema(required)]
    event_id: Option<String>,
    /// How it ended: `delivered`, `dead` or `cancelled`.
    state: &'static str,
    /// What it came of: `ok`, `status`, `timeout`, `dns`, …
    cause: &'static str,
    /// Tries made in the latest run.
    tries: u32,
    /// The latest run: 0 at first, one more for each resend.
    run: u32,
    /// When the message was accepted.
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Time,
    /// When the last try was made, or when it ended without any.
    #[schema(value_type = String, format = DateTime)]
    ended_at: Time,
}

impl From<EndedDelivery> for EndedDeliveryOut {
    fn from(one: EndedDelivery) -> Self {
        Self {
            msg_id: Text(one.event),
            event_type: one.event_type,
            event_id: one.uid,
            state: one.state.as_str(),
            cause: one.cause.as_str(),
            tries: one.tries,
            run: one.run,
            accepted_at: Time(one.event.time()),
            ended_at: Time(one.ended.time()),
        }
    }
}

/// Lists deliveries to an endpoint whose latest run has ended, the newest end first.
///
/// The dead letters of an endpoint are those with `state=dead`.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/ended", operation_id = "v1.endpoint.ended",
    tag = "Endpoint", params(FixedPageParams, EndedParams),
    responses((status = 200, body = ListResponse<EndedDeliveryOut>)),
)]
pub(super) async fn list_ended(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    Query(query): Query<EndedQuery>,
) -> Result<Response, ApiError> {
    let EndedQuery { page, state, cause, after, before } = query;
    let filter = EndedFilter { state, cause, after, before };
    let found = shared.api.ports.reading.ended(app.id, endpoint.id, filter, page.page()).await?;
    Ok(json(StatusCode::OK, &page.answer(found, |one| one.ended.to_string(), EndedDeliveryOut::from)))
}
