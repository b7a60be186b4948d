//! `POST /register`: a URL of a customer that wants events. The same customer and URL again is the same webhook.
//!
//! Its deliveries are signed with `secret_token` in two ways. `x-webhook-signature` is keyed with the UTF-8 bytes of the
//! whole text. `webhook-signature` (`v1`) is keyed with the bytes inside, when the text is `whsec_` and base64 of 24 to 75
//! bytes, and else with the bytes of the whole text too.

use super::webhook::{CUSTOMER_ID, Shown, customer_uid, webhook_id};
use super::{Caller, Sender};
use crate::api::json;
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Given, Problem, event_type_name, from_body, name_text, read_body};
use crate::secret;
use axum::extract::{Request, State};
use axum::response::Response;
use hookfast_core::address::vet_url;
use hookfast_core::model::{Endpoint, SecretText, Signing};
use hookfast_core::ports::{Created, NewApplication, NewEndpoint, OnExisting};
use hookfast_core::{AppId, Error, OrgId};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Greatest body of a registration.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Most event types that a webhook names.
const EVENT_TYPES_MAX: usize = 100;

/// What is to be registered.
struct RegisterIn {
    customer_id: String,
    webhook_url: String,
    /// Empty is all.
    event_types: Vec<String>,
    secret_token: Option<SecretText>,
}

impl FromFields for RegisterIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            customer_id: fields.required(CUSTOMER_ID, name_text),
            webhook_url: fields.required("webhook_url", |_| Ok(())),
            event_types: fields.texts("event_types", 0..=EVENT_TYPES_MAX, event_type_name).value().unwrap_or_default(),
            secret_token: match fields.text("secret_token", secret_text) {
                Given::Value(text) => Some(SecretText::new(text)),
                Given::Absent | Given::Null => None,
            },
        }
    }
}

/// Any text will do. The message does not repeat what came.
fn secret_text(text: &str) -> Result<(), Problem> {
    name_text(text)
        .map_err(|problem| Problem::new(problem.kind, "expected 1 to 256 characters, none a control character"))
}

/// Registers a webhook. No name is looked up: the receiver need not be up yet.
pub(super) async fn register(
    State(sender): State<Arc<Sender>>,
    Caller(org): Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let timeout_ms = sender.state.api.config.body_timeout_ms;
    let body = read_body(&parts.headers, body, &sender.budget, BODY_BYTES_MAX, timeout_ms).await?;
    let new: RegisterIn = from_body(&body.bytes).map_err(ApiError::into_bad_request)?;
    let made = sender.register(org, new).await?;
    let shown = if made.is_new { Shown::with_secret(&made.value) } else { Shown::masked(&made.value) };
    Ok(json(StatusCode::OK, &shown))
}

impl Sender {
    async fn register(&self, org: OrgId, new: RegisterIn) -> Result<Created<Arc<Endpoint>>, ApiError> {
        let (api, endpoints) = (&self.state.api, &self.state.api.ports.endpoints);
        let url = vet_url(&new.webhook_url, api.config.https_only, &api.config.address_rules)
            .map_err(|refused| ApiError::bad_request("invalid_request", format!("body.webhook_url: {refused}")))?;
        let app = match api.ports.applications.application(&org, &customer_uid(&new.customer_id)).await {
            Ok(app) => Some(app.id),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let id = webhook_id(&new.customer_id, &url);
        if let Some(app) = app {
            match endpoints.endpoint(app, &id).await {
                Ok(value) => return Ok(Created { value, is_new: false }),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.check_room(&org).await?;
        let app = match app {
            Some(app) => app,
            None => self.customer(org, new.customer_id.clone()).await?,
        };
        let made = endpoints.create_endpoint(self.endpoint(app, id.clone(), url, new)?, None).await;
        match made {
            Ok(made) => {
                self.counted.add();
                Ok(made)
            }
            // Somebody registered the same at the same time.
            Err(Error::Conflict { .. }) => Ok(Created { value: endpoints.endpoint(app, &id).await?, is_new: false }),
            Err(Error::Invalid { reason, .. }) => Err(ApiError::too_many(reason, 60_000)),
            Err(error) => Err(error.into()),
        }
    }

    async fn customer(&self, org: OrgId, customer_id: String) -> Result<AppId, ApiError> {
        let new = NewApplication {
            org,
            uid: Some(customer_uid(&customer_id)),
            name: customer_id.clone(),
            throttle_rate: None,
            metadata: BTreeMap::from([(CUSTOMER_ID.to_owned(), customer_id)]),
            retention_days: None,
        };
        let created = self.state.api.ports.applications.create_application(new, OnExisting::Return, None).await?;
        Ok(created.value.id)
    }

    fn endpoint(&self, app: AppId, id: String, url: String, new: RegisterIn) -> Result<NewEndpoint, ApiError> {
        let configured = || self.state.config.secret.clone().map_or_else(secret::generate, Ok);
        Ok(NewEndpoint {
            app,
            uid: Some(id),
            url,
            description: String::new(),
            version: 1,
            disabled: false,
            event_types: Some(new.event_types).filter(|types| !types.is_empty()),
            channels: None,
            throttle_rate: None,
            ordering: None,
            metadata: BTreeMap::new(),
            headers: BTreeMap::new(),
            secret: new.secret_token.map_or_else(configured, Ok)?,
            signing: Signing::WithBodyHex,
            retry: None,
            timeout_ms: None,
        })
    }
}
