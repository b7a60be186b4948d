//! `POST /app/{app_id}/endpoint/{endpoint_id}/send-example`.

use crate::api::json;
use crate::api::message::{MessageOut, read_payload};
use crate::api::texts::EventTypeName;
use crate::auth::{CallerOrigin, EndpointByOrg};
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Given, Input, event_type_name};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hookfast_core::Error;
use hookfast_core::model::Route;
use hookfast_core::ports::Submission;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The event type that needs no example.
const PING: &str = "svix.ping";
const PING_BODY: &str = r#"{"type":"svix.ping","message":"A test event, sent by hand."}"#;

/// Which example to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EventExampleIn {
    /// The event type; `svix.ping` needs no example.
    #[schema(value_type = EventTypeName)]
    event_type: String,
    /// Send this instead of the event type's example.
    #[schema(value_type = Option<Object>)]
    payload: Option<String>,
}

impl FromFields for EventExampleIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            event_type: fields.required("eventType", event_type_name),
            payload: match fields.raw("payload") {
                // Clients send a field that is not set as null.
                Given::Null => None,
                _ => read_payload(fields, "payload").map(|raw| raw.get().to_owned()),
            },
        }
    }
}

/// The first example in the highest version of an event type's schemas.
fn example_of(schemas: &str) -> Option<String> {
    let versions: serde_json::Map<String, Value> = serde_json::from_str(schemas).ok()?;
    let number = |version: &str| version.parse::<u64>().unwrap_or(0);
    let (_, schema) = versions.iter().max_by_key(|(version, _)| number(version))?;
    let example = schema.get("example").or_else(|| schema.get("examples")?.get(0))?;
    example.is_object().then(|| example.to_string())
}

/// Sends a test event to this endpoint, whatever its filters say.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example",
    operation_id = "v1.endpoint.send-example", tag = "Endpoint", request_body = EventExampleIn,
    responses((status = 202, body = MessageOut)),
)]
pub(super) async fn send_example(
    State(shared): State<Arc<Shared>>,
    EndpointByOrg { app, endpoint }: EndpointByOrg,
    CallerOrigin(origin): CallerOrigin,
    input: Input<EventExampleIn>,
) -> Result<Response, ApiError> {
    let idempotency = input.key_hash();
    let EventExampleIn { event_type, payload } = input.value;
    let body = match payload {
        Some(payload) => payload,
        None if event_type == PING => PING_BODY.to_owned(),
        None => match shared.api.ports.event_types.event_type(&app.org, &event_type).await {
            Ok(found) => found.schemas.as_deref().and_then(example_of).ok_or_else(no_example)?,
            Err(Error::NotFound { .. }) => return Err(no_example()),
            Err(other) => return Err(other.into()),
        },
    };
    let body = Bytes::from(body);
    let submission = Submission {
        app: app.id,
        route: Route::Endpoint(endpoint.id),
        event_type: event_type.clone(),
        uid: None,
        channels: Vec::new(),
        ordering_key: None,
        body: body.clone(),
        content_type: None,
        idempotency,
        origin,
    };
    let accepted = shared.api.ports.intake.submit(submission).await?;
    Ok(json(StatusCode::ACCEPTED, &MessageOut::new(accepted.id, &event_type).with_body(&body)))
}

fn no_example() -> ApiError {
    ApiError::bad_request("invalid_scheme", "the event type has no schema with an example; send a `payload` instead")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_is_not_set_may_come_as_null() {
        let read =
            |body: &str| crate::extract::from_body::<EventExampleIn>(body.as_bytes()).map(|example| example.payload);
        assert_eq!(read(r#"{"eventType": "a", "payload": null}"#), Ok(None));
        assert_eq!(read(r#"{"eventType": "a", "payload": {"b": 1}}"#), Ok(Some(r#"{"b": 1}"#.to_owned())));
        assert!(read(r#"{"eventType": "a", "payload": []}"#).is_err());
    }

    #[test]
    fn the_example_of_the_highest_version_is_taken() {
        let schemas = r#"{"2": {"examples": [{"b": 2}]}, "10": {"example": {"c": 3}}, "1": {"example": {"a": 1}}}"#;
        assert_eq!(example_of(schemas).as_deref(), Some(r#"{"c":3}"#));
        assert_eq!(example_of(r#"{"1": {"examples": [{"b": 2}]}}"#).as_deref(), Some(r#"{"b":2}"#));
        for none in ["{}", "[]", "x", r#"{"1": {"example": 5}}"#, r#"{"1": {"type": "object"}}"#] {
            assert_eq!(example_of(none), None, "{none}");
        }
    }
}
