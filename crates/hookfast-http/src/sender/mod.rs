//! The sender of the first system: webhooks are registered and emitters started and stopped, by its own short routes. A
//! facade over applications, endpoints and emitters: what it makes is seen and changed by the API too. Must not know how
//! emitters are run.

mod emitter;
mod register;
mod webhook;

use crate::auth::{Access, Gate};
use crate::error::ApiError;
use crate::extract::{BodyBudget, QueryReader};
use crate::state::ApiState;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::{get, post};
use hookfast_core::OrgId;
use hookfast_core::model::{Scope, SecretText};
use hookfast_core::ports::Emitters;
use http::request::Parts;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;
use webhook::Counted;

/// Bodies of registrations held at once over all connections, in bytes.
const BODIES_BYTES_MAX: usize = 16 << 20;

/// Settings of the sender.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// What webhooks get as secret that name none; `None`: each gets a random one. Any text of 1 to 256 characters.
    pub secret: Option<SecretText>,
    /// Most webhooks that are registered at a time; above it 429.
    pub webhooks_max: usize,
}

impl Default for SenderConfig {
    /// Random secrets, and as many webhooks as emitters may run.
    fn default() -> Self {
        Self { secret: None, webhooks_max: hookfast_core::ports::EMITTERS_MAX }
    }
}

/// What the sender's routes need besides the API's state.
#[derive(Clone)]
pub struct SenderState {
    /// Ports, limits and address rules.
    pub api: ApiState,
    /// Emitters.
    pub emitters: Arc<dyn Emitters>,
    /// Notified when an emitter was started or stopped here.
    pub changed: Arc<Notify>,
    /// Settings.
    pub config: SenderConfig,
}

impl fmt::Debug for SenderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderState").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the handlers share.
struct Sender {
    state: SenderState,
    gate: Gate,
    budget: Arc<BodyBudget>,
    counted: Counted,
}

/// The sender's routes with `GET /`, but without [`crate::ping_route`]; to be given to [`crate::router_with`] or
/// [`crate::health_router_with`].
///
/// With [`Access::Trusted`] no token is asked for, as the first system does; with [`Access::Tokens`] a token of the
/// organisation.
pub fn sender_routes(state: SenderState, access: Access) -> Router {
    let sender = Sender {
        gate: Gate::new(access, &state.api),
        budget: BodyBudget::new(BODIES_BYTES_MAX),
        counted: Counted::default(),
        state,
    };
    Router::new()
        .route("/", get(webhook::list))
        .route("/register", post(register::register))
        .route("/emitter", get(emitter::list))
        .route("/emitter/start", post(emitter::start))
        .route("/emitter/stop", post(emitter::stop))
        .with_state(Arc::new(sender))
}

/// Whose webhooks are asked about.
struct Caller(OrgId);

impl FromRequestParts<Arc<Sender>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, sender: &Arc<Sender>) -> Result<Self, ApiError> {
        let principal = sender.gate.caller(&sender.state.api, &parts.headers).await?.principal;
        match principal.scope {
            Scope::Org => Ok(Self(principal.org)),
            Scope::App(_) => Err(ApiError::forbidden()),
        }
    }
}

/// Query parameters; to be named after the caller.
struct Params(QueryReader);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Commands of a shell leave parameters empty whose variable is not set.
        Ok(Self(QueryReader::new(parts.uri.query()).without_empty()))
    }
}
