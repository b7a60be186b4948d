//! Bodies as handlers take them: raw bytes, or a value read from JSON, each with the caller's idempotency key.

use super::{BodyBudget, Fields, IdempotencyKey, read_body};
use crate::error::ApiError;
use crate::router::Shared;
use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use hookfast_core::model::CallerKey;
use http::Request;
use std::sync::Arc;

/// A body as it came. Its share of the body budget is held until the handler is done with it.
#[derive(Debug)]
pub(crate) struct Raw {
    body: super::body::Held,
    key: Option<IdempotencyKey>,
}

impl Raw {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.body.bytes
    }

    /// The hash of the idempotency key, if one came.
    pub(crate) fn key_hash(&self) -> Option<[u8; 16]> {
        self.key.map(|key| key.0)
    }

    /// The idempotency key with the hash of the body, if one came.
    pub(crate) fn caller_key(&self) -> Option<CallerKey> {
        self.key.map(|key| key.with_body(self.bytes()))
    }
}

impl FromRequest<Arc<Shared>> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let key = if parts.method == http::Method::POST { IdempotencyKey::of(&parts)? } else { None };
        let config = &shared.api.config;
        let budget: &Arc<BodyBudget> = &shared.budget;
        let body = read_body(&parts.headers, body, budget, config.body_bytes_max, config.body_timeout_ms).await?;
        Ok(Self { body, key })
    }
}

/// What can be read from a JSON object.
pub(crate) trait FromFields: Sized {
    /// An empty body, or null, is read as `{}`.
    const MAY_BE_EMPTY: bool = false;

    /// Reads the fields and notes what is wrong; the value counts only if nothing was noted.
    fn read(fields: &mut Fields<'_>) -> Self;
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Input<T> {
    /// What was read.
    pub(crate) value: T,
    raw: Raw,
}

impl<T> Input<T> {
    /// The idempotency key with the hash of the body, if one came.
    pub(crate) fn caller_key(&self) -> Option<CallerKey> {
        self.raw.caller_key()
    }

    /// The hash of the idempotency key, if one came.
    pub(crate) fn key_hash(&self) -> Option<[u8; 16]> {
        self.raw.key_hash()
    }
}

/// Reads a value from a whole body.
///
/// # Errors
/// 422 with every wrong field.
pub(crate) fn from_body<T: FromFields>(body: &[u8]) -> Result<T, ApiError> {
    let mut fields =
        if T::MAY_BE_EMPTY && matches!(body, b"" | b"null") { Fields::empty() } else { Fields::parse(body)? };
    let value = T::read(&mut fields);
    fields.finish()?;
    Ok(value)
}

impl<T: FromFields> FromRequest<Arc<Shared>> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let raw = Raw::from_request(request, shared).await?;
        Ok(Self { value: from_body(raw.bytes())?, raw })
    }
}
