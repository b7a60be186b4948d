//! `POST /app/{app_id}/msg`: the hot path.

use super::message_in::{MessageIn, RawPayload};
use super::wire::MessageOut;
use crate::api::application::check_retention;
use crate::api::{ApplicationIn, json};
use crate::auth::{CallerOrigin, OrgCaller};
use crate::error::ApiError;
use crate::extract::{FromQuery, PathParams, Query, QueryReader, Raw};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hookfast_core::model::{Application, Principal, Route};
use hookfast_core::ports::{OnExisting, Submission};
use hookfast_core::{AppId, Error};
use http::StatusCode;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateQuery {
    /// Show the payload in the answer.
    #[param(value_type = Option<bool>, default = true)]
    with_content: bool,
}

impl FromQuery for CreateQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self { with_content: query.flag("with_content").unwrap_or(true) }
    }
}

/// Accepts a message for every endpoint of the application that wants it. The answer comes when the message is
/// durable: it survives a power cut, and every such endpoint will be tried.
#[utoipa::path(
    post, path = "/api/v1/app/{app_id}/msg", operation_id = "v1.message.create", tag = "Message",
    params(CreateQuery), request_body = MessageIn, responses((status = 202, body = MessageOut)),
)]
pub(super) async fn create_message(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    CallerOrigin(origin): CallerOrigin,
    params: PathParams,
    Query(query): Query<CreateQuery>,
    raw: Raw,
) -> Result<Response, ApiError> {
    let MessageIn { event_type, event_id, channels, ordering_key, payload, raw: other_body, application } =
        MessageIn::parse(raw.bytes())?;
    let reference = params.get("app_id");
    let app = match shared.api.ports.applications.application_cached(&principal.org, reference) {
        Some(app) => app,
        None => find_or_make(&shared, principal, reference, application).await?,
    };
    let (body, content_type, shown) = match (other_body, payload) {
        (Some(RawPayload { body, content_type }), _) => (Bytes::from(body), content_type, None),
        // A view into the request's own bytes.
        (None, Some(payload)) => (raw.bytes().slice_ref(payload.get().as_bytes()), None, Some(payload)),
        (None, None) => return Err(ApiError::field("body", "payload", "missing", "expected an object, got nothing")),
    };
    let submission = Submission {
        app: app.id,
        route: Route::Match,
        event_type: event_type.clone(),
        uid: event_id.clone(),
        channels: channels.clone(),
        ordering_key,
        body: body.clone(),
        content_type,
        idempotency: raw.key_hash(),
        origin,
    };
    let accepted = shared.api.ports.intake.submit(submission).await?;
    let answer = MessageOut::new(accepted.id, &event_type).with_names(event_id.as_deref(), &channels);
    let answer = match shown {
        _ if !query.with_content => answer,
        Some(payload) => answer.with_payload(payload),
        None => answer.with_body(&body),
    };
    Ok(json(StatusCode::ACCEPTED, &answer))
}

/// The application of the path; made from the message's `application` when there is none.
async fn find_or_make(
    shared: &Shared,
    principal: Principal,
    reference: &str,
    wanted: Option<ApplicationIn>,
) -> Result<Arc<Application>, ApiError> {
    let applications = &shared.api.ports.applications;
    let missing = match applications.application(&principal.org, reference).await {
        Ok(app) => return Ok(app),
        Err(missing @ Error::NotFound { .. }) => missing,
        Err(other) => return Err(other.into()),
    };
    let Some(wanted) = wanted else { return Err(missing.into()) };
    let wrong_uid = |kind, msg: &str| Err(ApiError::field("body", "application.uid", kind, msg));
    match wanted.uid.as_deref() {
        None => return wrong_uid("application_uid_missing", "expected the uid that the path names, got nothing"),
        Some(uid) if uid != reference || uid.starts_with(AppId::PREFIX) => {
            return wrong_uid("application_uid_mismatch", "expected the uid that the path names, got another one");
        }
        Some(_) => check_retention(shared, wanted.retention_days, "application.retentionDays")?,
    }
    let new = wanted.into_new(principal.org);
    Ok(applications.create_application(new, OnExisting::Return, None).await?.value)
}
