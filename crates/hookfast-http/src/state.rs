//! What the handlers are given: the ports, the clock, the configuration. Knows no concrete back-end.

use crate::metrics::ApiMetrics;
use hookfast_core::address::AddressRules;
use hookfast_core::model::SecretText;
use hookfast_core::ports::{Applications, Endpoints, EventTypes, Intake, Log, Maintenance, Reading, Replays, Tokens};
use hookfast_core::{Clock, IdGenerator, limits};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The doors to the other rooms.
#[derive(Clone)]
pub struct Ports {
    /// Accepts events.
    pub intake: Arc<dyn Intake>,
    /// Applications.
    pub applications: Arc<dyn Applications>,
    /// Endpoints.
    pub endpoints: Arc<dyn Endpoints>,
    /// Event types.
    pub event_types: Arc<dyn EventTypes>,
    /// Access tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Events, deliveries and attempts, for reading.
    pub reading: Arc<dyn Reading>,
    /// Resend and recover.
    pub replays: Arc<dyn Replays>,
    /// Asked whether the store answers.
    pub maintenance: Arc<dyn Maintenance>,
}

/// Settings and limits of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Greatest request body, in bytes; above it 413.
    pub body_bytes_max: usize,
    /// Request bodies held at once over all connections, in bytes; above it 503 before the body is read.
    pub body_bytes_in_flight_max: usize,
    /// A request's body must have come within this time, else 408.
    pub body_timeout_ms: u64,
    /// Signs and checks HS256 tokens; `None` refuses them.
    pub jwt_secret: Option<SecretText>,
    /// Endpoints must be https.
    pub https_only: bool,
    /// Which addresses endpoints may name.
    pub address_rules: AddressRules,
    /// The retention classes an application may choose from, in days.
    pub retention_days_classes: Vec<u16>,
}

impl Default for ApiConfig {
    /// The documented defaults: nothing private may be dialled, opaque tokens only.
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            body_bytes_in_flight_max: 256 << 20,
            body_timeout_ms: 30_000,
            jwt_secret: None,
            https_only: false,
            address_rules: AddressRules::default(),
            retention_days_classes: vec![7, 30, 90],
        }
    }
}

/// Everything a router is built from.
#[derive(Clone)]
pub struct ApiState {
    /// The doors to the other rooms.
    pub ports: Ports,
    /// The node's time.
    pub clock: Arc<dyn Clock>,
    /// The node's ids.
    pub ids: Arc<IdGenerator>,
    /// Settings and limits.
    pub config: ApiConfig,
    /// The API's own counters.
    pub metrics: ApiMetrics,
    /// The log that events are accepted by, where they are: then the store may be away for a while.
    pub log: Option<Arc<dyn Log>>,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Cancelled when the node drains: `/health/ready` then says 503.
    pub draining: CancellationToken,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("config", &self.config).finish_non_exhaustive()
    }
}
