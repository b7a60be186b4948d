//! The body of an attempt.

use crate::api::Text;
use crate::time::Time;
use hookfast_core::delivery::Cause;
use hookfast_core::model::{Attempt, Trigger};
use hookfast_core::{AttemptId, EndpointId, EventId};
use serde::Serialize;
use utoipa::ToSchema;

/// What stands for a response that was not asked for.
const NO_CONTENT: &str = "{}";

/// One try of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptOut {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<AttemptId>,
    /// The message.
    #[schema(value_type = String)]
    msg_id: Text<EventId>,
    /// The endpoint.
    #[schema(value_type = String)]
    endpoint_id: Text<EndpointId>,
    /// Where it went.
    url: String,
    /// The start of the answer's body, or what went wrong; `{}` when it was not asked for.
    response: String,
    /// The answer's status; 0 when there was none.
    response_status_code: u16,
    /// From the start of the try to its end.
    response_duration_ms: u32,
    /// 0 success, 2 fail.
    #[schema(minimum = 0, maximum = 4)]
    status: u8,
    /// The status in a word: `success` or `fail`.
    status_text: &'static str,
    /// Why it was made: 0 by the schedule, 1 by hand.
    #[schema(minimum = 0, maximum = 1)]
    trigger_type: u8,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Time,
    /// What came of it, in a word: `ok`, `status`, `timeout`, `dns`, …
    cause: &'static str,
    /// The run it belongs to: 0 at first, one more for each resend.
    run: u32,
    /// Which try of that run, from 1.
    number: u32,
}

impl MessageAttemptOut {
    pub(crate) fn of(attempt: Attempt, with_content: bool) -> Self {
        let (status, status_text) = if attempt.cause == Cause::Ok { (0, "success") } else { (2, "fail") };
        Self {
            id: Text(attempt.id),
            msg_id: Text(attempt.event),
            endpoint_id: Text(attempt.endpoint),
            url: attempt.url,
            response: if with_content { attempt.excerpt } else { NO_CONTENT.to_owned() },
            response_status_code: attempt.status,
            response_duration_ms: attempt.duration_ms,
            status,
            status_text,
            trigger_type: match attempt.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            timestamp: Time(attempt.id.time()),
            cause: attempt.cause.as_str(),
            run: attempt.run,
            number: attempt.number,
        }
    }
}
