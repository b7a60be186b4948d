//! The HTTP API of hookfast: routes, JSON bodies, access tokens, the accept loop, OpenAPI, health and metrics.
//!
//! It speaks the Svix-compatible API over the ports of `hookfast-core`. It knows no SQL, no engine and no sink; only
//! this crate knows our public JSON.

mod api;
mod auth;
mod error;
mod extract;
mod guard;
mod health;
mod metrics;
mod openapi;
mod page;
mod receiver;
mod router;
mod secret;
mod sender;
mod server;
mod state;
mod time;

pub use auth::Access;
pub use error::{ApiError, FieldProblem};
pub use metrics::ApiMetrics;
pub use openapi::document;
pub use receiver::{
    EventShape, ReceiverConfig, ReceiverMetrics, ReceiverState, SOURCES_MAX, SignatureRule, SourceConfig, Sources,
    WEBHOOK, ping_route, receiver_router, receiver_routes,
};
pub use router::{health_router, health_router_with, root_route, router, router_with};
pub use sender::{SenderConfig, SenderState, sender_routes};
pub use server::{Acceptor, ServeReport, ServerConfig, serve};
pub use state::{ApiConfig, ApiState, Ports};
