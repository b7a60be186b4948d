//! The body of a message's destination: the endpoint, and how far its delivery came.

use crate::api::endpoint::EndpointOut;
use crate::time::Time;
use hookfast_core::delivery::DeliveryState;
use hookfast_core::ports::Destination;
use serde::Serialize;
use utoipa::ToSchema;

/// An endpoint that a message goes to, and how far it came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    /// 0 delivered, 1 not tried yet, 2 failed for good or cancelled, 3 to be tried again.
    #[schema(minimum = 0, maximum = 3)]
    status: u8,
    /// The status in a word: `success`, `pending`, `fail` or `sending`.
    status_text: &'static str,
    /// When the next try is due, if one is.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt: Option<Time>,
    /// Where the delivery stands: `pending`, `retrying`, `delivered`, `dead` or `cancelled`.
    state: &'static str,
    /// What the last try, or the end, came of.
    cause: Option<&'static str>,
    /// Tries made in the latest run.
    tries: u32,
    /// The latest run: 0 at first, one more for each resend.
    run: u32,
}

impl From<&Destination> for MessageEndpointOut {
    fn from(destination: &Destination) -> Self {
        let (status, status_text) = match destination.state {
            DeliveryState::Delivered => (0, "success"),
            DeliveryState::Pending => (1, "pending"),
            DeliveryState::Dead | DeliveryState::Cancelled => (2, "fail"),
            DeliveryState::Retrying => (3, "sending"),
        };
        Self {
            endpoint: EndpointOut::from(&*destination.endpoint),
            status,
            status_text,
            next_attempt: destination.next_due.map(Time),
            state: destination.state.as_str(),
            cause: destination.cause.map(|cause| cause.as_str()),
            tries: destination.tries,
            run: destination.run,
        }
    }
}
