//! From a source to durable: [`Intake`] for sources, [`Accept`] below it, [`Admission`] beside it.

use super::BoxFuture;
use crate::model::{NewEvent, Origin, Route};
use crate::{AppId, EventId, Result};
use bytes::Bytes;

/// An event as a source hands it over, before any check.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its application; must exist.
    pub app: AppId,
    /// Where it goes.
    pub route: Route,
    /// What happened.
    pub event_type: String,
    /// The caller's own id for it.
    pub uid: Option<String>,
    /// Channels it is sent on.
    pub channels: Vec<String>,
    /// Groups events whose order matters.
    pub ordering_key: Option<String>,
    /// The bytes to send.
    pub body: Bytes,
    /// `None` is `application/json`.
    pub content_type: Option<String>,
    /// Hash of the caller's idempotency key and its scope.
    pub idempotency: Option<[u8; 16]>,
    /// Where it comes in, and by whom.
    pub origin: Origin,
}

/// The answer to an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id; the first one's when this was a repeat. Its time is when it was accepted.
    pub id: EventId,
    /// The same key and body came before: nothing was stored now.
    pub repeat: bool,
}

/// The one road in. Every source calls this.
pub trait Intake: Send + Sync {
    /// Checks the event and makes it durable.
    ///
    /// `Ok`: it survives a power cut, and every endpoint that wants it will be tried. Errors: `Invalid` with the
    /// field, `NotFound` (application or endpoint), `Conflict` (same key, other body), `Overloaded`,
    /// `Unavailable`; none of them stored anything. Waits while deliveries lag behind. Cancel-safe: a dropped call
    /// stores the whole event or nothing.
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>>;
}

/// Making events durable.
pub trait Accept: Send + Sync {
    /// Stores a batch; each event for itself, in one transaction with whatever else waits.
    ///
    /// The results are in the order of the events. `Ok`: the event, its routed endpoints and its caller keys are
    /// durable (fsynced), and its deliveries are handed over or queued. Routing is read in that transaction. Never
    /// blocks the caller's thread. Cancel-safe: dropping the future does not undo what was already sent to the store.
    fn accept(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Vec<Result<Accepted>>>;
}

/// How far deliveries lag behind accepting.
pub trait Admission: Send + Sync {
    /// Returns at once while deliveries keep up; waits while they lag, so that accepting slows down to their pace.
    ///
    /// # Errors
    /// `Overloaded` when they still lag after `admission_wait_ms`. Cancel-safe.
    fn admit(&self) -> BoxFuture<'_, Result<()>>;

    /// Would [`Admission::admit`] return at once? Lets the hot path skip the future.
    fn is_open(&self) -> bool;
}
