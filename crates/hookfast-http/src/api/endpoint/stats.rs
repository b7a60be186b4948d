//! `GET /app/{app_id}/endpoint/{endpoint_id}/stats`.

use crate::api::json;
use crate::auth::EndpointCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::UnixMs;
use hookfast_core::ports::EndpointStats;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

const RANGE_MS_MAX: u64 = 28 * 24 * 3_600_000;
/// How far a caller's clock may be ahead of ours.
const AHEAD_MS_MAX: u64 = 3_600_000;

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// From here; 28 days before `until` when not given.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<UnixMs>,
    /// To here; now when not given. At most 28 days after `since`.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<UnixMs>,
}

impl FromQuery for StatsQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self { since: query.time("since"), until: query.time("until") }
    }
}

/// Attempts and deliveries of an endpoint, counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndpointStats)]
pub(super) struct EndpointStatsOut {
    /// Attempts that succeeded.
    success: u64,
    /// Deliveries not tried yet.
    pending: u64,
    /// Deliveries to be tried again.
    sending: u64,
    /// Attempts that failed.
    fail: u64,
    /// Deliveries cancelled.
    canceled: u64,
}

impl From<EndpointStats> for EndpointStatsOut {
    fn from(stats: EndpointStats) -> Self {
        let EndpointStats { success, fail, pending, retrying: sending, cancelled: canceled } = stats;
        Self { success, pending, sending, fail, canceled }
    }
}

impl StatsQuery {
    fn range(&self, now: UnixMs) -> Result<(UnixMs, UnixMs), ApiError> {
        let until = self.until.unwrap_or(now);
        let since = self.since.unwrap_or_else(|| until.minus_ms(RANGE_MS_MAX));
        let wrong = |detail: &str| Err(ApiError::bad_request("invalid_range", detail));
        if until > now.plus_ms(AHEAD_MS_MAX) || since > now.plus_ms(AHEAD_MS_MAX) {
            return wrong("`since` and `until` may not lie in the future");
        }
        if since > until {
            return wrong("`since` must not be later than `until`");
        }
        if until.since(since) > RANGE_MS_MAX {
            return wrong("`since` and `until` may be at most 28 days apart");
        }
        Ok((since, until))
    }
}

/// Counts an endpoint's attempts between two times, in whole hours.
#[utoipa::path(
    get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats", operation_id = "v1.endpoint.get-stats",
    tag = "Endpoint", params(StatsQuery), responses((status = 200, body = EndpointStatsOut)),
)]
pub(super) async fn get_stats(
    State(shared): State<Arc<Shared>>,
    EndpointCaller { app, endpoint }: EndpointCaller,
    Query(query): Query<StatsQuery>,
) -> Result<Response, ApiError> {
    let (since, until) = query.range(shared.api.clock.now())?;
    let stats = shared.api.ports.reading.endpoint_stats(app.id, endpoint.id, since, until).await?;
    Ok(json(StatusCode::OK, &EndpointStatsOut::from(stats)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_at_most_28_days_and_not_in_the_future() {
        let now = UnixMs(1_700_000_000_000);
        let range = |since: Option<i64>, until: Option<i64>| {
            let query = StatsQuery { since: since.map(UnixMs), until: until.map(UnixMs) };
            query.range(now).map_err(|error| error.status().as_u16())
        };
        assert_eq!(range(None, None), Ok((now.minus_ms(RANGE_MS_MAX), now)));
        assert!(range(Some(now.0 - 28 * 86_400_000), Some(now.0)).is_ok());
        assert_eq!(range(Some(now.0 - 28 * 86_400_000 - 1), Some(now.0)), Err(400));
        assert_eq!(range(Some(now.0), Some(now.0 - 1)), Err(400));
        assert_eq!(range(None, Some(now.0 + 7_200_000)), Err(400));
        assert_eq!(range(Some(i64::MIN), Some(i64::MAX)), Err(400));
    }
}
