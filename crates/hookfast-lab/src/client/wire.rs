//! The bodies of the calls that the lab makes; fields it does not need are left out. Knows no transport.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A new application.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationIn {
    /// Its name.
    pub name: String,
    /// The caller's own id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// An application.
#[derive(Clone, Debug, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A new endpoint.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointIn {
    /// Where events go.
    pub url: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The caller's own id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its secret; the server makes one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The event types it wants; all when absent.
    #[serde(rename = "filterTypes", skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// Waits between its tries (hookfast's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delays_ms: Option<Vec<u64>>,
    /// Deadline of a try (hookfast's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// An endpoint.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// Where events go.
    pub url: String,
    /// Nothing is sent to it.
    #[serde(default)]
    pub disabled: bool,
}

/// A secret.
#[derive(Deserialize)]
pub(super) struct SecretOut {
    pub(super) key: String,
}

/// The counts of an endpoint.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct EndpointStats {
    /// Attempts that succeeded.
    pub success: u64,
    /// Waiting for their first attempt.
    pub pending: u64,
    /// Being sent.
    pub sending: u64,
    /// Attempts that failed.
    pub fail: u64,
}

/// A new event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageIn<'a> {
    /// What happened.
    pub event_type: &'a str,
    /// The body to send, as it is.
    pub payload: &'a RawValue,
    /// The caller's own id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<&'a str>,
}

/// An event.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageOut {
    /// Its id.
    pub id: String,
    /// What happened.
    pub event_type: String,
}

/// How an event stands at an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// The endpoint's id.
    pub id: String,
    /// 0 success, 1 pending, 2 fail, 3 sending.
    pub status: i32,
    /// hookfast's own: `pending`, `retrying`, `delivered`, `dead` or `cancelled`.
    #[serde(default)]
    pub state: Option<String>,
    /// hookfast's own: tries so far.
    #[serde(default)]
    pub tries: Option<u32>,
    /// hookfast's own: 0 at first, one more for each resend.
    #[serde(default)]
    pub run: Option<u32>,
    /// When it is tried again.
    #[serde(default)]
    pub next_attempt: Option<String>,
}

/// One try.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its id.
    pub id: String,
    /// The event's id.
    pub msg_id: String,
    /// The endpoint's id.
    pub endpoint_id: String,
    /// The status; 0 when there was no answer.
    pub response_status_code: u16,
    /// The start of the answer.
    #[serde(default)]
    pub response: String,
    /// 0 success, 2 fail.
    pub status: i32,
    /// RFC 3339.
    pub timestamp: String,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) iterator: Option<String>,
    #[serde(default)]
    pub(super) done: bool,
}
