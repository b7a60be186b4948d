//! How a delivery goes out.

use super::{BoxFuture, Outgoing};
use crate::delivery::Cause;
use crate::model::Endpoint;

/// One try of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// To whom.
    pub endpoint: &'a Endpoint,
    /// What.
    pub event: &'a Outgoing,
}

/// What one try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TryOutcome {
    /// The class of what happened.
    pub cause: Cause,
    /// The HTTP status; 0 when there was none.
    pub status: u16,
    /// How long the receiver asked to wait.
    pub retry_after_ms: Option<u64>,
    /// From the start of the try to its end.
    pub duration_ms: u32,
    /// The start of the answer's body, or a sentence about what went wrong.
    pub excerpt: String,
}

/// Sends deliveries.
pub trait Sink: Send + Sync {
    /// Makes one try, within the endpoint's deadline over the whole exchange. Never retries by itself, never
    /// panics on what a receiver does. Dropping the future gives the try up; the receiver may have it all the same.
    fn send<'a>(&'a self, attempt: Try<'a>) -> BoxFuture<'a, TryOutcome>;
}
