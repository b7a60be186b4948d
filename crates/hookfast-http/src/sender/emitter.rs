//! `/emitter`: starting, stopping and listing what simulates events for a webhook.

use super::webhook::CUSTOMER_ID;
use super::{Caller, Params, Sender};
use crate::api::json;
use crate::error::ApiError;
use crate::extract::{Problem, QueryReader, name_text};
use crate::time::Time;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::model::Endpoint;
use hookfast_core::ports::{NewEmitter, RunningEmitter};
use hookfast_core::{Error, OrgId};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// From one event to the next, when nothing is said.
const INTERVAL_MS_DEFAULT: u32 = 5_000;
const INTERVAL_MS_MAX: u32 = 24 * 3_600 * 1_000;
const RATE_MAX: f64 = 1_000.0;
/// What an emitter can make.
const EVENT_TYPES: [&str; 4] = ["CREATED", "PENDING", "PAID", "FAILED"];

/// Whose emitter is meant.
struct Named {
    customer_id: String,
    webhook_id: String,
}

impl Named {
    fn read(query: &mut QueryReader) -> Self {
        Self { customer_id: required(query, CUSTOMER_ID), webhook_id: required(query, "webhook_id") }
    }
}

fn required(query: &mut QueryReader, name: &str) -> String {
    let text = query.text(name).unwrap_or_default();
    if text.is_empty() {
        query.note(name, Problem::new("missing", "expected a value, got nothing"));
    } else if let Err(problem) = name_text(&text) {
        query.note(name, problem);
    }
    text
}

/// How fast, how much and what.
struct Wanted {
    interval_ns: u64,
    count: Option<u64>,
    event_types: Vec<String>,
}

impl Wanted {
    fn read(query: &mut QueryReader) -> Self {
        let interval_ms = query.number("interval_ms", &(1..=INTERVAL_MS_MAX));
        let rate = query.decimal("rate", 1.0 / f64::from(INTERVAL_MS_MAX / 1000), RATE_MAX);
        if query.text("interval_ms").is_some() && query.text("rate").is_some() {
            query.note("rate", Problem::new("value_error", "expected either rate or interval_ms, got both"));
        }
        let interval_ns = match rate {
            Some(rate) => (1e9 / rate) as u64,
            None => u64::from(interval_ms.unwrap_or(INTERVAL_MS_DEFAULT)) * 1_000_000,
        };
        let count = query.number("count", &(1..=u32::MAX)).map(u64::from);
        let event_types = query.list("event_types");
        if let Some(other) = event_types.iter().find(|one| !EVENT_TYPES.contains(&one.as_str())) {
            let msg = format!("expected some of {}, got {other:?}", EVENT_TYPES.join(","));
            query.note("event_types", Problem::new("value_error", msg));
        }
        Self { interval_ns, count, event_types }
    }

    /// Of what is asked for, what the webhook takes.
    fn types_for(&self, endpoint: &Endpoint) -> Result<Vec<String>, ApiError> {
        let Some(filter) = &endpoint.event_types else { return Ok(self.event_types.clone()) };
        let asked = |kind: &&str| self.event_types.is_empty() || self.event_types.iter().any(|one| one == kind);
        let taken = |kind: &&str| filter.iter().any(|one| one == kind);
        let both: Vec<String> = EVENT_TYPES.into_iter().filter(asked).filter(taken).map(str::to_owned).collect();
        if both.is_empty() {
            let detail = format!(
                "query.event_types: the webhook takes none of these events, only {}; an emitter makes {}",
                filter.join(","),
                EVENT_TYPES.join(",")
            );
            return Err(ApiError::bad_request("invalid_request", detail));
        }
        Ok(both)
    }
}

/// Starts one; the one that runs already stays as it is.
pub(super) async fn start(
    State(sender): State<Arc<Sender>>,
    Caller(org): Caller,
    Params(mut query): Params,
) -> Result<Response, ApiError> {
    let (named, wanted) = (Named::read(&mut query), Wanted::read(&mut query));
    query.finish().map_err(ApiError::into_bad_request)?;
    let endpoint = sender.find(&org, &named.customer_id, &named.webhook_id).await?;
    let new = NewEmitter {
        app: endpoint.app,
        endpoint: endpoint.id,
        interval_ns: wanted.interval_ns,
        count: wanted.count,
        event_types: wanted.types_for(&endpoint)?,
    };
    match sender.state.emitters.start_emitter(new).await {
        Ok(_) => {}
        Err(Error::Conflict { code: "too_many_emitters", reason }) => return Err(ApiError::too_many(reason, 60_000)),
        Err(error) => return Err(error.into()),
    }
    sender.state.changed.notify_one();
    Ok(json(StatusCode::OK, "Event emitter started"))
}

/// Stops the one of a webhook; it is no error when none runs.
pub(super) async fn stop(
    State(sender): State<Arc<Sender>>,
    Caller(org): Caller,
    Params(mut query): Params,
) -> Result<Response, ApiError> {
    let named = Named::read(&mut query);
    query.finish().map_err(ApiError::into_bad_request)?;
    let endpoint = sender.find(&org, &named.customer_id, &named.webhook_id).await?;
    sender.state.emitters.stop_emitter(endpoint.app, endpoint.id).await?;
    sender.state.changed.notify_one();
    Ok(json(StatusCode::OK, "Event emitter stopped"))
}

/// An emitter as the list shows it.
#[derive(Serialize)]
struct EmitterOut {
    customer_id: String,
    webhook_id: String,
    webhook_url: String,
    /// `PAUSED` while its webhook is disabled.
    status: &'static str,
    interval_ms: f64,
    /// Events per second.
    rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Events that are durable; up to a second late.
    emitted: u64,
    event_types: Vec<String>,
    started_at: Time,
}

/// Lists those that run.
pub(super) async fn list(State(sender): State<Arc<Sender>>, Caller(org): Caller) -> Result<Response, ApiError> {
    let mut shown = Vec::new();
    for one in sender.state.emitters.emitters().await? {
        match sender.shown(&org, one).await {
            Ok(one) => shown.push(one),
            // It was deleted since, or belongs to others.
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(json(StatusCode::OK, &shown))
}

impl Sender {
    async fn shown(&self, org: &OrgId, one: RunningEmitter) -> hookfast_core::Result<EmitterOut> {
        let ports = &self.state.api.ports;
        let app = ports.applications.application(org, &one.spec.app.to_string()).await?;
        let endpoint = ports.endpoints.endpoint(app.id, &one.spec.endpoint.to_string()).await?;
        let interval_ms = one.spec.interval_ns as f64 / 1e6;
        Ok(EmitterOut {
            customer_id: app.metadata.get(CUSTOMER_ID).unwrap_or(&app.name).clone(),
            webhook_id: endpoint.uid.clone().unwrap_or_else(|| endpoint.id.to_string()),
            webhook_url: endpoint.url.clone(),
            status: if one.is_paused { "PAUSED" } else { "RUNNING" },
            interval_ms,
            rate: 1e3 / interval_ms,
            count: one.spec.count,
            emitted: one.progress.made,
            event_types: one.spec.event_types,
            started_at: Time(one.started_at),
        })
    }
}
