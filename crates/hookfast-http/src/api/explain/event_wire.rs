//! The body of an event's story, and why an endpoint did not get it.

use crate::api::Text;
use crate::api::attempt::MessageAttemptOut;
use crate::api::endpoint::EndpointOut;
use crate::api::message::MessageEndpointOut;
use crate::time::Time;
use hookfast_core::model::{Application, Attempt, Endpoint, Event, Name};
use hookfast_core::ports::{Destination, PageOf};
use hookfast_core::routing::{Refusal, refusal};
use hookfast_core::{AppId, EndpointId, EventId};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// Endpoints shown of each kind; further ones are only counted.
const ENDPOINTS_SHOWN_MAX: usize = 250;

/// The story of a message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventExplanationOut {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<EventId>,
    /// The caller's own id for it.
    event_id: Option<String>,
    /// Its application.
    #[schema(value_type = String)]
    app_id: Text<AppId>,
    /// What happened.
    event_type: String,
    /// Channels it was sent on.
    channels: Vec<String>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Time,
    /// Through which source: `api`, `cli` (a command on the server itself), `emitter:…`, `redis:…`, `receiver:…` or
    /// `kafka:…`; null when it was accepted by a version that did not keep it.
    source: Option<String>,
    /// By whom, where the source knows: an access token's id and name, or `jwt:` and the token's `sub`.
    accepted_by: Option<String>,
    /// Its payload is still kept: it can be sent again.
    payload_kept: bool,
    /// Endpoints it goes to; at most 250.
    destinations: Vec<DestinationStoryOut>,
    /// How many those are in all.
    destination_count: usize,
    /// Endpoints of the application that it does not go to; at most 250.
    refused: Vec<RefusedOut>,
    /// How many those are in all.
    refused_count: usize,
    /// There were more attempts than are shown; the oldest are left out.
    attempts_cut: bool,
}

/// An endpoint that a message goes to, with every attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DestinationStoryOut {
    #[serde(flatten)]
    destination: MessageEndpointOut,
    /// The endpoint was deleted since.
    deleted: bool,
    /// The attempts, oldest first.
    attempts: Vec<MessageAttemptOut>,
}

/// An endpoint that a message does not go to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefusedOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    /// Why, one or more: `created_later` (after the message), `disabled`, `event_type` or `channel` (its filters lack
    /// what the message has), `changed_later` (it would get the message now), `not_addressed` (the message was for
    /// another endpoint alone).
    reasons: Vec<&'static str>,
}

impl EventExplanationOut {
    pub(super) fn of(
        app: &Application,
        event: &Event,
        endpoints: &[Arc<Endpoint>],
        destinations: &[Destination],
        attempts: PageOf<Attempt>,
    ) -> Self {
        let live: HashSet<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let reached: HashSet<EndpointId> = destinations.iter().map(|one| one.endpoint.id).collect();
        let mut by_endpoint: HashMap<EndpointId, Vec<MessageAttemptOut>> = HashMap::new();
        for attempt in attempts.items.into_iter().rev() {
            by_endpoint.entry(attempt.endpoint).or_default().push(MessageAttemptOut::of(attempt, true));
        }
        let told = |one: &Destination| DestinationStoryOut {
            destination: MessageEndpointOut::from(one),
            deleted: !live.contains(&one.endpoint.id),
            attempts: by_endpoint.remove(&one.endpoint.id).unwrap_or_default(),
        };
        let left: Vec<&Arc<Endpoint>> = endpoints.iter().filter(|one| !reached.contains(&one.id)).collect();
        let refused =
            |one: &&Arc<Endpoint>| RefusedOut { endpoint: EndpointOut::from(&***one), reasons: reasons(one, event) };
        let origin = event.origin.as_ref();
        Self {
            id: Text(event.id),
            event_id: event.uid.clone(),
            app_id: Text(app.id),
            event_type: event.event_type.clone(),
            channels: event.channels.clone(),
            accepted_at: Time(event.id.time()),
            source: origin.map(|origin| origin.source.to_string()),
            accepted_by: origin.and_then(|origin| origin.by.as_ref()).map(Name::to_string),
            payload_kept: event.body.is_some(),
            destinations: destinations.iter().take(ENDPOINTS_SHOWN_MAX).map(told).collect(),
            destination_count: destinations.len(),
            refused: left.iter().take(ENDPOINTS_SHOWN_MAX).map(refused).collect(),
            refused_count: left.len(),
            attempts_cut: !attempts.done,
        }
    }
}

/// Why an endpoint did not get an event, judged by how it is configured now.
fn reasons(endpoint: &Endpoint, event: &Event) -> Vec<&'static str> {
    if endpoint.created_at > event.id.time() {
        return vec!["created_later"];
    }
    let mut reasons = Vec::new();
    if endpoint.disabled.is_some() {
        reasons.push("disabled");
    }
    // The filters are looked at although it is disabled: whoever enables it must know of both.
    let enabled = Endpoint { disabled: None, ..endpoint.clone() };
    match refusal(&enabled, &event.event_type, &event.channels) {
        Some(Refusal::EventType) => reasons.push("event_type"),
        Some(Refusal::Channel) => reasons.push("channel"),
        Some(Refusal::Disabled) | None => {}
    }
    if reasons.is_empty() {
        let changed = endpoint.updated_at > event.id.time();
        reasons.push(if changed { "changed_later" } else { "not_addressed" });
    }
    reasons
}
