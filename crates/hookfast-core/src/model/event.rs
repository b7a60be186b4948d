//! Events on their way in, events as stored, and attempts.

use super::Origin;
use crate::delivery::Cause;
use crate::{AppId, AttemptId, EndpointId, EventId};
use bytes::Bytes;

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To every endpoint of its application that wants it.
    Match,
    /// To this endpoint, whatever its filters say.
    Endpoint(EndpointId),
}

/// A key by which a caller may repeat a call without repeating its effect.
///
/// Same key and same body: the first answer again. Same key, other body: a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerKey {
    /// Hash of the key and its scope (who calls, which route).
    pub key_hash: [u8; 16],
    /// Hash of what was asked for.
    pub body_hash: [u8; 16],
}

/// An event that a source hands to intake.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id, made by the node's [`crate::IdGenerator`]; its time is the time of acceptance.
    pub id: EventId,
    /// Its application.
    pub app: AppId,
    /// Where it goes.
    pub route: Route,
    /// What happened.
    pub event_type: String,
    /// The caller's own id for it: unique in the application as long as the event is kept.
    pub uid: Option<String>,
    /// Hash of what the caller asked for; compared when `uid` or `idempotency` is seen again.
    pub body_hash: [u8; 16],
    /// Channels it is sent on; empty is none.
    pub channels: Vec<String>,
    /// Groups events whose order matters, on endpoints that keep order.
    pub ordering_key: Option<String>,
    /// The bytes to send, as they came.
    pub body: Bytes,
    /// `None` is `application/json`.
    pub content_type: Option<String>,
    /// Hash of the idempotency key and its scope, if one came.
    pub idempotency: Option<[u8; 16]>,
    /// Where it came in; `None` when whoever put it into a log did not say so yet.
    pub origin: Option<Origin>,
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id; its time is when it was accepted.
    pub id: EventId,
    /// Its application.
    pub app: AppId,
    /// What happened.
    pub event_type: String,
    /// The caller's own id for it.
    pub uid: Option<String>,
    /// Channels it was sent on.
    pub channels: Vec<String>,
    /// The bytes to send; `None` when they were expunged or have passed their own retention.
    pub body: Option<Bytes>,
    /// `None` is `application/json`.
    pub content_type: Option<String>,
    /// Where it came in; `None` in lists, and when it was accepted before that was kept.
    pub origin: Option<Origin>,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By the schedule.
    Scheduled,
    /// By a resend or a recover.
    Manual,
}

/// One try of a delivery, as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id; its time is when it was made.
    pub id: AttemptId,
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The run it belongs to: 0 at first, one more for each resend.
    pub run: u32,
    /// Which try of that run, from 1.
    pub number: u32,
    /// The URL it went to.
    pub url: String,
    /// What came of it.
    pub cause: Cause,
    /// The HTTP status; 0 when there was no answer.
    pub status: u16,
    /// From the start of the try to its end.
    pub duration_ms: u32,
    /// The start of the answer's body, or what went wrong; at most `excerpt_bytes_max`.
    pub excerpt: String,
    /// Why it was made.
    pub trigger: Trigger,
}
