//! The body of an endpoint's story.

use crate::api::Text;
use crate::api::attempt::MessageAttemptOut;
use crate::api::endpoint::EndpointOut;
use crate::time::Time;
use hookfast_core::model::{Attempt, Endpoint};
use hookfast_core::ports::EndpointStats;
use hookfast_core::{AppId, UnixMs};
use serde::Serialize;
use utoipa::ToSchema;

/// The story of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointExplanationOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    /// Its application.
    #[schema(value_type = String)]
    app_id: Text<AppId>,
    /// Deliveries in a second that its application allows all its endpoints together.
    app_throttle_rate: Option<u16>,
    /// How it does: `good`, `failing` (nothing but failures since `failingSince`, so it is tried less often) or
    /// `disabled` (it gets nothing).
    health: &'static str,
    /// Deliveries that wait for their first try.
    pending: u64,
    /// Deliveries that wait to be tried again.
    retrying: u64,
    /// When the oldest message was accepted that waits for it.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_waiting: Option<Time>,
    /// Attempts of the last 24 hours that succeeded, counted in whole hours.
    successes: u64,
    /// Attempts of the last 24 hours that failed, counted in whole hours.
    failures: u64,
    /// The newest attempts, newest first; at most 10.
    attempts: Vec<MessageAttemptOut>,
}

impl EndpointExplanationOut {
    pub(super) fn of(
        endpoint: &Endpoint,
        stats: EndpointStats,
        oldest: Option<UnixMs>,
        attempts: Vec<Attempt>,
    ) -> Self {
        let health = match (endpoint.disabled, endpoint.failing_since) {
            (Some(_), _) => "disabled",
            (None, Some(_)) => "failing",
            (None, None) => "good",
        };
        Self {
            endpoint: EndpointOut::from(endpoint),
            app_id: Text(endpoint.app),
            app_throttle_rate: endpoint.app_throttle.rate,
            health,
            pending: stats.pending,
            retrying: stats.retrying,
            oldest_waiting: oldest.map(Time),
            successes: stats.success,
            failures: stats.fail,
            attempts: attempts.into_iter().map(|attempt| MessageAttemptOut::of(attempt, true)).collect(),
        }
    }
}
