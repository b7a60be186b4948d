//! From a request to checked values: bodies within their limits, JSON with field paths, query parameters, path
//! parameters, idempotency keys. Knows no resource.

mod body;
mod checks;
mod fields;
mod idempotency;
mod input;
mod json;
mod query;

pub(crate) use body::{BodyBudget, read_body};
pub(crate) use checks::{any_text, channel, event_type_name, name_text, uid_for};
pub(crate) use fields::{Fields, Given};
pub(crate) use idempotency::IdempotencyKey;
pub(crate) use input::{FromFields, Input, Raw, from_body};
pub(crate) use json::{Problem, shorten, what_came};
pub(crate) use query::{FromQuery, Query, QueryReader};

use crate::error::ApiError;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

/// The parameters of the matched path.
#[derive(Debug)]
pub(crate) struct PathParams(RawPathParams);

impl PathParams {
    /// The value of one; empty when the route has none of that name.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

impl<S: Sync> FromRequestParts<S> for PathParams {
    type Rejection = ApiError;

    /// 404 when the percent-encoding is not UTF-8: no such thing can exist.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        RawPathParams::from_request_parts(parts, &()).await.map(Self).map_err(|_| ApiError::not_found("route"))
    }
}
