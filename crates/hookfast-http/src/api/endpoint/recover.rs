//! `POST /app/{app_id}/endpoint/{endpoint_id}/recover`.

use crate::api::json;
use crate::api::task::TaskOut;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Given, Input, Problem};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::UnixMs;
use http::StatusCode;
use std::sync::Arc;
use utoipa::ToSchema;

const AGE_MS_MAX: u64 = 14 * 24 * 3_600_000;

/// Which deliveries to make again.
#[derive(Debug, ToSchema)]
pub(super) struct RecoverIn {
    /// Of messages from here on; at most 14 days ago.
    #[schema(value_type = String, format = DateTime)]
    since: UnixMs,
    /// Of messages up to here; now when not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<UnixMs>,
}

impl FromFields for RecoverIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        let since = match fields.raw("since") {
            Given::Value(_) => fields.time("since").value().unwrap_or(UnixMs::ZERO),
            Given::Absent | Given::Null => {
                fields.note("since", Problem::new("missing", "expected a time, got nothing"));
                UnixMs::ZERO
            }
        };
        Self { since, until: fields.time("until").value() }
    }
}

impl RecoverIn {
    fn range(&self, now: UnixMs) -> Result<(UnixMs, UnixMs), ApiError> {
        let until = self.until.unwrap_or(now);
        if self.since < now.minus_ms(AGE_MS_MAX) {
            return Err(ApiError::field("body", "since", "value_error", "expected a time at most 14 days ago"));
        }
        if until < self.since {
            return Err(ApiError::field("body", "until", "value_error", "expected a time after `since`"));
        }
        Ok((self.since, until))
    }
}

/// Starts a task that makes every dead delivery of the endpoint again; it survives restarts.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", operation_id = "v1.endpoint.recover",
    tag = "Endpoint", request_body = RecoverIn, responses((status = 202, body = TaskOut)),
)]
pub(super) async fn recover(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    input: Input<RecoverIn>,
) -> Result<Response, ApiError> {
    let (since, until) = input.value.range(shared.api.clock.now())?;
    let task = shared.api.ports.replays.recover(app.id, endpoint.id, since, until, input.caller_key()).await?;
    Ok(json(StatusCode::ACCEPTED, &TaskOut::from(&task)))
}
