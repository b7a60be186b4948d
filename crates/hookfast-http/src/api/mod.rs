//! The routes of the API, one folder for each resource, one file for each handler; the OpenAPI document comes from
//! the same registration.

mod application;
mod attempt;
mod endpoint;
mod event_type;
mod explain;
mod message;
mod node;
mod task;
mod texts;
mod token;

pub(crate) use application::ApplicationIn;

use crate::error::ApiError;
use crate::extract::{Fields, Given, Problem};
use crate::router::Shared;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hookfast_core::limits::METADATA_BYTES_MAX;
use http::{HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every documented route, with its entry in the OpenAPI document.
pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .merge(application::routes())
        .merge(endpoint::routes())
        .merge(event_type::routes())
        .merge(message::routes())
        .merge(attempt::routes())
        .merge(task::routes())
        .merge(token::routes())
        .merge(node::routes())
        .merge(explain::routes())
        .merge(health_routes())
}

/// The documented routes that say how the node is.
pub(crate) fn health_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(crate::health::get_health)).routes(routes!(crate::health::ping))
}

/// An answer with a JSON body.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let mut body = Vec::with_capacity(512);
    if let Err(error) = serde_json::to_writer(&mut body, value) {
        tracing::error!(%error, "an answer could not be written");
        return ApiError::internal().into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A thing that is shown as its text, such as an id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Reads `metadata`: texts by name.
fn read_metadata(fields: &mut Fields<'_>) -> Option<BTreeMap<String, String>> {
    let map = fields.text_map("metadata", METADATA_BYTES_MAX).value()?;
    let mut metadata = BTreeMap::new();
    for (key, value) in map {
        match value {
            Some(value) => drop(metadata.insert(key, value)),
            None => fields.note_item("metadata", &key, Problem::new("type_error", "expected a string, got null")),
        }
    }
    Some(metadata)
}

/// Reads `throttleRate`, or `rateLimit` as it was called before.
fn read_throttle_rate(fields: &mut Fields<'_>) -> Given<u16> {
    let given = fields.small("throttleRate", 1..=u16::MAX);
    given.or(|| fields.small("rateLimit", 1..=u16::MAX))
}
