//! `DELETE /event-type/{event_type_name}`.

use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, PathParams, Query, QueryReader};
use crate::router::Shared;
use axum::extract::State;
use hookfast_core::ports::EventTypePatch;
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Remove it for good.
    #[param(value_type = Option<bool>, default = false)]
    expunge: bool,
}

impl FromQuery for DeleteQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self { expunge: query.flag("expunge").unwrap_or(false) }
    }
}

/// Archives an event type, or removes it for good.
#[utoipa::path(
    delete, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.delete", tag = "Event Type",
    params(DeleteQuery), responses((status = 204, description = "Archived or removed")),
)]
pub(super) async fn delete_event_type(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let (event_types, name) = (&shared.api.ports.event_types, params.get("event_type_name"));
    if query.expunge {
        event_types.delete_event_type(&principal.org, name).await?;
    } else {
        let patch = EventTypePatch { archived: Some(true), ..EventTypePatch::default() };
        event_types.update_event_type(&principal.org, name, patch).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
