//! Which endpoints want an event. Pure.

use crate::model::Endpoint;

/// Does this endpoint want an event of this type on these channels?
///
/// A disabled endpoint wants nothing; no list of types is all types; no list of channels is every event, and an
/// event without channels does not reach an endpoint that names some.
#[must_use]
pub fn wants(endpoint: &Endpoint, event_type: &str, channels: &[String]) -> bool {
    refusal(endpoint, event_type, channels).is_none()
}

/// Why an endpoint does not want an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is disabled.
    Disabled,
    /// Its list of event types lacks this one.
    EventType,
    /// Its list of channels has none of the event's.
    Channel,
}

/// The first reason why an endpoint does not want an event; `None` when it does.
#[must_use]
pub fn refusal(endpoint: &Endpoint, event_type: &str, channels: &[String]) -> Option<Refusal> {
    if endpoint.disabled.is_some() {
        return Some(Refusal::Disabled);
    }
    if let Some(types) = &endpoint.event_types
        && !types.iter().any(|wanted| wanted == event_type)
    {
        return Some(Refusal::EventType);
    }
    if let Some(wanted) = &endpoint.channels
        && !wanted.iter().any(|channel| channels.contains(channel))
    {
        return Some(Refusal::Channel);
    }
    None
}
